"""Scored cells -> every row of an audit: numbers, controls, tests and verdicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ovl import stats
from ovl.judge import cells, certified, leak, reference, rows, verdict
from ovl.judge.cells import Column, Frame, Scored
from ovl.judge.trial import Trial
from ovl.stats import Metric
from ovl.types import Lane, Row

_CERTIFIED = ("trained", "untrained", "raw")
_Key = tuple[str, str, str]


def _key(cell: Scored) -> _Key:
  return cell.lane.subject, cell.lane.layer, cell.column.name


class Evidence(NamedTuple):
  """All that was read.

  Attributes:
    cols: every attribute, also those that cannot be judged.
    lanes: the taps of all subjects.
    measured: every lane x attribute that could be judged.
    statistics: what critics without parameters said.
    bound: `(classes, width) -> nats` of a release, where there is one.
  """

  cols: list[Column]
  lanes: list[Lane]
  measured: list[Scored]
  statistics: list[rows.Statistic]
  bound: Callable[[int, int], float] | None = None

  @property
  def tested(self) -> list[Scored]:
    """The cells that the leak test is for."""
    return [c for c in self.of("trained") if c.beyond is not None]

  def of(self, subject: str) -> list[Scored]:
    """The measured cells of a subject."""
    return [c for c in self.measured if c.lane.subject == subject]

  def draws(self, trial: Trial) -> int:
    """Of the larger family: every cell may have to be asked whether it is read at all."""
    family = len(self.of("trained"))
    return stats.draws_needed(family, trial.alpha, trial.frame.models)


def conclude(trial: Trial, evidence: Evidence) -> list[Row]:
  """Tests every cell and lays out all rows of attributes."""
  leak_p = _all_p(trial, evidence.tested, evidence.draws(trial), True)
  out = []
  majority = {}
  for c in evidence.cols:
    if not c.state:
      majority[c.name, False] = reference.by_labels(c, trial.frame, use_task=False)
      out += grounds(trial, c, majority[c.name, False])
  headline = {}
  for cell in evidence.measured:
    # A shuffled attribute has another mix in each part, so a chance of its own.
    c, shuffled = cell.column, cell.lane.subject == "permuted"
    if (c.name, shuffled) not in majority:
      majority[c.name, True] = reference.by_labels(c, trial.frame, use_task=False)
    p_S = leak_p.get(_key(cell))
    alone, beyond = rows.of_scored(trial, cell, majority[c.name, shuffled], p_S)
    both = alone if beyond is None else [*alone, beyond]
    if beyond is not None:
      headline[_key(cell)] = beyond
    out += rows.per_model(both, trial)
    # Of the trained nets that of the share beyond the task comes with the verdict.
    judged = alone if cell.lane.subject == "trained" else both
    out += [rows.aggregate(one, trial.level) for one in judged]
    if cell.column.kind == "discrete" and cell.lane.subject in _CERTIFIED:
      out += certified.rows(trial, cell)
      if evidence.bound is not None:
        high = evidence.bound(len(cell.column.labels), cell.lane.z_SND.shape[-1])
        out.append(certified.released(trial, cell, high))
  for one in evidence.statistics:
    out += rows.of_statistic(trial, one)
  return out + _verdicts(trial, evidence, headline, leak_p)


def grounds(trial: Trial, column: Column, majority: list[dict[str, Metric]]) -> list[Row]:
  """What the most frequent class and the task label alone say of an attribute."""
  controls = {"majority": majority}
  if trial.frame.C > 1:
    controls["label"] = reference.by_labels(column, trial.frame, use_task=True)
  out = []
  for subject, numbers in controls.items():
    row, method = trial.row(None, column, subject=subject), [""] * trial.frame.models
    out += rows.both(rows.series(trial, row, column, numbers, method, majority), trial)
  return out


def _all_p(
  trial: Trial, some: list[Scored], draws: int, beyond: bool
) -> dict[_Key, np.ndarray]:
  p = cells.p_values(some, trial.frame, draws, beyond, trial.seed)
  return {_key(cell): p_S for cell, p_S in zip(some, p, strict=True)}


def _verdicts(
  trial: Trial,
  evidence: Evidence,
  headline: dict[_Key, rows.Series],
  leak_p: dict[_Key, np.ndarray],
) -> list[Row]:
  frame, alpha, draws = trial.frame, trial.alpha, evidence.draws(trial)
  by_key = {_key(cell): cell for cell in evidence.measured}
  leaking = verdict.adjusted(list(leak_p.values()))
  surely = {key for key, p in zip(leak_p, leaking, strict=True) if p <= alpha}
  # What leaks is read: whether it is read at all is asked of the others only.
  others = [c for key, c in by_key.items() if key[0] == "trained" and key not in surely]
  read_p = _all_p(trial, others, draws, False)
  test = frame.part("test")
  places = [
    (c, lane) for c in evidence.cols for lane in evidence.lanes if lane.subject == "trained"
  ]
  reach = {
    c.name: _reach(c, frame, draws) for c in evidence.cols if not c.state and c.beyond
  }
  judged = []
  for c, lane in places:
    key = ("trained", lane.layer, c.name)
    twin = by_key.get(("untrained", lane.layer, c.name))
    judged.append(
      verdict.Cell(
        c.state,
        _shares(by_key.get(key)),
        _shares(twin) if twin is not None else None,
        [frame.units(s, c.mask_SN[s, test]) for s in range(frame.models)],
        leak_p.get(key, _NONE),
        read_p.get(key, _NONE),
        reach.get(c.name, 0.0),
      )
    )
  num_cells = sum(len(cell.leak_p_S) > 0 for cell in judged)
  found = []
  said = verdict.conclude(judged, trial.level)
  for (c, lane), conclusion in zip(places, said, strict=True):
    key = ("trained", lane.layer, c.name)
    one, mine = headline.get(key), by_key.get(key)
    detectable, grade = np.nan, ""
    if one is not None and mine is not None:
      detectable = cells.detectable(c, lane, frame, num_cells, alpha)
      shuffled = headline.get(("permuted", lane.layer, c.name))
      control = None if shuffled is None else rows.aggregate(shuffled, trial.level)
      head = rows.aggregate(one, trial.level)
      grade = verdict.flag(head, detectable, mine.converged, control)
    row = trial.row(lane, c, num_seeds=frame.models, level=trial.level)
    found += rows.of_verdict(row, one, conclusion, detectable, grade)
  return found


_NONE = np.empty(0)


def _shares(cell: Scored | None) -> list[Metric]:
  return [] if cell is None or cell.beyond is None else cell.beyond


def _reach(c: Column, frame: Frame, draws: int) -> float:
  """The smallest combined p: twice the median of the models' (see `stats.combine`)."""
  return stats.combine(
    np.array([leak.reach(rows, draws) for rows in cells.tested(c, frame, True)])
  )


_ORDER = ("trained", "untrained", "raw", "label", "majority", "permuted")


def arranged(out: list[Row]) -> list[Row]:
  """By attribute, subject, depth; the aggregate before its models."""

  def place(row: Row) -> tuple[int, int, int]:
    depth = -1 if row.layer_index is None else row.layer_index
    subject = _ORDER.index(row.subject)
    return subject, depth, -1 if row.seed is None else 0

  names = list(dict.fromkeys(row.attribute for row in out))
  return sorted(out, key=lambda row: (names.index(row.attribute), *place(row)))
