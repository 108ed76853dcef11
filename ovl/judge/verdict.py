"""From the numbers of a cell (tap x attribute) to one verdict, by two tests.

leak: is the attribute read beyond the task label? Exchange under the fixed critic, one p a
model, combined, Holm over all cells. excess: does training add to it? t test of trained
minus untrained, paired, over models and the examples they share, Holm over all cells.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ovl import stats
from ovl.stats import Metric
from ovl.types import Row

OVERLEARNED = "overlearned"
PASSED = "passed through"
LEAKS = "leaks"
ENTAILED = "entailed by the task"
NOTHING = "no evidence"
FEW = "too few examples"
CONSTANT = "constant attribute"
UNTESTABLE = "cannot be tested"

SMALL_EXCESS = 0.05  # an excess surely below this is what any such net lets through
SMALL_LEFT = 0.01  # share of H(S) that the task leaves; below it nothing can be beyond


class Cell(NamedTuple):
  """What is known of one tap x attribute over S models.

  Attributes:
    state: "" where it was measured, else a verdict that needs no test.
    shares: share beyond the task of each model; empty where H(S|Y) is too small.
    untrained: the same of the untrained twins, or None.
    units: of the test rows of each model.
    leak_p_S: p of each model beyond the task; empty likewise.
    read_p_S: p of each model from the representation alone; may be empty where the
      attribute leaks.
    reach: the smallest combined p that the leak test could have come to.
  """

  state: str
  shares: list[Metric]
  untrained: list[Metric] | None
  units: list[np.ndarray]
  leak_p_S: np.ndarray
  read_p_S: np.ndarray
  reach: float = 0.0


class Conclusion(NamedTuple):
  """The verdict and what it rests on; nan where a test does not apply.

  Attributes:
    verdict: one of the names above; `reduced` says that training took some away.
    leak_p: Holm-adjusted.
    excess: mean of the paired differences.
    excess_low: of its interval.
    excess_high: of its interval.
    excess_p: Holm-adjusted.
    reduced: the whole excess interval is below 0.
  """

  verdict: str
  leak_p: float
  excess: float
  excess_low: float
  excess_high: float
  excess_p: float
  reduced: bool


def conclude(cells: list[Cell], level: float) -> list[Conclusion]:
  """One conclusion a cell; the family of each test is all cells that it applies to.

  Args:
    cells: every tap x attribute.
    level: of the intervals; the tests are at 1 - level.

  Returns:
    In the order of the cells.
  """
  alpha = 1 - level
  leak = adjusted([c.leak_p_S for c in cells])
  read = adjusted([c.read_p_S for c in cells])
  family = sum(len(c.leak_p_S) > 0 for c in cells)
  paired = [_excess(c, level) for c in cells]
  excess = stats.holm(np.array([p for _, p, _, _ in paired]))
  found = []
  for cell, leak_p, read_p, (mean, _, low, high), excess_p in zip(
    cells, leak, read, paired, excess, strict=True
  ):
    if cell.state:
      verdict = cell.state
    elif leak_p <= alpha:
      if excess_p <= alpha:
        verdict = OVERLEARNED
      else:
        verdict = PASSED if high < SMALL_EXCESS else LEAKS
    elif len(cell.leak_p_S) and cell.reach * family > alpha:
      verdict = UNTESTABLE
    else:
      verdict = ENTAILED if read_p <= alpha else NOTHING
    found.append(Conclusion(verdict, leak_p, mean, low, high, excess_p, bool(high < 0)))
  return found


def adjusted(p_of_cells: list[np.ndarray]) -> np.ndarray:
  """Holm over cells of the p-values combined over models; nan where there are none."""
  return stats.holm(np.array([stats.combine(p_S) for p_S in p_of_cells]))


def _excess(cell: Cell, level: float) -> tuple[float, float, float, float]:
  if cell.untrained is None or not cell.shares:
    return np.nan, np.nan, np.nan, np.nan
  trained = [stats.floored(m) for m in cell.shares]
  untrained = [stats.floored(m) for m in cell.untrained]
  mean, p, low, high = stats.paired(trained, untrained, cell.units, level)
  # One network and one twin do not say what training adds to the next.
  return (mean, p, low, high) if len(trained) > 1 else (mean, np.nan, np.nan, np.nan)


def flag(share: Row, detectable: float, done: float, control: Row | None = None) -> str:
  """How far a share can be trusted.

  Args:
    share: the aggregate row of a share.
    detectable: the smallest share the test would have found.
    done: share of the critics that ended training before their limit.
    control: the same of an attribute of which nothing can be known, where it was read.

  Returns:
    "at_ceiling": the interval reaches .99, there is no more to find. "unreliable": it is
    wider than half the range, most critics were still learning, or the control is read.
    "below_resolution": it covers 0, or the share is too small to be told from 0. Else
    "reliable".
  """
  value, low, high = share.value, share.low, share.high
  if value is None or low is None or high is None:
    return ""
  if control is not None and above_zero(control):
    return "unreliable"
  if high >= 0.99 and low > 0.5:
    return "at_ceiling"
  if not high - low <= 0.5 or done < 0.5:
    return "unreliable"
  if low <= 0 or value < detectable:
    return "below_resolution"
  return "reliable"


def above_zero(control: Row) -> bool:
  """Whether more is read of a shuffled attribute than the error of its share explains."""
  return control.low is not None and control.low > 0
