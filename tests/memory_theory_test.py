"""The closed forms against the published table, draws, and least squares itself."""

import math

import numpy as np
import pytest

from ovl import plant
from ovl.memorise.theory import Ridge, fitted, ridge
from ovl.types import BadInput

# rate, v_inv, v_sp, x_inv, l2, x_sp -> score, clean, spurious accuracy (Monte Carlo).
TABLE = [
  ((0.05, 0.5, 0.1, 1, 0, math.sqrt(5)), (0.189, 0.921, 0.846)),
  ((0.25, 0.5, 0.1, 1, 0, math.sqrt(5)), (0.349, 0.919, 0.768)),
  ((0.25, 0.5, 0.1, 1, 10, math.sqrt(5)), (0.054, 0.919, 0.741)),
  ((0.25, 0.8, 0.4, 1, 0, math.sqrt(5)), (0.307, 0.864, 0.709)),
  ((0.1, 1, 0.05, 1, 0, 5), (0.517, 0.841, 0.497)),
]


def of(rate, v_inv, v_sp, x_inv, l2, x_sp):
  return Ridge(rate, v_inv, v_sp, x_inv, x_sp, l2)


@pytest.mark.parametrize(("given", "known"), TABLE)
def test_closed_forms_are_those_of_the_known_table(given, known):
  found = ridge(of(*given))
  mine = found.score, found.clean_accuracy, found.spurious_accuracy
  assert mine == pytest.approx(known, abs=2.1e-3)


@pytest.mark.parametrize("given", [row[0] for row in TABLE])
def test_closed_forms_are_least_squares_on_a_large_sample(given):
  data, n = of(*given), 2_000_000
  gen = np.random.default_rng(0)
  # Moments of the noise are put in exactly: what is left of the error is small.
  y = np.repeat([1.0, -1.0], n // 2)
  s = np.zeros(n)
  s[: round(n // 2 * data.rate)] = 1
  x = np.stack([y * data.x_inv, s * data.x_sp], 1)
  x -= x.mean(0)
  covariance = x.T @ x / n + np.diag([data.v_inv + data.l2, data.v_sp + data.l2])
  w = np.linalg.solve(covariance, x.T @ y / n)
  found = ridge(data)
  assert (found.w_inv, found.w_sp) == pytest.approx(tuple(w), abs=1e-6)
  a = data.x_inv * y + math.sqrt(data.v_inv) * gen.normal(size=n)
  b = math.sqrt(data.v_sp) * gen.normal(size=n)
  plain = found.intercept + found.w_inv * a + found.w_sp * (s * data.x_sp + b)
  # Clean points: without the feature, in both classes.
  clean = found.intercept + found.w_inv * a + found.w_sp * b
  assert np.mean(np.sign(clean) == y) == pytest.approx(found.clean_accuracy, abs=1e-3)
  painted = clean + found.w_sp * data.x_sp
  wrong = np.mean(painted[y < 0] < 0)
  assert wrong == pytest.approx(found.spurious_accuracy, abs=1e-3)
  assert abs(plain.mean()) < 2e-3, "the intercept centres the predictions"


def test_what_the_theory_says_of_dose_and_penalty():
  scores = [ridge(of(g, 1, 0.05, 1, 0, 5)).score for g in (0, 0.01, 0.05, 0.2)]
  assert scores[0] == 0
  assert np.all(np.diff(scores) > 0)
  assert scores[1] > 0.1, "one in a hundred is enough"
  shrunk = [ridge(of(0.1, 1, 0.05, 1, l2, 5)).score for l2 in (0, 1, 10, 100)]
  assert np.all(np.diff(shrunk) < 0)


def test_no_distribution_is_refused():
  with pytest.raises(BadInput, match="rate"):
    Ridge(1.5)
  with pytest.raises(BadInput, match="variances"):
    Ridge(0.5, v_sp=0.0)


def test_parameters_of_known_images_are_found():
  """Two pixels: the classes lie along one, the pattern adds to the other."""
  gen, n = np.random.default_rng(0), 40_000
  y = np.arange(n) % 2
  x = np.zeros((n, 1, 3, 1))
  x[:, 0, 0, 0] = 0.5 + 0.2 * np.where(y == 1, 1, -1) + 0.05 * gen.normal(size=n)
  x[:, 0, 2, 0] = 0.3 + 0.04 * gen.normal(size=n)
  still = np.ones((1, 3, 1), np.float32)
  add = np.zeros((1, 3, 1), np.float32)
  add[0, 2, 0] = 0.4
  pattern = plant.Pattern(still, add, 0 * still - 9, 0 * still + 9)
  found = fitted(x, y, 1, pattern, 200)
  assert found.rate == 200 / 20_000
  assert (found.x_sp, found.x_inv) == pytest.approx((0.4, 0.2), abs=2e-3)
  assert (found.v_inv, found.v_sp) == pytest.approx((0.05**2, 0.04**2), rel=0.05)
