"""The page of `ovl bench mi`: what it comes to, then a line a task and method."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np

from ovl.report import Section, Table
from ovl.types import Row

OFF = 0.1
Places = Mapping[tuple[str, str, str, str], Mapping[str, Row]]


def sections(rows: list[Row]) -> list[Section]:
  """A line a method, and a line a task and method."""
  places: dict[tuple[str, str, str, str], dict[str, Row]] = {}
  for row in rows:
    if row.num_seeds is not None:
      place = (row.dataset, row.task, row.setting, row.method)
      places.setdefault(place, {})[row.metric] = row
  return [
    Section("Every method", table=_methods(places, rows)),
    Section("Every task and method", table=_tasks(places)),
  ]


def _tasks(places: Places) -> Table:
  heads = ["task", "n", "truth", "method", "picked", "estimate, mean [t interval]", "error"]
  heads += ["covers", "certified low", "seconds", "flag", "samples"]
  lines = []
  for (_, task, setting, method), found in places.items():
    what = json.loads(setting)
    value, error = found["information"], found["error"]
    inside = "" if value.low is None else f" [{value.low:.3f}, {value.high:.3f}]"
    sure = found.get("certified_low")
    also = ", ".join(f"{k} {v}" for k, v in what.items() if k not in ("n", "truth"))
    lines.append([
      f"{task} ({also})" if also else task, f"{what['n']:,}", f"{what['truth']:.3f}",
      method, value.verdict, f"{value.value:.3f}{inside}", f"{error.value:+.3f}",
      f"{found['coverage'].value:.0%}", "" if sure is None else f"{sure.value:.3f}",
      f"{found['seconds'].value:.1f}", value.flag, str(value.num_seeds),
    ])  # fmt: skip
  return Table(heads, "tnnttnnnnntn", lines)


def _methods(places: Places, rows: list[Row]) -> Table:
  heads = ["method", "tasks", "median error", "within .02", "within .05", "within .10"]
  heads += ["interval covers", "cells off by more than .1 that are flagged", "false flags"]
  lines = []
  for method in dict.fromkeys(place[3] for place in places):
    mine = [f for place, f in places.items() if place[3] == method]
    error = np.abs(np.array([f["error"].value for f in mine], float))
    singles = {
      (r.dataset, r.task, r.setting, r.seed): r
      for r in rows
      if r.method == method and r.seed is not None and r.metric == "information"
    }
    off, flags = [], []
    for r in rows:
      if r.method == method and r.seed is not None and r.metric == "error":
        off.append(abs(r.value or 0.0) > OFF)
        flags.append(singles[r.dataset, r.task, r.setting, r.seed].flag != "reliable")
    off_N, flag_N = np.array(off), np.array(flags)
    covers = np.mean([f["coverage"].value for f in mine])
    lines.append([
      method, str(len(mine)), f"{np.median(error):.3f}",
      *(str(int((error <= limit).sum())) for limit in (0.02, 0.05, 0.1)),
      f"{covers:.0%}", f"{flag_N[off_N].sum()} of {off_N.sum()}",
      f"{flag_N[~off_N].sum()} of {(~off_N).sum()}",
    ])  # fmt: skip
  return Table(heads, "tnnnnnnnn", lines)
