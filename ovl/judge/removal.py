"""What removal left and what it cost: each subject against `no_penalty`, paired by seed."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np

from ovl import stats
from ovl.judge import cells, rows, verdict
from ovl.judge.cells import Column, Frame, Scored
from ovl.types import Row

REMOVED = "removed"
REDUCED = "reduced"
LEFT = "not reduced"
WORSE = "increased"
NOT_FOUND = "not found"
NOTHING = "nothing to remove"
DIVERGED = "diverged"

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


def conclude(
  cases: list[Case], frame: Frame, base: Row, seeds: list[int], level: float, seed: int
) -> tuple[list[Row], list[str]]:
  """Tests every case and lays out its rows.

  Args:
    cases: of one tap; the first is `no_penalty`.
    frame: the rows all are judged on.
    base: what every row has in common.
    seeds: the number of each model.
    level: of intervals; tests are at 1 - level.
    seed: of the permutations.

  Returns:
    Rows, and sentences that must not be overlooked.
  """
  column = cases[0].best.column
  tested = [case for case in cases if case.best.beyond is not None]
  draws = stats.draws_needed(len(tested), 1 - level, frame.models)
  p = cells.p_values([c.best for c in tested], frame, draws, True, seed)
  adjusted = verdict.adjusted(
    [p_S[case.alive_S] for case, p_S in zip(tested, p, strict=True)]
  )
  points = max(len(tested) - 1, 1)
  majority = cells.by_labels(column, frame, use_task=False)
  out = _labels(base, column, frame, majority, seeds, level)
  loud: list[str] = []
  on_front = front(cases)
  for i, case in enumerate(cases):
    leak_p = (float(adjusted[i]), float(adjusted[0])) if column.beyond else (np.nan,) * 2
    p_S = p[i] if column.beyond else None
    mine, said = _case(
      case, cases[0], on_front[i], frame, base, majority, seeds, level, leak_p, p_S, points
    )
    out += mine
    loud += said
  return out, loud


def controls(
  scored: list[Scored], frame: Frame, base: Row, seeds: list[int], level: float
) -> list[Row]:
  """What attackers read of the input itself, and of a shuffled attribute."""
  out: list[Row] = []
  for cell in scored:
    column = cell.column
    majority = cells.by_labels(column, frame, use_task=False)
    alone, beyond = rows.of_scored(base, cell, frame, majority, None)
    out += _both([*alone, *([] if beyond is None else [beyond])], seeds, level)
  return out


def _labels(
  base: Row, column: Column, frame: Frame, majority: list, seeds: list[int], level: float
) -> list[Row]:
  """What the task label alone, and the most frequent class, say of the attribute."""
  controls = {"majority": majority}
  if frame.C > 1:
    controls["label"] = cells.by_labels(column, frame, use_task=True)
  out: list[Row] = []
  for subject, numbers in controls.items():
    row = base._replace(subject=subject)
    many = rows.series(row, column, frame, numbers, [""] * frame.models, majority)
    out += _both(many, seeds, level)
  return out


def _both(many: list[rows.Series], seeds: list[int], level: float) -> list[Row]:
  many = [one for one in many if one.row.metric != "recall"]
  return [
    *(rows.aggregate(one, level) for one in many),
    *rows.per_model(many, seeds, level),
  ]


def _case(
  case: Case, plain: Case, on_front: bool, frame: Frame, base: Row, majority: list,
  seeds: list[int], level: float, leaks: tuple[float, float], p_S: np.ndarray | None,
  points: int,
) -> tuple[list[Row], list[str]]:  # fmt: skip
  lane, (leak_p, plain_p) = case.best.lane, leaks
  row = base._replace(
    subject=case.subject, setting=case.setting, layer=lane.layer, layer_index=lane.depth,
    width=lane.z_SND.shape[-1], attribute=case.best.column.name,
    classes=len(case.best.column.labels) or None, level=level,
    num_seeds=int(case.alive_S.sum()),
  )  # fmt: skip
  if not case.alive_S.any():
    lost = row._replace(metric="share_beyond_task", verdict=DIVERGED)
    name = f"{case.subject} {case.setting}".strip()
    return [lost], [f"{name}: every model diverged: lower its weight or learning rates"]
  alone, beyond = rows.of_scored(base, case.best, frame, majority, p_S)
  series = [_of(one, case) for one in [*alone, *([] if beyond is None else [beyond])]]
  out = _both([*series, _accuracy(case, frame, row)], seeds, level)
  left = _Left(
    p_S is not None and stats.combine(p_S[case.alive_S]) <= 1 - level,
    plain_p <= 1 - level,
    _surely_left(plain, frame, 1, level) < SMALL,
    _surely_left(case, frame, points, level),
    _removed(case, plain, frame, level),
  )
  word = _verdict(case, plain, left, leak_p, 1 - level)
  # Of a net that nobody asked to forget, a slow monitor fools no one.
  reading, fooled = ([], False) if case is plain else _fooled(case, leak_p, level)
  if beyond is None:  # its aggregate row is there even so: it carries the verdict
    unit = rows.UNITS["share_beyond_task"]
    out.append(row._replace(metric="share_beyond_task", unit=unit))
  out = [
    r._replace(
      p=None if np.isnan(leak_p) else leak_p,
      verdict=word,
      flag="critic_fooled" if fooled else r.flag,
    )
    if r.metric == "share_beyond_task" and r.seed is None
    else r
    for r in out
  ]
  if case is not plain:
    pairs = int((case.alive_S & plain.alive_S).sum())
    if beyond is not None:
      unit = rows.UNITS["share_beyond_task"]
      out.append(_difference(row, "removed_share", unit, left.removed, pairs))
      missed = _missed(case, frame, points, 1 - level)
      out.append(row._replace(metric="detectable_share", unit=unit, value=missed))
    cost = _cost(case, plain, frame, level)
    out.append(_difference(row, "task_cost", "share", cost, pairs))
  out.append(row._replace(metric="on_front", unit="", value=float(on_front), level=None))
  if not case.alive_S.all():
    gone = [s for s, alive in zip(seeds, case.alive_S, strict=True) if not alive]
    name = f"{case.subject} {case.setting}".strip()
    reading.append(f"{name}: seeds {gone} diverged and are left out")
    dead = float(len(gone))
    out.append(row._replace(metric="diverged", unit="models", value=dead, level=None))
  for name, cell in case.by_attacker.items():
    setting = json.loads(case.setting or "{}") | {"attacker": name}
    mine = rows.of_scored(base, cell, frame, majority, None)[0]
    out += [
      rows.aggregate(_of(one, case), level)._replace(setting=json.dumps(setting))
      for one in mine
      if one.row.metric in ("share", "accuracy", "r2", "information")
    ]
  for name, (nats_S, floor) in case.read.items():
    there = nats_S[case.alive_S]
    low, high = stats.over_models(there, 0.0, level)
    out.append(
      row._replace(
        metric="critic_information", unit="nats", method=name, value=float(there.mean()),
        low=low, high=high, chance=floor,
      )
    )  # fmt: skip
  return out, reading


def _of(one: rows.Series, case: Case) -> rows.Series:
  """Under the case's setting, without the models that diverged."""
  there = zip(one.metrics, case.alive_S, strict=True)
  metrics = [metric if alive else None for metric, alive in there]
  return one._replace(row=one.row._replace(setting=case.setting), metrics=metrics)


def _accuracy(case: Case, frame: Frame, row: Row) -> rows.Series:
  test = frame.part("test")
  everywhere = np.ones(test.stop - test.start, bool)
  top = [float(np.bincount(y).max() / len(y)) for y in frame.y_SN[:, test]]
  blank = row._replace(
    metric="task_accuracy", unit="share", attribute="", num_seeds=None, level=None,
    classes=frame.C,
  )  # fmt: skip
  return rows.Series(
    blank,
    [
      stats.mean(right.astype(float)) if alive else None
      for right, alive in zip(case.correct_SN, case.alive_S, strict=True)
    ],
    [frame.units(s, everywhere) for s in range(frame.models)],
    [""] * frame.models, None, list(top), [0] * frame.models,
  )  # fmt: skip


class _Left(NamedTuple):
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


def _surely_left(case: Case, frame: Frame, points: int, level: float) -> float:
  """No test that fails to find says how little there is; an upper end does."""
  there = np.flatnonzero(case.alive_S).tolist()
  if case.best.beyond is None or len(there) < 2:
    return np.nan  # one model says nothing of the next
  alpha = 1 - level
  _, _, _, high = stats.over_models_and_examples(
    [case.best.beyond[s] for s in there],
    [_units(case.best.column, frame, s) for s in there],
    1 - 2 * alpha / points,
  )
  return max(high, _missed(case, frame, points, alpha))


def _missed(case: Case, frame: Frame, points: int, alpha: float) -> float:
  return cells.detectable(case.best.column, case.best.lane, frame, points, alpha)


def _units(column: Column, frame: Frame, s: int) -> np.ndarray:
  return frame.units(s, column.mask_SN[s, frame.part("test")])


def _removed(
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


def _cost(
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


def _difference(
  row: Row, metric: str, unit: str, found: tuple[float, float, float, float], pairs: int
) -> Row:
  mean, p, low, high = found
  return row._replace(
    metric=metric, unit=unit, value=mean, low=low, high=high, p=p, chance=0.0,
    num_seeds=pairs,
  )  # fmt: skip


def _verdict(case: Case, plain: Case, left: _Left, leak_p: float, alpha: float) -> str:
  """How much is left, in one word; what is claimed for the defence is shown."""
  if case.best.beyond is None:
    return verdict.ENTAILED
  if case is plain or case.control:
    return verdict.LEAKS if leak_p <= alpha else verdict.NOTHING
  _, _, low, high = left.removed
  if left.high < SMALL and left.leaked:
    return NOTHING if left.little else REMOVED
  if low > SMALL:
    return REDUCED
  if high < -SMALL:
    return WORSE
  if left.leaks:
    return LEFT
  return NOT_FOUND if left.leaked else NOTHING


def _fooled(case: Case, leak_p: float, level: float) -> tuple[list[str], bool]:
  """Whether a critic of training reads as good as nothing where a fresh one does."""
  share = float(np.nanmean(case.shares)) if case.best.beyond is not None else 0.0
  entropy = case.best.column.entropy
  # Of a quantity, the nats of a normal pair with this squared correlation.
  little = ZERO * entropy if np.isfinite(entropy) else -0.5 * np.log1p(-ZERO)
  if case.control or not (leak_p <= 1 - level and share > 2 * ZERO):
    return [], False
  said = []
  for name, (nats_S, floor) in case.read.items():
    nats = float(nats_S[case.alive_S].mean())
    if nats < floor + little:
      said.append(
        f"{case.subject} {case.setting}: its {name} at {case.best.lane.layer} reads "
        f"{max(nats, 0):.3f} nats after training, a fresh attacker {100 * share:.0f} % of "
        "what there is beyond the task"
      )
  return said, bool(said)
