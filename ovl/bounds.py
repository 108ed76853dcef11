"""Certified bounds on I(Z;S) in nats, valid at finite samples with no asymptotics.

`lower` certifies a leak: of a critic and a class marginal fixed before the report rows
were seen. `gaussian_upper` certifies a release: of clipped and noised activations.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special, stats

from ovl.types import BadInput

BETS = 32


class Certified(NamedTuple):
  """A certified lower bound on I(Z;S) and what it is made of.

  Attributes:
    low: the bound, max(0, `mean_low` - `kl_high`), in nats.
    mean: the empirical mean log-ratio log q'(s|z)/r(s), in nats; nan without units.
    mean_low: lower confidence bound of its expectation, in nats.
    kl_high: upper confidence bound of KL(p || r), in nats.
    units: rows, or groups where there are any.
  """

  low: float
  mean: float
  mean_low: float
  kl_high: float
  units: int


def lower(
  log_q_NK: np.ndarray,
  s_N: np.ndarray,
  r_K: np.ndarray,
  level: float = 0.95,
  groups_N: np.ndarray | None = None,
  mix: float = 0.03,
) -> Certified:
  """Lower confidence bound on I(Z;S) from a critic q(s|z) and fresh rows.

  For any q and r fixed beforehand and the true class shares p,

    I(Z;S) >= E[log q'(s|z) / r(s)] - KL(p || r),    q' = (1 - mix) q + mix r,

  and the log-ratio is at least log(mix). Half of the error 1 - level goes to the
  expectation (`mean_low`), half to the divergence: `kl_max` over a box for p, one
  interval a class by Bonferroni (one in all for two classes).

  It holds for independent rows, and for rows independent given a task label whose counts
  were fixed: it is then about I(Z;S) at that mix, the average of the rows' laws. With
  groups only these need be independent, and it is about the law that draws a group, then
  one of its rows: every group weighs the same, in the expectation as in p.

  Args:
    log_q_NK: log q(s|z) of each row; normalised over the classes here.
    s_N: codes `0..K-1`.
    r_K: a marginal such as the class shares of the training rows.
    level: one-sided coverage. For m critics at once give 1 - (1 - level) / m.
    groups_N: the group of each row, or None.
    mix: the weight of r in q', fixed beforehand. It costs at most -log(1 - mix) nats.

  Returns:
    `Certified`; fewer than two units certify 0.

  Raises:
    BadInput: shapes that do not fit, codes out of range, nan, r no positive distribution,
      level or mix not between 0 and 1.

  References:
    Barber, Agakov (2003), NIPS, for the bound; Waudby-Smith, Ramdas (2024), JRSS B 86(1).
  """
  log_q_NK, s_N, r_K = np.asarray(log_q_NK, float), np.asarray(s_N), np.asarray(r_K, float)
  _fraction(level=level, mix=mix)
  _check(log_q_NK, s_N, r_K, groups_N)
  n, K = log_q_NK.shape
  log_q_N = special.log_softmax(log_q_NK, axis=1)[np.arange(n), s_N]
  ratio_N = np.log((1 - mix) * np.exp(log_q_N) / r_K[s_N] + mix)
  units_U = ratio_N if groups_N is None else _group_means(ratio_N, groups_N)
  half = (1 - level) / 2
  low_K, high_K = _box(s_N, groups_N, K, half)
  mean = float(units_U.mean()) if len(units_U) else np.nan
  certain, kl = mean_low(units_U, np.log(mix), half), kl_max(low_K, high_K, r_K)
  return Certified(max(0.0, certain - kl), mean, certain, kl, len(units_U))


def mean_low(x_N: np.ndarray, floor: float, alpha: float) -> float:
  """Lower confidence bound of the mean of independent numbers that are >= `floor`.

  Of y = x - floor and a bet 0 < b < 1 the capital prod_i (1 - b + b y_i / m) has
  expectation <= 1 where the mean of E[y_i] is at most m: exactly for equal means, by the
  inequality of arithmetic and geometric means for unequal ones. So has its average over
  bets fixed beforehand, and by Markov's inequality every m of capital >= 1 / alpha is
  rejected. The log capital falls and is convex in log m: Newton's steps from the
  empirical mean never pass the root, each is a valid bound.

  Args:
    x_N: the numbers; their order does not matter.
    floor: what none of them can be below.
    alpha: error, one-sided.

  Returns:
    The bound, in the unit of `x_N`; `floor` without numbers.

  Raises:
    BadInput: a number that is nan or below the floor, or alpha not between 0 and 1.

  References:
    Waudby-Smith, Ramdas (2024), JRSS B 86(1); with fixed bets instead of adaptive ones,
    which need identical means.
  """
  _fraction(alpha=alpha)
  y_N = np.asarray(x_N, float) - floor
  if not (y_N >= -1e-9).all():
    raise BadInput(f"x_N: nan, or below its floor {floor:.6g}: {np.min(x_N):.6g}")
  y_N = np.maximum(y_N, 0.0)
  if not y_N.any():
    return float(floor)
  bet_B = np.geomspace(1 / np.sqrt(len(y_N)), 0.99, BETS)[:, None]
  log_m = np.log(y_N.mean())
  for _ in range(50):
    gain_BN = bet_B * (y_N / np.exp(log_m))
    factor_BN = 1 - bet_B + gain_BN
    log_capital_B = np.log(factor_BN).sum(1) - np.log(BETS)
    slope = special.softmax(log_capital_B) @ (gain_BN / factor_BN).sum(1)
    step = (special.logsumexp(log_capital_B) + np.log(alpha)) / slope
    log_m += step
    if abs(step) < 1e-9:
      break
  return float(floor + np.exp(log_m))


def clopper_pearson(
  counts_K: np.ndarray, n: int, alpha: float
) -> tuple[np.ndarray, np.ndarray]:
  """Exact intervals of binomial shares, each two-sided with error `alpha`.

  Args:
    counts_K: successes.
    n: trials, of independent rows. Their chances may differ: it is then about the mean
      chance, as binomial tails are the heaviest (Hoeffding); with less than one success
      or failure expected the error can be alpha^2 / 8 more.
    alpha: error of each interval.

  Returns:
    low and high shares `[K]`.

  References:
    Clopper, Pearson (1934), Biometrika 26(4). Hoeffding (1956), Ann. Math. Stat. 27(3).
  """
  k_K = np.asarray(counts_K)
  low_K = stats.beta.ppf(alpha / 2, k_K, n - k_K + 1)
  high_K = stats.beta.isf(alpha / 2, k_K + 1, n - k_K)
  return np.where(k_K > 0, low_K, 0.0), np.where(k_K < n, high_K, 1.0)


def kl_max(low_K: np.ndarray, high_K: np.ndarray, r_K: np.ndarray) -> float:
  """Upper bound of KL(p || r) in nats over `low <= p <= high`, sum p = 1.

  KL is convex, so its maximum is at a corner; there are too many to visit. The dual

    min_nu  nu + sum_k max_{low_k <= p <= high_k} (p log(p / r_k) - nu p)

  bounds it from above. Each inner maximum is at an end of the interval, so the sum is
  piecewise linear and convex in nu, and its minimum at one of K breakpoints. It is exact
  for two complementary intervals, else at most one class's chord too high.
  """
  ends_2K = np.stack([low_K, high_K])
  value_2K = special.rel_entr(ends_2K, r_K)
  width_K = np.diff(ends_2K, axis=0)[0]
  nu_K = np.divide(
    np.diff(value_2K, axis=0)[0], width_K, out=np.zeros(len(r_K)), where=width_K > 0
  )
  dual_K = nu_K + (value_2K[:, None] - nu_K[:, None] * ends_2K[:, None]).max(0).sum(1)
  return max(0.0, float(dual_K.min()))


def gaussian_upper(
  clip: float, sigma: float, width: int, classes: int, releases: int = 1
) -> float:
  """Upper bound on I(Z~;S) in nats of the release Z~ = clip(Z, C) + N(0, sigma^2 I).

  I(Z~;S) <= min(log K, m/2 log(1 + T C^2 / (m sigma^2))),  m = min(width, K - 1).

  Mutual information is convex in the channel from S, so one point a class is worst; K
  points span K - 1 dimensions, and there no input of mean square C^2 passes more than
  the Gaussian one. It holds for every network and every law of (Z, S).

  Args:
    clip: C, the largest L2 norm of a row.
    sigma: standard deviation of the noise in each coordinate.
    width: numbers in a row.
    classes: K.
    releases: T, how often the same row is released with fresh noise. For T different
      rows about one example give the sum of their widths too.

  Returns:
    The bound in nats.

  Raises:
    BadInput: clip or sigma not positive and finite, fewer than two classes, no width or
      no release.

  References:
    Cover, Thomas (2006), Elements of Information Theory, theorem 2.7.4 and chapter 9.
  """
  positive(clip=clip, sigma=sigma)
  m = channels(width, classes, releases)
  power = releases * (clip / sigma) ** 2
  return float(min(np.log(classes), m / 2 * np.log1p(power / m)))


def channels(width: int, classes: int, releases: int) -> int:
  """The m of `gaussian_upper`; BadInput for counts that are too small."""
  least = {"width": (width, 1), "classes": (classes, 2), "releases": (releases, 1)}
  for name, (count, low) in least.items():
    if count < low:
      raise BadInput(f"{name}={count}: must be at least {low}")
  return min(width, classes - 1)


def positive(**numbers: float) -> None:
  """BadInput for a number that is not positive and finite."""
  for name, number in numbers.items():
    if not 0 < number < np.inf:
      raise BadInput(f"{name}={number}: must be positive and finite")


def _fraction(**numbers: float) -> None:
  for name, number in numbers.items():
    if not 0 < number < 1:
      raise BadInput(f"{name}={number}: must lie between 0 and 1")


def _group_means(x_N: np.ndarray, groups_N: np.ndarray) -> np.ndarray:
  _, code_N, count_G = np.unique(groups_N, return_inverse=True, return_counts=True)
  return np.bincount(code_N, weights=x_N, minlength=len(count_G)) / count_G


def _box(
  s_N: np.ndarray, groups_N: np.ndarray | None, K: int, alpha: float
) -> tuple[np.ndarray, np.ndarray]:
  """Low and high class shares `[K]` that hold at once with error `alpha`."""
  each = alpha / (K if K > 2 else 1)
  if groups_N is None:
    return clopper_pearson(np.bincount(s_N, minlength=K), len(s_N), each)
  share_KU = [_group_means(s_N == k, groups_N) for k in range(K)]
  low_K = [mean_low(x_U, 0.0, each / 2) for x_U in share_KU]
  high_K = [1 - mean_low(1 - x_U, 0.0, each / 2) for x_U in share_KU]
  return np.array(low_K), np.array(high_K)


def _check(
  log_q_NK: np.ndarray, s_N: np.ndarray, r_K: np.ndarray, groups_N: np.ndarray | None
) -> None:
  if log_q_NK.ndim != 2 or s_N.shape != log_q_NK.shape[:1]:
    raise BadInput(f"log_q_NK {log_q_NK.shape} and s_N {s_N.shape}: need [N, K] and [N]")
  if groups_N is not None and np.shape(groups_N) != s_N.shape:
    raise BadInput(f"groups_N {np.shape(groups_N)}: need one a row, {s_N.shape}")
  K = log_q_NK.shape[1]
  if r_K.shape != (K,) or not (r_K > 0).all() or abs(r_K.sum() - 1) > 1e-6:
    raise BadInput(f"r_K={r_K.tolist()}: need {K} positive shares that sum to 1")
  if s_N.dtype.kind not in "iu" or ((s_N < 0) | (s_N >= K)).any():
    raise BadInput(f"s_N: need integer codes 0..{K - 1} of every row")
  if not (log_q_NK < np.inf).all() or (log_q_NK == -np.inf).all(1).any():
    raise BadInput("log_q_NK: nan, +inf or a row with no class left")
