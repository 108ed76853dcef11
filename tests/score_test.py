"""Mixing and shares against naive twins."""

import numpy as np
import pytest
from scipy import stats as scipy_stats
from sklearn.metrics import r2_score

from ovl import posterior, ranks
from ovl.judge import score
from ovl.posterior import Guess

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
  weight, _ = posterior.mix(one, s)
  worst = one._replace(weight=weight).log_ratio(s).min()
  assert worst >= np.log(weight) > -5


def test_mix_gives_up_where_nothing_was_learned():
  one, s = guess(2000, informative=False)
  weight, cost = posterior.mix(one, s)
  assert weight == 1.0
  assert cost == pytest.approx(np.log(3))
  assert posterior.mix(*guess(2000))[0] < 0.2


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
  z = ranks.normal_scores(x, x)
  assert z.mean() == pytest.approx(0, abs=0.01)
  assert z.std() == pytest.approx(1, abs=0.01)
  assert (np.diff(z[np.argsort(x)]) >= 0).all()
  assert np.isfinite(ranks.normal_scores(np.array([-9.0, 1e9]), x)).all()


def test_r2_equals_scikit_learn():
  values = GEN.normal(3, 2, 500)
  z = ranks.normal_scores(values, values)
  q = np.stack([0.8 * z + 0.1 * GEN.normal(size=500), np.zeros(500)], 1)
  one = Guess("continuous", q, np.zeros((500, 2)))
  predicted = np.quantile(values, scipy_stats.norm.cdf(q[:, 0]))
  assert score.r2(one, values, values)[0] == pytest.approx(r2_score(values, predicted))


def test_r2_of_ranks_is_of_their_mean():
  """A law of four parts of the ranks predicts its mean, whatever its first part is."""
  values = GEN.normal(size=4000)
  z = ranks.normal_scores(values, values)
  parts = np.minimum((scipy_stats.norm.cdf(z) * 4).astype(int), 3)
  sure = Guess("continuous", np.eye(4)[parts], np.zeros((4000, 2)))
  assert score.r2(sure, values, values)[0] > 0.8
  blind = Guess("continuous", np.full((4000, 4), 0.25), np.zeros((4000, 2)))
  assert score.r2(blind, values, values)[0] == pytest.approx(0, abs=0.01)


def test_continuous_density_integrates_to_one():
  one = Guess("continuous", np.array([[0.5, -0.3]]), np.array([[0.0, 0.0]]), 0.3)
  grid = np.linspace(-12, 12, 20001)[:, None]
  total = np.exp(one.log_density(grid)).sum() * (grid[1, 0] - grid[0, 0])
  assert total == pytest.approx(1, abs=1e-6)


def test_share_never_exceeds_one_and_is_a_ratio_where_the_base_is_worse():
  s = np.array([0, 1, 1, 0])
  q = np.eye(2)[s] * 0.98 + 0.01
  bad = np.full((4, 2), 0.5)
  bad[0] = 0.1, 0.9  # the base is worse than H(S) = log 2
  one = Guess("discrete", q, bad, 0.0)
  left = -np.log(bad[np.arange(4), s])
  gain = np.log(0.99) + left
  value, psi_N = score.share_of(one, s, np.log(2))
  assert value == pytest.approx(gain.mean() / left.mean())
  assert value < 1
  # Influence values by the naive twin: leave a little of each row out.
  step = 1e-6
  for i in range(4):
    w = np.full(4, 0.25)
    w = (1 - step) * w
    w[i] += step
    moved = (w * gain).sum() / (w * left).sum()
    assert psi_N[i] == pytest.approx((moved - value) / step, rel=1e-4, abs=1e-6)


def test_tilt_is_bayes_rule_at_another_mix():
  """Two normals, learnt at 90/10, judged at 50/50."""
  x = GEN.normal(size=50)
  density = scipy_stats.norm.pdf(x[:, None], [0, 1])
  learnt, there = np.repeat([0, 1], [900, 100]), np.repeat([0, 1], [500, 500])

  def said(codes):
    joint = density * (np.bincount(codes) + 0.5)
    return joint / joint.sum(1, keepdims=True)

  np.testing.assert_allclose(posterior.tilt(said(learnt), learnt, there), said(there))


# ---- a quantity as its ranks -----------------------------------------------------------


def tied(values):
  z = ranks.normal_scores(values, values)
  return z, ranks.tie_edges(values)


def test_tied_values_have_probabilities():
  """25 whole values: sums to one over them, and no prediction says more than log 25."""
  values = np.repeat(np.arange(25.0), 20)
  z, edges = tied(values)
  blind = np.zeros((500, 2))
  one = Guess("continuous", np.stack([z, np.full(500, -5.0)], 1), blind, 0.0, edges)
  every = one.density(blind, np.unique(z))
  np.testing.assert_allclose(every, 1 / 25)
  assert one.density(one.q_N, np.unique(z)).sum(1) == pytest.approx(np.ones(500))
  assert score.metrics(one, z, np.nan)["information"][0] == pytest.approx(np.log(25))


def test_without_ties_it_is_the_density_ratio():
  z, edges = tied(GEN.normal(size=4000))
  q = np.stack([0.8 * z + 0.3 * GEN.normal(size=4000), np.full(4000, -0.8)], 1)
  fine = Guess("continuous", q, np.zeros((4000, 2)), 0.05, edges)
  middle = np.abs(z) < 2  # intervals are wide where values are rare
  np.testing.assert_allclose(
    fine.log_ratio(z)[middle], fine._replace(edges=None).log_ratio(z)[middle], atol=0.02
  )


def test_far_tails_do_not_cancel():
  edges = scipy_stats.norm.ppf(np.arange(1, 1000) / 1000)
  one = Guess("continuous", np.array([[-3.0, -1.0]]), np.zeros((1, 2)), 0.0, edges)
  mass = one.density(one.q_N, np.array([2.9]))[0, 0]
  low, high = edges[np.searchsorted(edges, 2.9) - 1 :][:1], np.inf
  twin = scipy_stats.norm.sf((low[0] + 3) / np.exp(-1)) - scipy_stats.norm.sf(high)
  assert mass == pytest.approx(twin, rel=1e-6)


def test_law_given_the_label_by_ranks():
  """The half-normal: the label says which half, and that is log 2."""
  z, edges = tied(GEN.normal(size=3000))
  y = (z > 0).astype(int)
  tables = posterior.by_ranks(z, y, 2)
  for table in tables:
    one = Guess("continuous", table[y], np.zeros((3000, 2)), 0.0, edges)
    assert one.density(table[y], z[:9]).shape == (3000, 9)
    assert one.log_ratio(z).mean() == pytest.approx(np.log(2), abs=0.03)


def statements(seed, K=50, N=500):
  """A base and a critic that both know the marginal from few rows, and z not at all."""
  gen = np.random.default_rng(seed)
  learnt = [(np.bincount(gen.integers(0, K, 400), minlength=K) + 1.0) for _ in range(2)]
  base_NK, said_NK = (np.tile(c / c.sum(), (N, 1)) for c in learnt)
  return said_NK, base_NK, gen.integers(0, K, N)


def test_a_second_statement_of_the_marginal_is_not_credited_to_z():
  """Mixed with the base it is better than the base: by nothing that z holds."""
  credited = kept = 0.0
  for seed in range(20):
    said_NK, base_NK, s_N = statements(seed)
    guess = posterior.Guess("discrete", said_NK, base_NK, 0.5)
    credited += guess.log_ratio(s_N).mean()
    own = posterior.marginalised(guess, s_N)
    assert np.abs(own.log_ratio(s_N)).max() == 0 or own.reference_N is None
    kept += own.log_ratio(s_N).mean()
  assert credited / 20 > 0.02
  assert kept / 20 < 1e-3


def test_marginalised_twin_and_what_z_does_hold():
  gen = np.random.default_rng(0)
  s_N = gen.integers(0, 3, 2000)
  q_NK = 0.1 + 0.7 * np.eye(3)[s_N]
  guess = posterior.Guess(
    "discrete", q_NK / q_NK.sum(1, keepdims=True), np.full((2000, 3), 1 / 3), 0.2
  )
  own = posterior.marginalised(guess, s_N)
  mixed_NK = 0.8 * guess.q_N + 0.2 / 3
  best = max(np.log(mixed_NK.mean(0))[s_N].mean(), np.log(1 / 3))
  twin = np.log(mixed_NK[np.arange(2000), s_N]).mean() - best
  assert own.log_ratio(s_N).mean() == pytest.approx(twin)
  assert twin > 0.5
