"""Entropies, influence values, intervals, Holm, permutations: against naive twins."""

import numpy as np
import pytest
from scipy import stats as scipy_stats
from sklearn import metrics as sk

from ovl import stats

GEN = np.random.default_rng(0)


def test_entropies():
  assert stats.entropy(np.array([0, 0, 1, 1]), 2) == pytest.approx(np.log(2))


def test_label_table_is_a_distribution_and_learns():
  y = GEN.integers(0, 3, 5000)
  table = stats.label_table((y > 0).astype(int), y, 4, 2)
  np.testing.assert_allclose(table.sum(1), 1)
  assert table[0, 0] > 0.99
  assert table[1, 1] > 0.99
  np.testing.assert_allclose(table[3], [1 / 3, 2 / 3], atol=0.02)  # never seen: marginal


def test_auc_and_recalls_equal_scikit_learn():
  s = GEN.integers(0, 3, 400)
  p = GEN.dirichlet([1, 1, 1], 400)
  p[np.arange(400), s] += 0.3
  p = np.round(p / p.sum(1, keepdims=True), 2)  # ties
  correct = (p.argmax(1) == s).astype(float)
  recalls = [stats.recall(correct, s, k) for k in range(3)]
  assert stats.average(recalls)[0] == pytest.approx(
    sk.balanced_accuracy_score(s, p.argmax(1))
  )
  for k in range(3):
    assert stats.auc(p[:, k], s == k)[0] == pytest.approx(sk.roc_auc_score(s == k, p[:, k]))


@pytest.mark.parametrize("name", ["mean", "recall", "auc"])
def test_influence_values_predict_what_dropping_a_row_does(name):
  s = GEN.integers(0, 2, 300)
  score = GEN.normal(size=300) + s
  correct = ((score > 0.5) == s).astype(float)
  fun = {
    "mean": lambda i: stats.mean(score[i]),
    "recall": lambda i: stats.recall(correct[i], s[i], 1),
    "auc": lambda i: stats.auc(score[i], s[i] == 1),
  }[name]
  everything = np.arange(300)
  value, psi = fun(everything)
  assert psi.mean() == pytest.approx(0, abs=1e-12)
  for row in range(0, 300, 37):
    dropped = fun(np.delete(everything, row))[0]
    assert dropped - value == pytest.approx(-psi[row] / 299, abs=2e-4)


def interval(x, group=None):
  unit = np.arange(len(x)) if group is None else group
  return stats.over_models_and_examples([stats.mean(x)], [unit], 0.95)[2:]


def test_intervals_of_rows_and_of_groups_cover():
  hit = hit_groups = wider = 0
  for draw in range(300):
    gen = np.random.default_rng(draw)
    group = np.repeat(np.arange(40), 5)
    x = gen.normal(size=40)[group] + gen.normal(size=200)
    free = gen.normal(size=200)
    (low, high), (low2, high2), rows = interval(free), interval(x, group), interval(x)
    hit += low < 0 < high
    hit_groups += low2 < 0 < high2
    wider += high2 - low2 > rows[1] - rows[0]
  assert scipy_stats.binomtest(hit, 300, 0.95).pvalue > 1e-3
  assert scipy_stats.binomtest(hit_groups, 300, 0.95).pvalue > 1e-3
  assert wider == 300


@pytest.mark.parametrize("groups", [4, 6, 10])
def test_intervals_of_few_groups_of_any_size_cover(groups):
  """The percentile bootstrap that stood here covered .64 to .76 of these."""
  hits = {"equal": 0, "unequal": 0}
  for draw in range(600):
    gen = np.random.default_rng(draw)
    sizes = {"equal": np.full(groups, 20), "unequal": gen.lognormal(3, 1, groups)}
    for name, n_G in sizes.items():
      group = np.repeat(np.arange(groups), np.maximum(n_G.astype(int), 1))
      low, high = interval(
        gen.normal(size=groups)[group] + gen.normal(size=len(group)), group
      )
      hits[name] += not low > 0 and not high < 0  # nan: it says that it cannot be said
  assert scipy_stats.binomtest(hits["equal"], 600, 0.95).pvalue > 1e-3
  assert hits["unequal"] / 600 > 0.94  # cautious: sizes that differ cost freedom


def test_one_group_with_nearly_all_rows_has_no_interval():
  group = np.repeat([0, 1, 2], [500, 3, 3])
  mean, p, low, high = stats.over_models_and_examples(
    [stats.mean(np.random.default_rng(0).normal(size=506))], [group], 0.95
  )
  assert np.isfinite(mean)
  assert np.isnan([p, low, high]).all()


def test_variance_of_groups_by_hand():
  """Two models on common rows of groups of 2, 1 and 1."""
  psi = [np.array([1.0, 1.0, -3.0, 1.0]), np.array([0.0, 2.0, -1.0, -1.0])]
  unit = [np.array([0, 0, 1, 2])] * 2
  e_U = np.array([2 + 2, -3 - 1, 1 - 1]) / 8
  h_U = np.array([0.5, 0.25, 0.25])
  v_U = h_U**2 * (1 - h_U)
  variance, freedom = stats.shared_variance(psi, unit)
  assert variance == pytest.approx((e_U**2 / (1 - h_U)).sum())
  assert freedom == pytest.approx(v_U.sum() ** 2 / (v_U**2).sum() - 1)
  rows = stats.shared_variance([stats.mean(np.arange(5.0))[1]], [np.arange(5)])
  assert rows == (pytest.approx(np.var(np.arange(5), ddof=1) / 5), pytest.approx(4))


def test_excess_of_numbers_without_influence_values():
  hits = few = 0
  for draw in range(300):
    _, p, low, high = stats.excess(np.random.default_rng(draw).normal(size=5), 0.95)
    hits += low < 0 < high
    few += p <= 0.05
  assert scipy_stats.binomtest(hits, 300, 0.95).pvalue > 1e-3
  assert scipy_stats.binomtest(few, 300, 0.05).pvalue > 1e-3
  twin = scipy_stats.ttest_1samp([1.0, 2.0, 4.0], 0, alternative="greater")
  assert stats.excess(np.array([1.0, 2.0, 4.0]), 0.95)[1] == pytest.approx(twin.pvalue)
  assert stats.excess(np.full(6, 0.01), 0.95)[1] == 1


def test_holm_by_hand():
  np.testing.assert_allclose(
    stats.holm(np.array([0.01, np.nan, 0.04, 0.03])), [0.03, np.nan, 0.06, 0.06]
  )


def test_combine():
  assert stats.combine(np.array([0.01])) == 0.01
  assert stats.combine(np.array([0.01, 0.02, 0.9])) == 0.04
  assert np.isnan(stats.combine(np.empty(0)))


def of_models(gen, S, units, model, shared, own, apart=False, rows=1):
  """Metrics of S models whose mean is 0, with examples in common (or apart)."""
  common = gen.normal(size=units) * shared
  metrics, unit = [], []
  for s in range(S):
    base = gen.normal(size=units) * shared if apart else common
    x = base + gen.normal(size=units) * own + gen.normal() * model
    metrics.append(stats.mean(np.repeat(x, rows)))
    unit.append(np.repeat(np.arange(units) + apart * s * units, rows))
  return metrics, unit


@pytest.mark.parametrize(
  "world",
  [
    dict(S=6, units=200, model=0.0, shared=1, own=0.05),  # nearly copies
    dict(S=3, units=200, model=0.1, shared=1, own=1),
    dict(S=8, units=200, model=0.5, shared=1, own=1),
    dict(S=5, units=200, model=0.0, shared=1, own=1, apart=True),
    dict(S=1, units=6, model=0.0, shared=1, own=1, rows=20),  # six groups
    dict(S=5, units=6, model=0.1, shared=1, own=0.3, rows=20),
  ],
)
def test_interval_over_models_and_examples_covers(world):
  hits = few = 0
  for draw in range(600):
    metrics, units = of_models(np.random.default_rng(draw), **world)
    _, p, low, high = stats.over_models_and_examples(metrics, units, 0.95)
    hits += low <= 0 <= high
    few += p <= 0.05
  # Exact where one source of variance is alone, cautious where models and examples vary.
  assert scipy_stats.binomtest(hits, 600, 0.95, "less").pvalue > 1e-3
  assert scipy_stats.binomtest(few, 600, 0.05, "greater").pvalue > 1e-3
  assert hits <= 0.99 * 600


@pytest.mark.parametrize("S", [2, 3])
@pytest.mark.parametrize("model", [0.03, 0.3])
def test_interval_of_two_or_three_models_covers(S, model):
  hits = 0
  for draw in range(600):
    gen = np.random.default_rng(draw)
    metrics, units = of_models(gen, S, 200, model, 1, 0.2)
    _, p, low, high = stats.over_models_and_examples(metrics, units, 0.95)
    hits += low <= 0 <= high
    # p and interval are one statement.
    assert (p <= 0.025) == (low >= 0)
    assert (p >= 0.975) == (high <= 0)
  assert scipy_stats.binomtest(hits, 600, 0.95, "less").pvalue > 1e-3


def test_interval_of_copies_is_that_of_one():
  (one,), (unit,) = of_models(np.random.default_rng(0), 1, 50, 0, 1, 0)
  single = stats.over_models_and_examples([one], [unit], 0.95)
  copies = stats.over_models_and_examples([one] * 6, [unit] * 6, 0.95)
  np.testing.assert_allclose(copies, single)
  equal = stats.paired([one] * 6, [one] * 6, [unit] * 6, 0.95)
  assert equal == (0.0, 1.0, 0.0, 0.0)


def test_smoothing_of_many_labels_keeps_the_entropy():
  """A coin a row and 400 labels: the plug-in loses a third of it, this one nothing."""
  gen = np.random.default_rng(0)
  y = np.repeat(np.arange(400), 3)
  s = gen.integers(0, 2, 1200)
  assert stats.smoothing(s, y, 400, 2)[1] == pytest.approx(np.log(2), abs=0.02)
  assert stats.smoothing(y % 2, y, 400, 2)[1] < 0.005
  # leave-one-out by a naive loop
  pseudo, cost = stats.smoothing(s[:60], y[:60], 20, 2)
  marginal = (np.bincount(s[:60]) + 1) / 62
  twin = []
  for i in range(60):
    others = (y[:60] == y[i]) & (np.arange(60) != i)
    count = (s[:60][others] == s[i]).sum()
    twin.append(-np.log((count + pseudo * marginal[s[i]]) / (others.sum() + pseudo)))
  assert cost == pytest.approx(np.mean(twin))


def test_permutation_p_is_valid_and_counts_ties():
  assert stats.permutation_p(1.0, np.ones(99)) == 1.0
  assert stats.permutation_p(2.0, np.ones(99)) == 0.01
  p = [
    stats.permutation_p(g.normal(), g.normal(size=199))
    for g in map(np.random.default_rng, range(500))
  ]
  assert scipy_stats.binomtest(int((np.array(p) <= 0.05).sum()), 500, 0.05).pvalue > 1e-3


@pytest.mark.parametrize("cells", [1, 20, 300])
@pytest.mark.parametrize("models", [1, 8])
def test_enough_draws_to_reach_a_fifth_of_the_level(cells, models):
  best = 1 / (1 + stats.draws_needed(cells, 0.05, models))
  combined = stats.combine(np.full(models, best))
  adjusted = stats.holm(np.array([combined] + [1.0] * (cells - 1)))[0]
  assert adjusted <= 0.01 + 1e-12
