"""Releases: rows are clipped, noise is as stated, the bound holds of what comes out."""

import importlib

import numpy as np
import pytest
from scipy import special

from ovl import bounds
from ovl.types import BadInput

# The package names the factory alike.
gaussian = importlib.import_module("ovl.releases.gaussian")

Z = 3 * np.random.default_rng(0).normal(size=(400, 5, 7))


def norms(z):
  return np.linalg.norm(z.reshape(len(z), -1), axis=1)


def test_rows_are_clipped_to_the_norm_and_short_ones_left_alone():
  z = Z * np.linspace(0, 0.2, 400)[:, None, None]
  quiet = gaussian.release(clip=2.0, sigma=1e-9)(z)
  assert quiet.shape == z.shape
  assert norms(quiet).max() <= 2.0 + 1e-6
  short = norms(z) <= 2.0
  assert 0 < short.sum() < 400
  np.testing.assert_allclose(quiet[short], z[short], atol=1e-7)
  np.testing.assert_allclose(norms(quiet)[~short], 2.0, atol=1e-6)
  direction = z[~short] / norms(z)[~short, None, None]
  np.testing.assert_allclose(quiet[~short] / 2.0, direction, atol=1e-7)


def test_noise_is_normal_of_the_sigma():
  noise = gaussian.release(1.0, 0.7)(np.zeros((400, 5, 7)), 3)
  assert noise.std() == pytest.approx(0.7, rel=0.03)
  assert noise.mean() == pytest.approx(0, abs=0.03)
  assert (np.abs(noise) < 0.7).mean() == pytest.approx(0.6827, abs=0.02)


def test_the_same_seed_gives_the_same_bytes():
  release = gaussian.release(1.0, 0.5)
  assert release(Z, 4).tobytes() == release(Z, 4).tobytes()
  assert release(Z, 4).tobytes() == release(Z, np.random.default_rng(4)).tobytes()
  assert release(Z, 4).tobytes() != release(Z, 5).tobytes()


@pytest.mark.parametrize("shape", [(0, 3), (6,), (6, 1)])
def test_any_shape_of_rows(shape):
  assert gaussian.release()(np.ones(shape)).shape == shape


@pytest.mark.parametrize("bound", [1e-6, 0.05, 0.5, 1.0])
@pytest.mark.parametrize(("classes", "width", "releases"), [(3, 64, 1), (10, 4, 7)])
def test_sigma_for_inverts_the_bound(bound, classes, width, releases):
  sigma = gaussian.sigma_for(bound, 2.0, classes, width, releases)
  release = gaussian.release(2.0, sigma)
  assert release.bound(classes, width, releases) == pytest.approx(bound)
  assert release.bound(classes, width) <= bound * (1 + 1e-9)


def test_what_comes_out_carries_no_more_than_the_bound():
  """The exact posterior of the releases of a leaky representation certifies less."""
  gen = np.random.default_rng(1)
  s = gen.integers(0, 3, 20_000)
  z = 100 * np.eye(3)[s]  # clipped to the three unit vectors
  for sigma in (0.3, 0.6, 1.5):
    release = gaussian.release(1.0, sigma)
    out = release(z, gen)
    log_q = special.log_softmax(out / sigma**2, 1)
    certified = bounds.lower(log_q, s, np.ones(3) / 3)
    assert certified.low < release.bound(3, 3)
    assert certified.mean > 0.6 * release.bound(3, 3)


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (lambda: gaussian.release(0.0, 1.0), r"clip=0\.0"),
    (lambda: gaussian.release(1.0, -1.0), r"sigma=-1\.0"),
    (lambda: gaussian.release()(np.array([[0.0, np.nan]])), "nan"),
    (lambda: gaussian.release()(np.array([[0.0, np.inf]])), "infinite"),
    (lambda: gaussian.sigma_for(0.0, 1.0, 2, 8), r"bound=0\.0"),
    (lambda: gaussian.sigma_for(0.7, 1.0, 2, 8), r"have 0\.6931 nats"),
    (lambda: gaussian.sigma_for(0.1, 1.0, 1, 8), "classes=1"),
  ],
)
def test_bad_input_is_named_in_one_line(call, message):
  with pytest.raises(BadInput, match=message) as error:
    call()
  assert "\n" not in str(error.value)
