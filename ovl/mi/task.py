"""What is measured, and what a method says of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats as scipy_stats

from ovl import exchange, stats
from ovl.mi.data import Pair
from ovl.mi.lanes import Settings
from ovl.stats import Metric
from ovl.types import Critic


class Found(NamedTuple):
  """What a method says before anything is quoted.

  Attributes:
    metric: value and influence values on the rows of report.
    cost_N: its per-row score on stop (lower is better): what methods compete by.
    p: of the permutation test; nan where too few units exchange.
    doubts: reasons to distrust the value.
    spread: standard deviation over the lanes.
    converged: share of lanes.
    n_train: rows learnt from.
    certified_low: nats, or nan.
    units: the unit of each row of report.
    recognised: y exchanged by whole groups reads much the same.
    floor: nats that the least weight of labels alone may have taken off.
  """

  metric: Metric
  cost_N: np.ndarray
  p: float
  doubts: list[str]
  spread: float
  converged: float
  n_train: int
  certified_low: float
  units: np.ndarray | None
  recognised: bool = False
  floor: float = 0.0

  @property
  def learns(self) -> bool:
    """Whether the method learns at all."""
    return self.cost_N.size > 0

  @property
  def known(self) -> int:
    """Independent units of report."""
    return len(self.metric[1]) if self.units is None else len(np.unique(self.units))


class Candidate(NamedTuple):
  """A method on one pair.

  Attributes:
    name: its name.
    critic: what measured.
    found: what it says.
    gain: what the whole train part gave over half of it, nats.
  """

  name: str
  critic: Critic
  found: Found
  gain: float

  @property
  def nats(self) -> float:
    """The value."""
    return self.found.metric[0]

  @property
  def cost(self) -> float:
    """Mean score on stop; lower is better."""
    return float(self.found.cost_N.mean())

  @property
  def gains(self) -> bool:
    """Whether more rows would add much to it."""
    return self.gain > max(0.05, 0.1 * abs(self.nats))

  def as_good_as(self, best: Candidate, errors: float) -> bool:
    """Within so many standard errors of the best, paired by rows of stop."""
    worse_N = self.found.cost_N - best.found.cost_N
    return bool(worse_N.mean() <= errors * worse_N.std() / np.sqrt(len(worse_N)))


class Task(NamedTuple):
  """A pair, its split, and how to measure it."""

  pair: Pair
  parts: dict[str, np.ndarray]
  settings: Settings

  def groups(self, rows: np.ndarray) -> np.ndarray | None:
    """The groups of some rows."""
    return None if self.pair.groups_N is None else self.pair.groups_N[rows]

  def untested(self, rows: np.ndarray, fold_N: np.ndarray | None = None) -> list[str]:
    """Why the exchange of these rows' y cannot reach 1 - level, if it cannot."""
    groups_N, y = self.groups(rows), self.pair.y.values[rows]
    least = exchange.reach(y, groups_N, rows, self.settings.seed, fold_N)
    if least <= 1 - self.settings.level:
      return []
    units = (
      f"{len(rows)} rows" if groups_N is None else f"{len(np.unique(groups_N))} groups"
    )
    return [
      f"cannot be tested: the exchange of y among {units} reaches p = {least:.2g} at best, "
      f"{1 - self.settings.level:.2g} is asked for: more units are needed"
    ]


def entropy(s_N: np.ndarray, K: int) -> float:
  """H(S) with Miller and Madow's correction, nats."""
  present = int((np.bincount(s_N, minlength=K) > 0).sum())
  corrected = stats.entropy(s_N, K) + (present - 1) / (2 * len(s_N))
  return float(min(corrected, np.log(max(present, 1))))


def entropy_high(s_N: np.ndarray, K: int, level: float) -> float:
  """Upper end of H(S), nats: what plug-in misses, chi-square / 2N, and its error.

  Where all classes are alike the surprise -log p has no spread and the first is all.

  References:
    Harris (1975), The statistical estimation of entropy in the non-parametric case.
  """
  count_K = np.bincount(s_N, minlength=K)
  p_K = count_K[count_K > 0] / len(s_N)
  H = stats.entropy(s_N, K)
  spread = np.sqrt(max((p_K * np.log(p_K) ** 2).sum() - H**2, 0.0) / len(s_N))
  missed = scipy_stats.chi2.ppf(level, max(len(p_K) - 1, 1)) / (2 * len(s_N))
  most = H + missed + scipy_stats.norm.ppf((1 + level) / 2) * spread
  return float(min(most, np.log(len(p_K))))
