"""Scored cells -> every row of an audit: numbers, controls, tests and verdicts."""

from __future__ import annotations

from typing import Any

import numpy as np

from ovl import stats
from ovl.judge import cells, certified, leak, reference, rows, verdict
from ovl.judge.cells import Column, Frame, Material, Scored
from ovl.stats import Metric
from ovl.types import Critic, Lane, Row

_CERTIFIED = ("trained", "untrained", "raw")
_Key = tuple[str, str, str]


def _key(cell: Scored) -> _Key:
  return cell.lane.subject, cell.lane.layer, cell.column.name


def conclude(
  material: Material,
  cols: list[Column],
  measured: list[Scored],
  scores: list[tuple[str, Critic, Lane, Column, np.ndarray]],
  noise: dict[str, Any],
  level: float,
  seed: int,
) -> tuple[list[Row], dict[str, Any]]:
  """Tests every cell and lays out all rows.

  Args:
    material: what is judged.
    cols: every attribute, also those that cannot be judged.
    measured: every lane x attribute that could.
    scores: what critics without parameters said: name, critic, tap, attribute,
      `[S, 1 + blocks]`.
    noise: `bound`: `(classes, width) -> nats` of the release, where there is one.
    level: of intervals; the tests are at 1 - level.
    seed: of the permutations.

  Returns:
    The rows in order, and what the report says of the tests.
  """
  frame, base = material.frame, material.row
  trained = [c for c in measured if c.lane.subject == "trained" and c.beyond is not None]
  # Of the larger family: every cell may have to be asked whether it is read at all.
  family = sum(c.lane.subject == "trained" for c in measured)
  draws = stats.draws_needed(family, 1 - level, frame.models)
  leak_p = _all_p(trained, frame, draws, True, seed)

  out: list[Row] = []

  def report_series(many: list[rows.Series], aggregates: list[rows.Series]) -> None:
    out.extend(rows.per_model(many, material.seeds, level))
    out.extend(rows.aggregate(one, level) for one in aggregates)

  majority = {}
  for c in cols:
    if c.state:
      continue
    majority[c.name] = reference.by_labels(c, frame, use_task=False)
    controls = {"majority": majority[c.name]}
    if frame.C > 1:
      controls["label"] = reference.by_labels(c, frame, use_task=True)
    for subject, numbers in controls.items():
      row, method = base._replace(subject=subject), [""] * frame.models
      many = rows.series(row, c, frame, numbers, method, majority[c.name])
      report_series(many, many)
  headline = {}
  for cell in measured:
    p_S = leak_p.get(_key(cell))
    alone, beyond = rows.of_scored(base, cell, frame, majority[cell.column.name], p_S)
    both = alone if beyond is None else [*alone, beyond]
    if beyond is not None:
      headline[_key(cell)] = beyond
    if cell.lane.subject == "trained":  # its aggregate comes with the verdict
      report_series(both, alone)
    else:
      report_series(both, both)
    if cell.column.kind == "discrete" and cell.lane.subject in _CERTIFIED:
      out += certified.rows(cell, frame, base, material.seeds, level)
      if noise:
        high = noise["bound"](len(cell.column.labels), cell.lane.z_SND.shape[-1])
        out.append(certified.released(cell, base, high, frame.models))
  for one in scores:
    out += rows.of_score(base, *one, frame, material.seeds, level)
  out += _verdicts(material, cols, measured, headline, leak_p, draws, level, seed)
  out += _task_accuracy(material, level)
  facts = {"cells": len(trained), "permutations": draws}
  return _sorted(out), facts | _facts(material, cols, level)


def _all_p(
  some: list[Scored], frame: Frame, draws: int, beyond: bool, seed: int
) -> dict[_Key, np.ndarray]:
  p = cells.p_values(some, frame, draws, beyond, seed)
  return {_key(cell): p_S for cell, p_S in zip(some, p, strict=True)}


def _verdicts(
  material: Material,
  cols: list[Column],
  measured: list[Scored],
  headline: dict[_Key, rows.Series],
  leak_p: dict[_Key, np.ndarray],
  draws: int,
  level: float,
  seed: int,
) -> list[Row]:
  frame, alpha = material.frame, 1 - level
  by_key = {_key(cell): cell for cell in measured}
  leaking = verdict.adjusted(list(leak_p.values()))
  surely = {key for key, p in zip(leak_p, leaking, strict=True) if p <= alpha}
  # What leaks is read: whether it is read at all is asked of the others only.
  others = [c for key, c in by_key.items() if key[0] == "trained" and key not in surely]
  read_p = _all_p(others, frame, draws, False, seed)
  places, judged_cells = [], []
  test = frame.part("test")
  reach = {c.name: _reach(c, frame, draws) for c in cols if not c.state and c.beyond}
  for c in cols:
    for lane in material.lanes:
      if lane.subject != "trained":
        continue
      mine = by_key.get(("trained", lane.layer, c.name))
      twin = by_key.get(("untrained", lane.layer, c.name))
      key = ("trained", lane.layer, c.name)
      places.append((c, lane, mine))
      judged_cells.append(
        verdict.Cell(
          c.state,
          _shares(mine),
          _shares(twin) if twin is not None else None,
          [frame.units(s, c.mask_SN[s, test]) for s in range(frame.models)],
          leak_p.get(key, _NONE),
          read_p.get(key, _NONE),
          reach.get(c.name, 0.0),
        )
      )
  found = []
  num_cells = sum(len(cell.leak_p_S) > 0 for cell in judged_cells)
  said = verdict.conclude(judged_cells, level)
  for (c, lane, mine), conclusion in zip(places, said, strict=True):
    one = headline.get(("trained", lane.layer, c.name))
    detectable, grade = np.nan, ""
    if one is not None and mine is not None:
      detectable = cells.detectable(c, lane, frame, num_cells, alpha)
      shuffled = headline.get(("permuted", lane.layer, c.name))
      control = None if shuffled is None else rows.aggregate(shuffled, level)
      head = rows.aggregate(one, level)
      grade = verdict.flag(head, detectable, mine.converged, control)
    row = material.row._replace(
      subject="trained", layer=lane.layer, layer_index=lane.depth,
      width=lane.z_SND.shape[-1], attribute=c.name, classes=len(c.labels) or None,
    )  # fmt: skip
    found += rows.of_verdict(row, one, conclusion, detectable, grade, frame.models, level)
  return found


_NONE = np.empty(0)


def _shares(cell: Scored | None) -> list[Metric]:
  return [] if cell is None or cell.beyond is None else cell.beyond


def _reach(c: Column, frame: Frame, draws: int) -> float:
  """The smallest combined p: twice the median of the models' (see `stats.combine`)."""
  return stats.combine(
    np.array([leak.reach(rows, draws) for rows in cells.tested(c, frame, True)])
  )


def _task_accuracy(material: Material, level: float) -> list[Row]:
  if material.correct_SN is None:
    return []
  frame = material.frame
  test = frame.part("test")
  everywhere = np.ones(test.stop - test.start, bool)
  top = [float(np.bincount(y).max() / len(y)) for y in frame.y_SN[:, test]]
  one = rows.Series(
    material.row._replace(
      subject="trained", metric="task_accuracy", unit="share",
      classes=len(material.task_labels),
    ),
    [stats.mean(correct.astype(float)) for correct in material.correct_SN],
    [frame.units(s, everywhere) for s in range(frame.models)],
    [""] * frame.models, None, list(top), [0] * frame.models,
  )  # fmt: skip
  trained_on = material.meta.get("split", {}).get("train")
  found = [*rows.per_model([one], material.seeds, level), rows.aggregate(one, level)]
  return [row._replace(n_train=trained_on) for row in found]


_ORDER = ("trained", "untrained", "raw", "label", "majority", "permuted")


def _sorted(out: list[Row]) -> list[Row]:
  """By attribute, subject, depth; the aggregate before its models."""

  def place(row: Row) -> tuple[int, int, int]:
    depth = -1 if row.layer_index is None else row.layer_index
    subject = _ORDER.index(row.subject)
    return subject, depth, -1 if row.seed is None else 0

  names = list(dict.fromkeys(row.attribute for row in out))
  return sorted(out, key=lambda row: (names.index(row.attribute), *place(row)))


def _facts(material: Material, cols: list[Column], level: float) -> dict[str, Any]:
  frame = material.frame
  sizes = dict(zip(("probe", "stop", "test"), frame.sizes, strict=True))
  described = {
    c.name: {
      "kind": c.kind,
      "classes": len(c.labels) or None,
      "labels": list(c.labels),
      "entropy": c.entropy if np.isfinite(c.entropy) else None,
      "entropy_given_task": c.entropy_given if np.isfinite(c.entropy_given) else None,
      "known": int(material.attributes[c.name].known.sum()),
    }
    for c in cols
  }
  groups = frame.groups_SN
  return {
    "level": level,
    "split": material.meta.get("split", {}) | sizes,
    "groups": None if groups is None else len(np.unique(groups)),
    "attributes": described,
    "task_labels": list(material.task_labels),
  }
