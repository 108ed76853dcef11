"""One subject of a study at one setting: where it stands, what it left, at what cost."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ovl import stats
from ovl.judge import cells, verdict
from ovl.judge.cells import Column, Frame, Scored

REMOVED = "removed"
REDUCED = "reduced"
LEFT = "not reduced"
WORSE = "increased"
NOT_FOUND = "not found"
NOTHING = "nothing to remove"

SMALL = 0.05  # a share of H(S|Y): as little is left where it was removed
ZERO = 0.05  # share of H(S) below which a critic of training reads as good as nothing


class Case(NamedTuple):
  """One subject at one setting, of S models.

  Attributes:
    subject: "no_penalty", "untrained", or the name of a penalty or eraser.
    setting: compact JSON of what was swept.
    best: of all attackers, the one that was best on the stop part spoke.
    by_attacker: each of them alone.
    correct_SN: whether the model got each test row's task right.
    alive_S: False where training went to infinity: such a model is left out.
    read: critic -> nats `[S]` it read at the end of training, and what it reads of
      independent data at most.
    control: compared with `no_penalty`, but nobody's attempt to remove anything.
  """

  subject: str
  setting: str
  best: Scored
  by_attacker: dict[str, Scored]
  correct_SN: np.ndarray
  alive_S: np.ndarray
  read: dict[str, tuple[np.ndarray, float]]
  control: bool = False

  @property
  def name(self) -> str:
    """Subject and setting, for a sentence."""
    return f"{self.subject} {self.setting}".strip()

  @property
  def alive(self) -> list[int]:
    """The models that are not left out."""
    return np.flatnonzero(self.alive_S).tolist()

  @property
  def shares(self) -> np.ndarray:
    """`[S]` share beyond the task, of H(S|Y); nan of what diverged."""
    values = [np.nan] * len(self.alive_S)
    if self.best.beyond is not None:
      values = [value for value, _ in self.best.beyond]
    return np.where(self.alive_S, values, np.nan)

  @property
  def accuracies(self) -> np.ndarray:
    """`[S]` task accuracy; nan of what diverged."""
    return np.where(self.alive_S, self.correct_SN.mean(1), np.nan)

  @property
  def place(self) -> tuple[float, float]:
    """Mean leakage and mean task accuracy: where it stands in the picture."""
    leak = [m["share"][0] for m in self.best.metrics]
    alive = self.alive_S
    if not alive.any():
      return np.inf, -np.inf
    return float(np.mean(np.array(leak)[alive])), float(np.nanmean(self.accuracies))


def front(cases: list[Case]) -> list[bool]:
  """Which cases no other beats: none leaks as little at an accuracy as high."""
  places = [case.place for case in cases]
  found = []
  for case, (leak, accuracy) in zip(cases, places, strict=True):
    beaten = any(
      a <= leak and b >= accuracy and (a, b) != (leak, accuracy)
      for other, (a, b) in zip(cases, places, strict=True)
      if not other.control
    )
    found.append(bool(np.isfinite(leak)) and not beaten and not case.control)
  return found


class Left(NamedTuple):
  """What a case is judged by.

  Attributes:
    leaks: the leak test finds it, by its own p: beside many points nothing is lost sooner.
    leaked: that of `no_penalty` does, by Holm over all.
    little: what `no_penalty` holds is itself surely small.
    high: the share that is surely not exceeded, over all points at once (Bonferroni): the
      upper end of what is read, or what the test would have missed, if that is more.
    removed: of `removed_share`: mean, p, low, high.
  """

  leaks: bool
  leaked: bool
  little: bool
  high: float
  removed: tuple[float, float, float, float]

  @property
  def word(self) -> str:
    """How much is left, in one word; what is claimed for the defence is shown."""
    _, _, low, high = self.removed
    if self.high < SMALL and self.leaked and not self.little:
      return REMOVED
    if low > SMALL:
      return REDUCED
    if high < -SMALL:
      return WORSE
    if self.little and (self.high < SMALL or not self.leaks):
      return NOTHING
    if self.leaks:
      return LEFT
    return NOT_FOUND if self.leaked else verdict.NOTHING


def surely_left(case: Case, frame: Frame, points: int, level: float) -> float:
  """No test that fails to find says how little there is; an upper end does."""
  if case.best.beyond is None or len(case.alive) < 2:
    return np.nan  # one model says nothing of the next
  alpha = 1 - level
  _, _, _, high = stats.over_models_and_examples(
    [case.best.beyond[s] for s in case.alive],
    [_units(case.best.column, frame, s) for s in case.alive],
    1 - 2 * alpha / points,
  )
  return max(high, missed(case, frame, points, alpha))


def missed(case: Case, frame: Frame, points: int, alpha: float) -> float:
  """About the smallest share that the leak test would have found."""
  return cells.detectable(case.best.column, case.best.lane, frame, points, alpha)


def _units(column: Column, frame: Frame, s: int) -> np.ndarray:
  return frame.units(s, column.mask_SN[s, frame.part("test")])


def removed(
  case: Case, plain: Case, frame: Frame, level: float
) -> tuple[float, float, float, float]:
  """Share read without a penalty less share read now, floored at 0, paired by seed."""
  before, after = plain.best.beyond, case.best.beyond
  if before is None or after is None:
    return (np.nan,) * 4
  there = np.flatnonzero(case.alive_S & plain.alive_S).tolist()
  return _paired(
    [stats.floored(before[s]) for s in there],
    [stats.floored(after[s]) for s in there],
    [_units(case.best.column, frame, s) for s in there],
    level,
  )


def cost(
  case: Case, plain: Case, frame: Frame, level: float
) -> tuple[float, float, float, float]:
  """Task accuracy without a penalty less that of the case, paired by seed."""
  there = np.flatnonzero(case.alive_S & plain.alive_S).tolist()
  return _paired(
    [stats.mean(plain.correct_SN[s].astype(float)) for s in there],
    [stats.mean(case.correct_SN[s].astype(float)) for s in there],
    [frame.units(s, np.ones(case.correct_SN.shape[1], bool)) for s in there],
    level,
  )


def _paired(
  a: list[stats.Metric], b: list[stats.Metric], units: list[np.ndarray], level: float
) -> tuple[float, float, float, float]:
  """`stats.paired`, of two models at least: one says nothing of the next."""
  mean, p, low, high = stats.paired(a, b, units, level)
  return (mean, p, low, high) if len(a) > 1 else (mean, np.nan, np.nan, np.nan)


def fooled(case: Case, leak_p: float, level: float) -> list[str]:
  """Critics of training that read as good as nothing where a fresh attacker reads."""
  share = float(np.nanmean(case.shares)) if case.best.beyond is not None else 0.0
  entropy = case.best.column.entropy
  # Of a quantity, the nats of a normal pair with this squared correlation.
  little = ZERO * entropy if np.isfinite(entropy) else -0.5 * np.log1p(-ZERO)
  if case.control or not (leak_p <= 1 - level and share > 2 * ZERO):
    return []
  said = []
  for name, (nats_S, floor) in case.read.items():
    nats = float(nats_S[case.alive_S].mean())
    if nats < floor + little:
      said.append(
        f"{case.name}: its {name} at {case.best.lane.layer} reads "
        f"{max(nats, 0):.3f} nats after training, a fresh attacker {100 * share:.0f} % of "
        "what there is beyond the task"
      )
  return said
