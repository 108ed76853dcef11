"""What a study counts, the error that is stated for it, and the word that it comes to.

A line counts trials and in how many of them the claim failed (for `detected`: held). Its
word comes from the exact binomial interval of that rate, of the means from a t interval;
both at a level that is adjusted for the number of lines (Bonferroni), so that with
probability `level` no line at all is called wrongly.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from ovl import bounds

HOLDS = "holds"
CONSERVATIVE = "conservative"
OUT = "out of reach"


class Claim(NamedTuple):
  """What is counted.

  Attributes:
    said: when it counts.
    stated: the rate that is promised, from and to.
    more: whether a higher rate is better.
  """

  said: str
  stated: tuple[float, float]
  more: bool = False


def _error(said: str, most: float) -> Claim:
  return Claim(said, (most, most))


CLAIMS = {
  "false_verdict": _error("an audit says that an attribute leaks that does not", 0.05),
  "false_cell": _error("a cell that knows nothing has p <= .05 by itself", 0.05),
  "above_nothing": _error("an interval of nothing lies above 0", 0.025),
  "above_truth": _error("the low end of an interval is above the truth", 0.025),
  "missed": _error("a 95 % interval does not hold the truth", 0.05),
  "certified_false": _error("certified_low is above I(Z;S)", 0.05),
  "false_excess": _error("an audit finds an excess where there is none", 0.05),
  "copies_differ": _error("the excess over copies is not exactly 0", 0.0),
  "false_information": _error("of independent x and y, p <= .05", 0.05),
  "detected": Claim("a leak of the stated detectable_share is found", (0.75, 0.9), True),
}
MEANS = {"bias": "estimate minus truth, mean over draws"}


def word(claim: Claim, hits: int, trials: int, level: float) -> tuple[float, float, str]:
  """The exact interval of a rate, and what it says of the claim.

  Args:
    claim: with the stated rate.
    hits: how often it counted.
    trials: of how many.
    level: of the interval, adjusted already.

  Returns:
    low, high, and "holds" (no rate that was stated is ruled out, or better ones only
    are), "conservative" (surely better than stated) or "out of reach" (surely worse).

  References:
    Clopper, Pearson (1934), Biometrika 26(4).
  """
  (low,), (high,) = bounds.clopper_pearson(np.array([hits]), trials, 1 - level)
  below, above = high < claim.stated[0], low > claim.stated[1]
  worse, better = (below, above) if claim.more else (above, below)
  said = OUT if worse else CONSERVATIVE if better else HOLDS
  return float(low), float(high), said


def mean_word(x_N: np.ndarray, level: float) -> tuple[float, float, str]:
  """The t interval of a mean error; above 0 more is said than there is."""
  if np.ptp(x_N) == 0:  # also of a single draw: nothing to judge it by
    return float(x_N[0]), float(x_N[0]), HOLDS if x_N[0] <= 0 or len(x_N) < 2 else OUT
  half = stats.t.ppf((1 + level) / 2, len(x_N) - 1) * stats.sem(x_N)
  low, high = float(x_N.mean() - half), float(x_N.mean() + half)
  return low, high, OUT if low > 0 else CONSERVATIVE if high < 0 else HOLDS
