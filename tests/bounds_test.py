"""Certified bounds: naive twins, coverage, power, groups, strata; the Gaussian ceiling."""

import itertools

import numpy as np
import pytest
from scipy import optimize, special, stats

from ovl import bounds
from ovl.types import BadInput

HALF = np.array([0.5, 0.5])
ALPHA = 0.05
# name -> class points on the line, class shares, report rows; noise has unit variance.
WORLDS = {
  "two classes": (np.array([-1.414, 1.414]), HALF, 450),
  "independent": (np.zeros(3), np.array([0.5, 0.3, 0.2]), 300),
  "four unequal": (np.array([-2.0, 0, 2, 4]), np.array([0.6, 0.25, 0.1, 0.05]), 450),
  "few rows": (np.array([-3.0, 3.0]), np.array([0.9, 0.1]), 40),
}


def log_joint(z_N, mu_K, p_K):
  return stats.norm.logpdf(z_N[:, None], mu_K) + np.log(p_K)


def nats(mu_K, p_K):
  """I(z;s) of z = mu_s + N(0, 1) by quadrature."""
  z_N = np.linspace(mu_K.min() - 10, mu_K.max() + 10, 4001)
  log_NK = log_joint(z_N, mu_K, p_K)
  gain_NK = special.log_softmax(log_NK, 1) - np.log(p_K)
  return float(np.trapezoid((np.exp(log_NK) * gain_NK).sum(1), z_N))


def draw(seed, mu_K, p_K, n):
  gen = np.random.default_rng(seed)
  s_N = gen.choice(len(p_K), n, p=p_K)
  return log_joint(gen.normal(size=n) + mu_K[s_N], mu_K, p_K), s_N


def allowed(draws, error):
  return stats.binom.ppf(0.99, draws, error)


# ---- the parts, against naive twins ------------------------------------------------


def slow_mean_low(x, floor, alpha):
  """Bisection on m of the averaged capital, one product at a time."""
  bets = np.geomspace(1 / np.sqrt(len(x)), 0.99, bounds.BETS)
  bad, good = floor, float(np.mean(x))
  for _ in range(50):
    m = (bad + good) / 2
    wealth = 0.0
    for bet in bets / (m - floor):
      product = 1.0
      for value in x:
        product *= 1 + bet * (value - m)
      wealth += product / len(bets)
    bad, good = (m, good) if wealth >= 1 / alpha else (bad, m)
  return bad


@pytest.mark.parametrize("n", [1, 2, 7, 40])
@pytest.mark.parametrize("floor", [0.0, -3.0])
@pytest.mark.parametrize("alpha", [0.3, 0.01])
def test_mean_low_equals_a_slow_loop(n, floor, alpha):
  x = floor + 2 * np.random.default_rng(n).beta(2, 1, n)
  twin = slow_mean_low(x, floor, alpha)
  assert bounds.mean_low(x, floor, alpha) == pytest.approx(twin, abs=1e-6)
  assert bounds.mean_low(x[::-1], floor, alpha) == pytest.approx(twin, abs=1e-6)


def test_mean_low_at_the_edges():
  assert bounds.mean_low(np.empty(0), -1.0, 0.05) == -1.0
  assert bounds.mean_low(np.zeros(9), 0.0, 0.05) == 0.0
  assert 0 < bounds.mean_low(np.eye(1, 5000)[0], 0.0, 0.05) < 1 / 5000
  assert 0.99 < bounds.mean_low(np.ones(5000), 0.0, 0.05) < 1
  with pytest.raises(BadInput, match="floor"):
    bounds.mean_low(np.array([-0.1, 0.2]), 0.0, 0.05)
  with pytest.raises(BadInput, match="nan"):
    bounds.mean_low(np.array([np.nan, 0.2]), 0.0, 0.05)


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.97])
@pytest.mark.parametrize("unequal", [False, True])
def test_mean_low_covers_also_with_unequal_means(rate, unequal):
  """Coins have the most variance; unequal ones as of fixed task labels."""
  n, draws, alpha = 60, 1000, 0.2
  chance_N = np.full(n, rate)
  if unequal:
    spread = min(rate, 1 - rate)
    chance_N += np.where(np.arange(n) % 2, spread, -spread)
  counts = (np.random.default_rng(3).random((draws, n)) < chance_N).sum(1)
  low = {c: bounds.mean_low(np.arange(n) < c, 0.0, alpha) for c in np.unique(counts)}
  misses = sum(low[c] > rate for c in counts)
  assert misses <= allowed(draws, alpha)


def test_clopper_pearson_equals_scipy():
  low, high = bounds.clopper_pearson(np.array([0, 1, 17, 49, 50]), 50, 0.02)
  for k, one_low, one_high in zip([0, 1, 17, 49, 50], low, high, strict=True):
    twin = stats.binomtest(k, 50).proportion_ci(0.98, "exact")
    assert (one_low, one_high) == pytest.approx((twin.low, twin.high), abs=1e-10)


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("seed", range(8))
def test_kl_max_is_above_and_close_to_brute_force(K, seed):
  gen = np.random.default_rng(seed)
  r, p = gen.dirichlet(np.full(K, 2.0), 2)
  low, high = np.maximum(p - 0.1 * gen.random(K), 0), np.minimum(p + 0.1 * gen.random(K), 1)
  if K == 2:  # the intervals of complementary shares are complementary
    low[1], high[1] = 1 - high[0], 1 - low[0]
  axes = [np.linspace(a, b, 400) for a, b in zip(low[1:], high[1:], strict=True)]
  grid = np.array(list(itertools.product(*axes)))
  grid = np.column_stack([1 - grid.sum(1), grid])
  inside = (grid[:, 0] >= low[0] - 1e-12) & (grid[:, 0] <= high[0] + 1e-12)
  brute = special.rel_entr(np.maximum(grid[inside], 0), r).sum(1).max()
  # One class may be inside its interval, where the chord is above the curve.
  ends = special.rel_entr(np.stack([low, high]), r)
  middle = special.rel_entr((low + high) / 2, r)
  chord = 0.0 if K == 2 else 1.1 * (ends.mean(0) - middle).max()
  found = bounds.kl_max(low, high, r)
  assert brute - 1e-9 <= found <= brute + chord + 1e-3


def test_kl_max_of_a_known_and_of_an_unknown_mix():
  r = np.array([0.5, 0.3, 0.2])
  p = np.array([0.2, 0.2, 0.6])
  assert bounds.kl_max(p, p, r) == pytest.approx(special.rel_entr(p, r).sum())
  assert bounds.kl_max(np.zeros(3), np.ones(3), r) == pytest.approx(-np.log(0.2))


# ---- the lower bound ---------------------------------------------------------------


def test_half_a_nat_is_certified_from_450_rows():
  mu, p, n = WORLDS["two classes"]
  assert nats(mu, p) == pytest.approx(0.5, abs=1e-3)
  found = [bounds.lower(*draw(seed, mu, p, n), p) for seed in range(60)]
  assert np.mean([c.low for c in found]) >= 0.35
  assert np.mean([c.mean for c in found]) == pytest.approx(0.5, abs=0.03)
  for c in found:
    assert c.low == pytest.approx(c.mean_low - c.kl_high)
    assert c.mean_low < c.mean
    assert c.units == n


def test_the_error_is_split_over_the_parts():
  mu, p, n = WORLDS["four unequal"]
  log_q, s = draw(0, mu, p, n)
  certified = bounds.lower(log_q, s, p, level=0.9, mix=0.1)
  q = 0.9 * special.softmax(log_q, 1) + 0.1 * p
  ratio = np.log(q / p)[np.arange(n), s]
  assert certified.mean == pytest.approx(ratio.mean())
  assert certified.mean_low == pytest.approx(bounds.mean_low(ratio, np.log(0.1), 0.05))
  box = bounds.clopper_pearson(np.bincount(s), n, 0.05 / 4)
  assert certified.kl_high == pytest.approx(bounds.kl_max(*box, p))

  grouped = bounds.lower(log_q, s, p, level=0.9, groups_N=np.arange(n), mix=0.1)
  assert grouped.mean_low == pytest.approx(certified.mean_low)
  share = [(s == k).astype(float) for k in range(4)]
  low = np.array([bounds.mean_low(x, 0.0, 0.05 / 8) for x in share])
  high = np.array([1 - bounds.mean_low(1 - x, 0.0, 0.05 / 8) for x in share])
  assert grouped.kl_high == pytest.approx(bounds.kl_max(low, high, p))


def test_a_wrong_marginal_is_paid_for():
  """E[log q/r] is too high by KL(p || r): the price must be at least that."""
  mu, p = np.zeros(2), np.array([0.9, 0.1])
  _, s = draw(0, mu, p, 2000)
  certified = bounds.lower(np.tile(np.log(p), (2000, 1)), s, HALF)
  assert certified.mean_low > 0.25
  assert certified.kl_high >= special.rel_entr(p, HALF).sum()
  assert certified.low == 0.0


def check_coverage(world, draws):
  mu, p, n = WORLDS[world]
  truth = nats(mu, p)
  r = 0.9 * p + 0.1 / len(p)
  found = [bounds.lower(*draw(seed, mu, p, n), r, 1 - ALPHA) for seed in range(draws)]
  log_q, s = draw(10**6, mu, p, 200_000)
  ratio = 0.97 * np.exp(special.log_softmax(log_q, 1)) / r + 0.03
  gain = np.log(ratio[np.arange(len(s)), s])
  misses = sum(c.low > truth for c in found)
  assert misses <= allowed(draws, ALPHA)
  misses_mean = sum(
    c.mean_low > gain.mean() + 3 * gain.std() / np.sqrt(len(s)) for c in found
  )
  assert misses_mean <= allowed(draws, ALPHA / 2)
  misses_kl = sum(c.kl_high < special.rel_entr(p, r).sum() for c in found)
  assert misses_kl <= allowed(draws, ALPHA / 2)
  return misses


@pytest.mark.parametrize("world", WORLDS)
def test_the_bound_and_its_parts_cover(world):
  misses = check_coverage(world, 200)
  if world == "independent":
    assert misses <= 2


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS)
def test_the_bound_and_its_parts_cover_in_a_thousand_draws(world):
  check_coverage(world, 1000)


def test_rows_stratified_on_a_task_label_are_covered():
  """Half of the rows have y = 0; y moves both z and the chance of s."""
  chance_Y, mu_YK = np.array([0.15, 0.85]), np.array([[-1.5, -0.5], [0.5, 1.5]])
  y = np.repeat([0, 1], 150)
  share_YK = 0.5 * np.column_stack([1 - chance_Y, chance_Y])
  grid = np.linspace(-12, 12, 4001)

  def log_joint_mixed(z):
    return special.logsumexp(stats.norm.logpdf(z[:, None, None], mu_YK), 1, b=share_YK)

  log_NK = log_joint_mixed(grid)
  gain = special.log_softmax(log_NK, 1) - np.log(0.5)
  truth = np.trapezoid((np.exp(log_NK) * gain).sum(1), grid)
  found = []
  for seed in range(200):
    gen = np.random.default_rng(seed)
    s = (gen.random(300) < chance_Y[y]).astype(int)
    z = gen.normal(size=300) + mu_YK[y, s]
    found.append(bounds.lower(log_joint_mixed(z), s, HALF).low)
  assert np.sum(found > truth) <= allowed(200, ALPHA)
  assert np.mean(found) > 0.5 * truth


def test_rows_that_share_a_group_fool_the_plain_bound_only():
  """I(Z;S) = 0, but z and s of a group are one draw: 20 groups, not 8,000 rows."""
  group = np.repeat(np.arange(20), 400)
  false = false_groups = 0
  for seed in range(100):
    gen = np.random.default_rng(seed)
    s = gen.permutation(np.arange(20) % 2)[group]
    logit = 0.2 * gen.normal(size=20)[group]
    log_q = np.stack([-logit / 2, logit / 2], 1)
    false += bounds.lower(log_q, s, HALF).low > 0
    false_groups += bounds.lower(log_q, s, HALF, groups_N=group).low > 0
  assert false > 2 * allowed(100, ALPHA)
  assert false_groups <= allowed(100, ALPHA)


def test_groups_weigh_the_same_and_still_certify():
  gen = np.random.default_rng(0)
  group = np.repeat(np.arange(120), gen.integers(1, 9, 120))
  s = gen.integers(0, 2, 120)[group]
  z = gen.normal(size=len(s)) + np.array([-2, 2])[s]
  log_q = np.stack([-2 * z, 2 * z], 1)
  certified = bounds.lower(log_q, s, HALF, groups_N=group)
  ratio = np.log(0.97 * special.expit(4 * z * (2 * s - 1)) / 0.5 + 0.03)
  by_group = np.mean([ratio[group == g].mean() for g in range(120)])
  assert certified.mean == pytest.approx(by_group)
  assert certified.units == 120
  assert 0.25 < certified.low < np.log(2)


def test_logits_serve_as_log_q_and_classes_may_be_ruled_out():
  log_q, s = draw(0, *WORLDS["four unequal"])
  r = WORLDS["four unequal"][1]
  shifted = bounds.lower(log_q + np.arange(len(s))[:, None], s, r)
  assert shifted == pytest.approx(bounds.lower(log_q, s, r))
  impossible = np.where(np.arange(4) == 3, -np.inf, log_q)
  assert bounds.lower(impossible, s, r).mean < shifted.mean


@pytest.mark.parametrize("n", [0, 1])
def test_one_unit_or_none_certifies_nothing(n):
  log_q, s = np.zeros((n, 2)), np.zeros(n, int)
  assert bounds.lower(log_q, s, HALF)[0] == 0.0
  assert bounds.lower(log_q, s, HALF, groups_N=s)[0] == 0.0
  assert (
    bounds.lower(np.zeros((9, 2)), np.zeros(9, int), HALF, groups_N=np.ones(9)).low == 0
  )


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"r_K": np.array([0.5, 0.6])}, "sum to 1"),
    ({"r_K": np.array([1.0, 0.0])}, "positive shares"),
    ({"r_K": np.ones(3) / 3}, "2 positive"),
    ({"s_N": np.array([0, 1, 2])}, r"0\.\.1"),
    ({"s_N": np.array([0, 1, -1])}, r"0\.\.1"),
    ({"s_N": np.array([0, 1])}, r"\[N, K\]"),
    ({"log_q_NK": np.full((3, 2), np.nan)}, "nan"),
    ({"log_q_NK": np.full((3, 2), -np.inf)}, "no class left"),
    ({"groups_N": np.zeros(2)}, "groups_N"),
    ({"level": 95}, "level=95"),
    ({"mix": 0.0}, r"mix=0\.0"),
  ],
)
def test_bad_input_is_named_in_one_line(change, message):
  good = {"log_q_NK": np.zeros((3, 2)), "s_N": np.array([0, 1, 1]), "r_K": HALF}
  with pytest.raises(BadInput, match=message) as error:
    bounds.lower(**(good | change))
  assert "\n" not in str(error.value)


# ---- the upper bound of a Gaussian release -----------------------------------------


@pytest.mark.parametrize("clip", [0.05, 0.5, 1.0, 2.0, 8.0])
def test_two_points_on_the_line_stay_below_and_come_close(clip):
  best = optimize.minimize_scalar(
    lambda p: -nats(np.array([-clip, clip]), np.array([p, 1 - p])),
    bounds=(0.05, 0.95),
    method="bounded",
  )
  bound = bounds.gaussian_upper(clip, 1.0, 1, 2)
  assert -best.fun <= bound
  if clip == 0.05 or clip == 8.0:
    assert -best.fun > 0.99 * bound
  assert bounds.gaussian_upper(clip, 1.0, 500, 2) == bound  # two points span a line


@pytest.mark.parametrize("clip", [0.15, 1.0, 3.0, 8.0])
def test_three_points_on_the_circle_stay_below_and_come_close(clip):
  gen = np.random.default_rng(0)
  angle = 2 * np.pi * np.arange(3) / 3
  points = clip * np.column_stack([np.cos(angle), np.sin(angle)])
  noise = gen.normal(size=(200_000, 2))
  noise = np.concatenate([noise, -noise])
  gap = points[0] + noise  # by symmetry the first class speaks for all
  log_q = special.log_softmax(-0.5 * np.square(gap[:, None] - points).sum(2), 1)
  value = log_q[:, 0].mean() + np.log(3)
  error = log_q[:, 0].std() / np.sqrt(len(log_q))
  bound = bounds.gaussian_upper(clip, 1.0, 2, 3)
  assert value <= bound + 3 * error
  if clip == 0.15 or clip == 8.0:
    assert value > 0.9 * bound


def test_gaussian_upper_by_hand_and_its_order():
  assert bounds.gaussian_upper(2.0, 1.0, 1, 9) == pytest.approx(0.5 * np.log(5))
  assert bounds.gaussian_upper(2.0, 1.0, 4, 9) == pytest.approx(2 * np.log(2))
  assert bounds.gaussian_upper(9.0, 0.1, 4, 3) == pytest.approx(np.log(3))
  by_sigma = [bounds.gaussian_upper(1.0, s, 8, 5) for s in np.geomspace(0.01, 100, 40)]
  assert (np.diff(by_sigma) <= 0).all()
  by_classes = [bounds.gaussian_upper(1.0, 1.0, 8, k) for k in range(2, 20)]
  assert (np.diff(by_classes) >= 0).all()
  for T in (1, 3, 50):  # the mean of T releases has noise sigma / sqrt(T) and says all
    assert bounds.gaussian_upper(0.4, 2.0, 8, 5, releases=T) == pytest.approx(
      bounds.gaussian_upper(0.4, 2.0 / np.sqrt(T), 8, 5)
    )


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"sigma": 0.0}, r"sigma=0\.0"),
    ({"sigma": np.inf}, "sigma=inf"),
    ({"clip": -1.0}, r"clip=-1\.0"),
    ({"clip": np.nan}, "clip=nan"),
    ({"width": 0}, "width=0"),
    ({"classes": 1}, "classes=1"),
    ({"releases": 0}, "releases=0"),
  ],
)
def test_gaussian_upper_names_bad_input(change, message):
  good = {"clip": 1.0, "sigma": 1.0, "width": 4, "classes": 2}
  with pytest.raises(BadInput, match=message):
    bounds.gaussian_upper(**(good | change))
