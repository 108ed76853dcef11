"""The page of `ovl bench mi`: what it comes to, then a line a task and method."""

from __future__ import annotations

import json

import numpy as np

from ovl.types import Row

OFF = 0.1


def markdown(rows: list[Row]) -> str:
  """The page: a line a task and method, and what it comes to."""
  by_place: dict[tuple[str, ...], dict[str, Row]] = {}
  for row in rows:
    if row.num_seeds is not None:
      place = (row.dataset, row.task, row.setting, row.method)
      by_place.setdefault(place, {})[row.metric] = row
  lines = [
    "| task | n | truth | method | picked | estimate, mean [t interval] | error | covers "
    "| certified low | seconds | flag | samples |",
    "|---|--:|--:|---|---|--:|--:|--:|--:|--:|---|--:|",
  ]
  for (_, task, setting, method), found in by_place.items():
    what = json.loads(setting)
    value, error = found["information"], found["error"]
    inside = "" if value.low is None else f" [{value.low:.3f}, {value.high:.3f}]"
    sure = found.get("certified_low")
    also = ", ".join(f"{k} {v}" for k, v in what.items() if k not in ("n", "truth"))
    lines.append(
      f"| {task}{' (' + also + ')' if also else ''} | {what['n']:,} | {what['truth']:.3f} "
      f"| {method} | {value.verdict} | {value.value:.3f}{inside} | {error.value:+.3f} "
      f"| {found['coverage'].value:.0%} | {'' if sure is None else f'{sure.value:.3f}'} "
      f"| {found['seconds'].value:.1f} | {value.flag} | {value.num_seeds} |"
    )
  return "\n".join([*_summary(by_place, rows), "", *lines, ""])


def _summary(by_place: dict[tuple[str, ...], dict[str, Row]], rows: list[Row]) -> list[str]:
  lines = [
    "| method | tasks | median error | within .02 | within .05 | within .10 "
    "| interval covers | cells off by more than .1 that are flagged | false flags |",
    "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
  ]
  for method in dict.fromkeys(place[3] for place in by_place):
    mine = [f for place, f in by_place.items() if place[3] == method]
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
    caught = f"{flag_N[off_N].sum()} of {off_N.sum()}"
    false = f"{flag_N[~off_N].sum()} of {(~off_N).sum()}"
    covers = np.mean([f["coverage"].value for f in mine])
    within = " | ".join(str(int((error <= limit).sum())) for limit in (0.02, 0.05, 0.1))
    lines.append(
      f"| {method} | {len(mine)} | {np.median(error):.3f} | {within} | {covers:.0%} "
      f"| {caught} | {false} |"
    )
  return lines
