"""What removal left and what it cost: each subject against `no_penalty`, paired by seed."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np

from ovl import stats
from ovl.judge import case as measures
from ovl.judge import cells, certified, reference, rows, verdict
from ovl.judge import conclude as conclude_audit
from ovl.judge.case import Case, Left
from ovl.judge.cells import Frame, Scored
from ovl.judge.trial import Trial
from ovl.types import Row

DIVERGED = "diverged"
PERMUTED = "permuted"
FOOLED = "critic_fooled"
TELLS = "eraser_leaks"


class _Tap(NamedTuple):
  """What the cases of one tap are judged by.

  Attributes:
    trial: the rows, and what they have in common.
    plain: `no_penalty`.
    plain_p: of its leak test, Holm-adjusted; nan where nothing can be beyond the task.
    points: how many cases are held against it.
    majority: what the most frequent class scores.
    shuffled: eraser ("" for none) -> the share read of a shuffled attribute.
  """

  trial: Trial
  plain: Case
  plain_p: float
  points: int
  majority: list[dict[str, stats.Metric]]
  shuffled: dict[str, Row]


def conclude(
  cases: list[Case], frame: Frame, base: Row, seeds: list[int], level: float, seed: int
) -> tuple[list[Row], list[str]]:
  """`judge` from plain parts, see `Trial`; nothing shuffled beside it."""
  return judge(Trial(frame, base, seeds, level, seed), cases, [])


def judge(
  trial: Trial, cases: list[Case], controls: list[Scored]
) -> tuple[list[Row], list[str]]:
  """Tests every case of a tap and lays out its rows.

  Args:
    trial: what is common to all.
    cases: the first is `no_penalty`.
    controls: a shuffled attribute, read from `no_penalty` and from what erasers make of
      it that were told the shuffled attribute.

  Returns:
    Rows, and sentences that must not be overlooked.
  """
  frame = trial.frame
  column = cases[0].best.column
  tested = [case for case in cases if case.best.beyond is not None]
  draws = stats.draws_needed(len(tested), trial.alpha, frame.models)
  p = cells.p_values([c.best for c in tested], frame, draws, True, trial.seed)
  adjusted = verdict.adjusted(
    [p_S[case.alive_S] for case, p_S in zip(tested, p, strict=True)]
  )
  shuffled, last = _shuffled(controls, draws, trial)
  majority = reference.by_labels(column, frame, use_task=False)
  plain_p = float(adjusted[0]) if tested else np.nan
  tap = _Tap(trial, cases[0], plain_p, max(len(tested) - 1, 1), majority, shuffled)
  out, warned = [], []
  for i, (case, on_front) in enumerate(zip(cases, measures.front(cases), strict=True)):
    p_S, leak_p = (p[i], float(adjusted[i])) if tested else (None, np.nan)
    mine, said = _case(case, tap, on_front, leak_p, p_S)
    out += mine
    warned += said
  return _plain(out + last), warned


def _plain(out: list[Row]) -> list[Row]:
  """Without the recall of each class: the table of a study is long enough."""
  return [row for row in out if row.metric != "recall"]


def grounds(trial: Trial, raw: Scored) -> list[Row]:
  """What the most frequent class, the task label alone and the input itself say."""
  majority = reference.by_labels(raw.column, trial.frame, use_task=False)
  controls = conclude_audit.grounds(trial, raw.column, majority)
  return _plain(controls + _control(raw, trial, None) + _certified(raw, trial))


def _shuffled(
  controls: list[Scored], draws: int, trial: Trial
) -> tuple[dict[str, Row], list[Row]]:
  """eraser -> share of a shuffled attribute, with its own p; and all rows of these."""
  shares, out = {}, []
  p = cells.p_values(controls, trial.frame, draws, True, trial.seed)
  for cell, p_S in zip(controls, p, strict=True):
    mine = _control(cell, trial, p_S)
    eraser = json.loads(cell.lane.setting or "{}").get("eraser", "")
    (at,) = (
      i
      for i, row in enumerate(mine)
      if row.metric == "share_beyond_task" and row.seed is None
    )
    mine[at] = shares[eraser] = mine[at]._replace(p=stats.combine(p_S))
    out += mine
  return shares, out


def _control(cell: Scored, trial: Trial, p_S: np.ndarray | None) -> list[Row]:
  """What is read of something that no one tried to change."""
  majority = reference.by_labels(cell.column, trial.frame, use_task=False)
  alone, beyond = rows.of_scored(trial, cell, majority, p_S)
  return rows.both([*alone, *([] if beyond is None else [beyond])], trial)


def _certified(cell: Scored, trial: Trial, there: list[int] | None = None) -> list[Row]:
  return certified.rows(trial, cell, there) if cell.column.kind == "discrete" else []


def _case(
  case: Case, tap: _Tap, on_front: bool, leak_p: float, p_S: np.ndarray | None
) -> tuple[list[Row], list[str]]:
  trial, frame, level = tap.trial, tap.trial.frame, tap.trial.level
  row = trial.row(
    case.best.lane, case.best.column, subject=case.subject, setting=case.setting,
    level=level, num_seeds=len(case.alive),
  )  # fmt: skip
  if not case.alive:
    lost = row._replace(metric="share_beyond_task", verdict=DIVERGED)
    return [lost], [
      f"{case.name}: every model diverged: lower its weight or learning rates"
    ]
  alone, beyond = rows.of_scored(trial, case.best, tap.majority, p_S)
  alone = [_living(one, case) for one in alone]
  blank = row._replace(attribute="", num_seeds=None, level=None)
  taught = trial._replace(train=0) if case.control else trial
  accuracy = rows.task_accuracy(taught, blank, case.correct_SN, case.alive_S)
  out = rows.both(alone, trial) + rows.both([accuracy], trial)
  out += _certified(case.best, trial, case.alive)
  beyond_rows, warned = _beyond(
    case, tap, row, None if beyond is None else _living(beyond, case), (leak_p, p_S)
  )
  out += beyond_rows
  if case is not tap.plain:
    pairs = int((case.alive_S & tap.plain.alive_S).sum())
    cost = measures.cost(case, tap.plain, frame, level)
    out.append(_difference(row, "task_cost", "share", cost, pairs))
  out.append(row._replace(metric="on_front", unit="", value=float(on_front), level=None))
  if not case.alive_S.all():
    gone = [s for s, alive in zip(trial.seeds, case.alive_S, strict=True) if not alive]
    warned.append(f"{case.name}: seeds {gone} diverged and are left out")
    dead = float(len(gone))
    out.append(row._replace(metric="diverged", unit="models", value=dead, level=None))
  return out + _by_attacker(case, tap) + _read(case, row, level), warned


def _beyond(
  case: Case, tap: _Tap, row: Row, beyond: rows.Series | None,
  p: tuple[float, np.ndarray | None],
) -> tuple[list[Row], list[str]]:  # fmt: skip
  """The rows that conclude: what is left beyond the task, its verdict and its flag."""
  trial, (leak_p, p_S) = tap.trial, p
  frame, level, plain = trial.frame, trial.level, tap.plain
  if beyond is None or p_S is None:
    said = _said(verdict.ENTAILED, np.nan)
    return rows.of_verdict(row, None, said, np.nan, ""), []
  left = Left(
    stats.combine(p_S[case.alive_S]) <= 1 - level,
    tap.plain_p <= 1 - level,
    measures.surely_left(plain, frame, 1, level) < measures.SMALL,
    measures.surely_left(case, frame, tap.points, level),
    measures.removed(case, plain, frame, level),
  )
  word = left.word
  if case is plain or case.control:
    word = verdict.LEAKS if leak_p <= 1 - level else verdict.NOTHING
  missed = measures.missed(case, frame, tap.points, 1 - level)
  share = rows.aggregate(beyond, level)
  grade = verdict.flag(share, missed, case.best.converged, tap.shuffled.get(""))
  # Of a net that nobody asked to forget, a slow monitor fools no one.
  warned = [] if case is plain else measures.fooled(case, leak_p, level)
  grade = FOOLED if warned else grade
  told = None if case.setting else tap.shuffled.get(case.subject)  # a penalty is swept
  if told is not None and _tells(told, 1 - level):
    grade = TELLS
    warned.append(
      f"{case.subject} at {row.layer} writes the attribute into rows: a fresh attacker "
      f"reads {100 * (told.value or 0.0):.0f} % beyond the task of an attribute that z "
      "knows nothing of"
    )
  out = rows.of_verdict(row, beyond, _said(word, leak_p), missed, grade)
  out += rows.per_model([beyond], trial)
  if case is not plain:
    pairs = int((case.alive_S & plain.alive_S).sum())
    unit = rows.UNITS["share_beyond_task"]
    out.append(_difference(row, "removed_share", unit, left.removed, pairs))
  return out, warned


def _said(word: str, leak_p: float) -> verdict.Conclusion:
  """In a study nothing is compared with networks before training."""
  return verdict.Conclusion(word, leak_p, *(np.nan,) * 4, reduced=False)


def _tells(told: Row, alpha: float) -> bool:
  """Whether an edit surely wrote what it was told into the rows."""
  return verdict.above_zero(told) or (told.p is not None and told.p <= alpha)


def _living(one: rows.Series, case: Case) -> rows.Series:
  """Without the models that diverged."""
  there = zip(one.metrics, case.alive_S, strict=True)
  return one._replace(metrics=[metric if alive else None for metric, alive in there])


def _by_attacker(case: Case, tap: _Tap) -> list[Row]:
  """What each attacker alone reads."""
  out = []
  for name, cell in case.by_attacker.items():
    setting = json.dumps(json.loads(case.setting or "{}") | {"attacker": name})
    its = cell._replace(lane=cell.lane._replace(setting=setting))
    out += [
      rows.aggregate(_living(one, case), tap.trial.level)
      for one in rows.of_scored(tap.trial, its, tap.majority, None)[0]
      if one.row.metric in ("share", "accuracy", "r2", "information")
    ]
  return out


def _read(case: Case, row: Row, level: float) -> list[Row]:
  """What critics of training said at its end."""
  out = []
  for name, (nats_S, floor) in case.read.items():
    there = nats_S[case.alive_S]
    _, _, low, high = stats.excess(there, level)
    out.append(
      row._replace(
        metric="critic_information", unit="nats", method=name, value=float(there.mean()),
        low=low, high=high, chance=floor,
      )
    )  # fmt: skip
  return out


def _difference(
  row: Row, metric: str, unit: str, found: tuple[float, float, float, float], pairs: int
) -> Row:
  mean, p, low, high = found
  return row._replace(
    metric=metric, unit=unit, value=mean, low=low, high=high, p=p, chance=0.0,
    num_seeds=pairs,
  )  # fmt: skip
