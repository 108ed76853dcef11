"""The leak test: exact twins, its rate on noise in every kind of groups, and its power."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from ovl.judge import leak
from ovl.posterior import Guess

GEN = np.random.default_rng(0)


def rows(s, y=None, groups=None, kind="discrete"):
  y = np.zeros(len(s), int) if y is None else y
  return leak.judged(kind, s, y, groups)


def binary(score_N, base=None):
  p1 = 1 / (1 + np.exp(-score_N))
  base = np.full((len(p1), 2), 0.5) if base is None else base
  return Guess("discrete", np.stack([1 - p1, p1], 1), base, 0.1)


def p_of(guess, one, draws=199, seed=0):
  return leak.p_values([guess], one, draws, seed)[0]


def test_statistic_equals_a_naive_loop():
  """f(i, s_i) less its means over rows and over classes of the label."""
  N, K = 40, 3
  s, y = GEN.integers(0, K, N), GEN.integers(0, 2, N)
  guess = Guess("discrete", GEN.dirichlet(np.ones(K), N), GEN.dirichlet(np.ones(K), N))
  found = leak.scores(guess, rows(s, y))
  f = guess.q_N / (guess.q_N + guess.base_N)
  for i in range(N):
    mine = np.flatnonzero(y == y[i])
    for k in range(K):
      over_rows = np.mean([f[j, k] for j in mine])
      over_classes = np.mean([f[i, s[j]] for j in mine])
      both = np.mean([f[j, s[m]] for j in mine for m in mine])
      assert found[i, k] == pytest.approx(f[i, k] - over_rows - over_classes + both)


def test_a_function_of_attribute_and_label_moves_nothing():
  s, y = GEN.integers(0, 3, 90), GEN.integers(0, 4, 90)
  table = GEN.dirichlet(np.ones(3), 4)
  guess = Guess("discrete", table[y], np.full((90, 3), 1 / 3))
  assert np.abs(leak.scores(guess, rows(s, y))).max() < 1e-12
  assert p_of(guess, rows(s, y)) == 1.0


def test_a_leak_is_found_and_only_where_it_is():
  s = GEN.integers(0, 2, 200)
  guess = binary(3.0 * s - 1.5)
  assert p_of(guess, rows(s)) == 1 / 200
  assert p_of(guess, rows(s, s)) == 1.0  # all that is read is the label


def draw_groups(gen, kind, G, sizes):
  """z knows the group, of whom nothing tells s."""
  size_G = np.full(G, 6) if sizes == "equal" else gen.integers(2, 12, G)
  group = np.repeat(np.arange(G), size_G)
  s = gen.integers(0, 2, G)[group]
  if kind == "typo":
    s[gen.integers(0, len(s))] ^= 1
  if kind == "varying":
    s = (gen.random(len(s)) < gen.random(G)[group]).astype(int)
  return group, s, gen.normal(size=G)[group] + 0.5 * gen.normal(size=len(s))


def rate(kind, label, G, sizes, draws):
  few = 0
  for draw in range(draws):
    gen = np.random.default_rng([draw, G])
    group, s, score_N = draw_groups(gen, kind, G, sizes)
    y = np.zeros(len(s), int)
    if label == "of the group":
      y = gen.integers(0, 2, G)[group]
    if label == "varying":
      y = (gen.random(len(s)) < 0.3 + 0.4 * s).astype(int)
    few += p_of(binary(score_N), rows(s, y, group), 99, draw) <= 0.05
  return few


@pytest.mark.parametrize("label", ["none", "of the group", "varying"])
@pytest.mark.parametrize("kind", ["constant", "typo", "varying"])
def test_noise_is_called_a_leak_no_more_often_than_stated(kind, label):
  few = rate(kind, label, 30, "equal", 200)
  assert scipy_stats.binomtest(few, 200, 0.05, "greater").pvalue > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("label", ["none", "of the group", "varying"])
@pytest.mark.parametrize("kind", ["constant", "typo", "varying"])
@pytest.mark.parametrize("G", [12, 20, 60])
@pytest.mark.parametrize("sizes", ["equal", "unequal"])
def test_rate_over_many_draws(sizes, G, kind, label):
  few = rate(kind, label, G, sizes, 1000)
  assert scipy_stats.binomtest(few, 1000, 0.05, "greater").pvalue > 1e-4


def test_rows_treated_as_independent_would_be_fooled():
  fooled = 0
  for draw in range(100):
    _, s, score_N = draw_groups(np.random.default_rng(draw), "constant", 30, "equal")
    fooled += p_of(binary(score_N), rows(s), 99, draw) <= 0.05
  assert fooled > 20


@pytest.mark.parametrize("kind", ["constant", "typo"])
@pytest.mark.parametrize("label", ["none", "varying"])
def test_one_irregular_row_hides_nothing(kind, label):
  group, s, _ = draw_groups(np.random.default_rng(1), kind, 40, "equal")
  y = None if label == "none" else GEN.integers(0, 2, len(s))
  assert p_of(binary(4.0 * s - 2), rows(s, y, group)) <= 0.01


def test_a_quantity_by_its_ranks():
  s = GEN.normal(size=300)
  blind = np.zeros((300, 2))
  knows = Guess(
    "continuous", np.stack([s + 0.3 * GEN.normal(size=300), blind[:, 0] - 1], 1), blind
  )
  assert p_of(knows, rows(s, kind="continuous")) == 1 / 200
  nothing = Guess("continuous", np.stack([GEN.normal(size=300), blind[:, 0]], 1), blind)
  assert p_of(nothing, rows(s, kind="continuous")) > 0.01


def test_reach_counts_what_can_be_exchanged():
  s = np.array([0, 1] * 10)
  assert leak.reach(rows(s), 999) == pytest.approx(1 / 1000)
  alone = np.arange(20)
  assert leak.reach(rows(s, alone), 999) == 1.0  # every row has a label of its own
  pairs = np.repeat(np.arange(10), 2)
  assert leak.reach(rows(s, pairs), 9999) == pytest.approx(2.0**-10)
  three = np.repeat(np.arange(4), 5)
  assert leak.reach(rows(three % 2, None, three), 9999) >= 0.1


def test_draws_in_blocks_are_the_draws(monkeypatch):
  s, y = GEN.integers(0, 2, 60), GEN.integers(0, 2, 60)
  guess = binary(GEN.normal(size=60) + 0.3 * s)
  whole = p_of(guess, rows(s, y), 400)
  monkeypatch.setattr(leak, "BLOCK", 60 * 7)
  assert p_of(guess, rows(s, y), 400) == pytest.approx(whole, abs=0.06)


@pytest.mark.parametrize("K", [2, 10, 30])
def test_detectable_nats_of_an_ideal_reader(K):
  """With no noise in the reader the law is that of a normal shift: z^2 / 2n."""
  z = scipy_stats.norm.isf(0.025) + scipy_stats.norm.ppf(0.8)
  assert leak.detectable_nats(500, K, 0, 100, 1, 0.05) == pytest.approx(z**2 / 1000)
  more = leak.detectable_nats(500, K, 64, 600, 1, 0.05)
  assert more > leak.detectable_nats(500, K, 8, 600, 1, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("K", [2, 10, 30])
def test_stated_power_is_met(K):
  import ovl

  N, D, draws = 1500, 64, 60
  gen = np.random.default_rng(5)

  def verdict(z, s, metric="share_beyond_task"):
    found = ovl.audit({"z": z}, {"s": s}, critics="linear", discrete=("s",)).rows
    return next(r for r in found if r.metric == metric and r.seed is None)

  blank = verdict(gen.normal(size=(N, D)), gen.integers(0, K, N), "detectable_share")
  mu = np.eye(K) - 1 / K
  mu *= np.sqrt(2 * blank.value * np.log(K)) / np.linalg.norm(mu[0])
  found = 0
  for _ in range(draws):
    s = gen.integers(0, K, N)
    z = gen.normal(size=(N, D))
    z[:, :K] += mu[s]
    found += next(
      r.verdict == "leaks"
      for r in ovl.audit({"z": z}, {"s": s}, critics="linear", discrete=("s",)).rows
      if r.verdict
    )
  assert 0.65 <= found / draws <= 0.97
