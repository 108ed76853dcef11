"""Mixing, shares and permutation tests against naive twins."""

import numpy as np
import pytest
from scipy import stats as scipy_stats
from sklearn.metrics import r2_score

from ovl.judge import score
from ovl.judge.score import Guess

GEN = np.random.default_rng(0)


def guess(N=200, K=3, informative=True, weight=0.1):
  s = GEN.integers(0, K, N)
  q = GEN.dirichlet(np.ones(K), N)
  if informative:
    q = 0.3 * q + 0.7 * np.eye(K)[s]
  return Guess("discrete", q, np.full((N, K), 1 / K), weight), s


def test_log_ratio_by_hand():
  one, s = guess(5)
  twin = [np.log((0.9 * one.q_N[i, s[i]] + 0.1 / 3) / (1 / 3)) for i in range(5)]
  np.testing.assert_allclose(one.log_ratio(s), twin)


def test_one_confidently_wrong_row_cannot_carry_the_mean():
  q = np.tile([1.0, 0.0], (100, 1))
  s = np.zeros(100, int)
  s[0] = 1
  one = Guess("discrete", q, np.full((100, 2), 0.5))
  weight, _ = score.mix(one, s)
  worst = one._replace(weight=weight).log_ratio(s).min()
  assert worst >= np.log(weight) > -5


def test_mix_gives_up_where_nothing_was_learned():
  one, s = guess(2000, informative=False)
  weight, cost = score.mix(one, s)
  assert weight == 1.0
  assert cost == pytest.approx(np.log(3))
  assert score.mix(*guess(2000))[0] < 0.2


def test_information_and_share_by_hand():
  one, s = guess()
  found = score.metrics(one, s, np.log(3))
  mixed = 0.9 * one.q_N + 0.1 / 3
  twin = np.log(3) + np.log(mixed[np.arange(200), s]).mean()
  assert found["information"][0] == pytest.approx(twin)
  assert found["share"][0] == pytest.approx(twin / np.log(3))
  assert found["accuracy"][0] == pytest.approx((mixed.argmax(1) == s).mean())


def test_share_of_a_normal_pair_is_its_squared_correlation():
  rho2 = 0.4
  value, psi = score.share((-0.5 * np.log(1 - rho2), np.ones(3)), np.nan)
  assert value == pytest.approx(rho2)
  np.testing.assert_allclose(psi, 2 * (1 - rho2))
  assert score.share((-0.1, np.ones(3)), np.nan)[0] == pytest.approx(-0.2)


def test_normal_scores_are_standard_and_monotone():
  x = GEN.exponential(size=2000)
  z = score.normal_scores(x, x)
  assert z.mean() == pytest.approx(0, abs=0.01)
  assert z.std() == pytest.approx(1, abs=0.01)
  assert (np.diff(z[np.argsort(x)]) >= 0).all()
  assert np.isfinite(score.normal_scores(np.array([-9.0, 1e9]), x)).all()


def test_r2_equals_scikit_learn():
  values = GEN.normal(3, 2, 500)
  z = score.normal_scores(values, values)
  q = np.stack([0.8 * z + 0.1 * GEN.normal(size=500), np.zeros(500)], 1)
  one = Guess("continuous", q, np.zeros((500, 2)))
  predicted = np.quantile(values, scipy_stats.norm.cdf(q[:, 0]))
  assert score.r2(one, values, values)[0] == pytest.approx(r2_score(values, predicted))


def test_continuous_density_integrates_to_one():
  one = Guess("continuous", np.array([[0.5, -0.3]]), np.array([[0.0, 0.0]]), 0.3)
  grid = np.linspace(-12, 12, 20001)[:, None]
  total = np.exp(one.log_density(grid)).sum() * (grid[1, 0] - grid[0, 0])
  assert total == pytest.approx(1, abs=1e-6)


# ---- permutation tests ---------------------------------------------------------------


def p_of(one, s, y, groups=None, draws=199, seed=0):
  return score.permutation_p(one, s, s[score.shuffles(s, y, groups, draws, seed)])


def test_permutation_p_equals_a_naive_loop():
  one, s = guess(60, informative=False, weight=0.2)
  y = GEN.integers(0, 2, 60)
  rows = score.shuffles(s, y, None, 99, 3)
  null = np.array([one.log_ratio(s[r]).mean() for r in rows])
  twin = (1 + (null >= one.log_ratio(s).mean() - 1e-9).sum()) / 100
  assert score.permutation_p(one, s, s[rows]) == pytest.approx(twin, abs=0.011)


def test_leak_found_and_only_where_it_is():
  one, s = guess()
  y = np.zeros(200, int)
  assert p_of(one, s, y) == 1 / 200
  # All that is read is the label: within its classes nothing is left.
  assert p_of(one, s, s) == 1.0


def test_null_is_uniform_with_groups_of_either_kind():
  few = {"rows": 0, "whole": 0, "within": 0}
  for draw in range(300):
    gen = np.random.default_rng(draw)
    group = np.repeat(np.arange(30), 6)
    z = gen.normal(size=30)[group]  # a representation that knows the group
    y = gen.integers(0, 2, 180)
    for name, s in (
      ("rows", gen.integers(0, 2, 180)),
      ("whole", gen.integers(0, 2, 30)[group]),
      ("within", gen.integers(0, 2, 180)),
    ):
      p1 = 1 / (1 + np.exp(-z - gen.normal(size=180)))
      one = Guess("discrete", np.stack([1 - p1, p1], 1), np.full((180, 2), 0.5), 0.1)
      groups = None if name == "rows" else group
      few[name] += p_of(one, s, y, groups, 99, draw) <= 0.05
  for count in few.values():
    assert scipy_stats.binomtest(count, 300, 0.05).pvalue > 1e-3


def test_rows_treated_as_independent_would_be_fooled():
  """The negative of the test above: an attribute constant within groups."""
  fooled = 0
  for draw in range(100):
    gen = np.random.default_rng(draw)
    group = np.repeat(np.arange(30), 6)
    p1 = 1 / (1 + np.exp(-gen.normal(size=30)[group]))
    s = gen.integers(0, 2, 30)[group]
    one = Guess("discrete", np.stack([1 - p1, p1], 1), np.full((180, 2), 0.5), 0.1)
    fooled += p_of(one, s, np.zeros(180, int), None, 99, draw) <= 0.05
  assert fooled > 20


def test_shuffles_by_kind_of_group():
  group = np.repeat(np.arange(10), 3)
  constant, y = np.arange(10)[group] % 2, GEN.integers(0, 2, 30)
  rows = score.shuffles(constant, y, group, 20, 0)
  assert (constant[rows].reshape(20, 10, 3).std(2) == 0).all()
  varying = GEN.integers(0, 2, 30)
  rows = score.shuffles(varying, y, group, 20, 0)
  assert (group[rows] == group).all()
  assert (y[rows] == y).all()
