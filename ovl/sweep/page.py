"""Rows of several jobs -> the page that compares them: a picture and a line a job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from ovl.report.compare import METRICS
from ovl.report.drawing import CHAR, inches, render, turn
from ovl.report.front import COLORS, MARKERS
from ovl.report.page import Page, Picture, Section
from ovl.report.table import Table, interval, short, varied
from ovl.sweep.jobs import Job
from ovl.types import Row

Cell = tuple[str, ...]  # metric, attribute, layer, subject, setting, method
CONTROLS = ("untrained", "raw", "label", "majority", "permuted")
MOST = 6  # cells that are shown


def page(
  jobs: Sequence[Job],
  found: Mapping[str, list[Row]],
  failed: Mapping[str, str],
  title: str,
) -> Page:
  """The whole sweep.

  Args:
    jobs: of the grid, in its order.
    found: name of a complete job -> its rows.
    failed: name of a job -> why.
    title: of the page.
  """
  facts = [f"{len(jobs)} jobs", f"{len(found)} complete"]
  cells = {name: _cells(rows) for name, rows in found.items()}
  every = dict.fromkeys(cell for some in cells.values() for cell in some)
  shown = sorted(every, key=lambda cell: -_spread(cell, cells))[:MOST]
  shown = [cell for cell in every if cell in shown]  # in the order of the rows
  sections = []
  if shown:
    sentence = (
      f"The {len(shown)} of {len(every)} numbers that differ most between jobs, controls "
      "left out; every number is in the rows beside this page."
    )
    sections.append(
      Section("What the overrides change", [sentence], picture=_picture(jobs, cells, shown))
    )
  sections.append(Section("Every job", table=_table(jobs, cells, shown, failed)))
  reports = [f"{job.name}/report.html" for job in jobs if job.name in found]
  sections.append(Section("Reports", files=["rows.csv", "rows.jsonl", *reports]))
  missing = [job for job in jobs if job.name not in found]
  warnings = [f"{len(missing)} of {len(jobs)} jobs are not here yet."] if missing else []
  return Page(title, facts, sections, warnings)


def _cells(rows: list[Row]) -> dict[Cell, Row]:
  """Aggregates by what they are about; leaks and accuracies where there are any."""
  some = [
    row
    for row in rows
    if row.seed is None
    and row.fold is None
    and row.value is not None
    and row.subject not in CONTROLS
  ]
  told = [row for row in some if row.metric in METRICS] or some
  return {
    (row.metric, row.attribute, row.layer, row.subject, row.setting, row.method): row
    for row in told
  }


def _spread(cell: Cell, cells: Mapping[str, Mapping[Cell, Row]]) -> float:
  values = [some[cell].value for some in cells.values() if cell in some]
  return float(np.ptp(np.array(values, float)))


def _named(cell: Cell) -> str:
  metric, attribute, layer, subject, setting, method = cell
  words = [metric.replace("_", " "), attribute, layer, subject, varied(setting), method]
  return ", ".join(word for word in words if word)


def _label(cell: Cell) -> str:
  """Beside an axis that names the metric."""
  return short(_named(("", *cell[1:])), 44)


def _overrides(job: Job) -> list[str]:
  return [str(value) for value in job.overrides.values()]


def _table(
  jobs: Sequence[Job],
  cells: Mapping[str, Mapping[Cell, Row]],
  shown: Sequence[Cell],
  failed: Mapping[str, str],
) -> Table:
  lines = []
  for job in jobs:
    state = "complete" if job.name in cells else failed.get(job.name, "not complete")
    mine = cells.get(job.name, {})
    lines.append([*_overrides(job), state, *(interval(mine.get(c), 3) for c in shown)])
  keys = list(jobs[0].overrides)
  kinds = "h" * bool(keys) + "t" * (len(keys[1:]) + 1) + "n" * len(shown)
  return Table([*keys, "state", *map(_named, shown)], kinds, lines)


def _picture(
  jobs: Sequence[Job], cells: Mapping[str, Mapping[Cell, Row]], shown: Sequence[Cell]
) -> Picture:
  metrics = list(dict.fromkeys(cell[0] for cell in shown))
  labels = [", ".join(_overrides(job)) or "run" for job in jobs]

  def draw() -> Figure:
    wide, tall, foot = min(max(3.0, 0.45 * len(jobs)), 24.0), 2.2, 0.3
    foot += CHAR * min(max(map(len, labels)), 30) * 0.8
    side = 0.6 + CHAR * max(len(_label(cell)) for cell in shown)
    figure = Figure((0.8 + wide + side, len(metrics) * (tall + 0.4) + foot))
    for i, metric in enumerate(metrics):
      y = foot + (len(metrics) - 1 - i) * (tall + 0.4)
      axes = inches(figure, 0.8, y, wide, tall)
      axes.grid(color="#eceef1", lw=0.8)
      axes.set_axisbelow(True)
      mine = [cell for cell in shown if cell[0] == metric]
      for j, cell in enumerate(mine):
        at = [
          (x + (j - (len(mine) - 1) / 2) * 0.08, cells[job.name][cell])
          for x, job in enumerate(jobs)
          if cell in cells.get(job.name, {})
        ]
        number = shown.index(cell)
        axes.errorbar(
          [x for x, _ in at], _values(at), yerr=_whiskers(at),
          fmt=MARKERS[number], ms=5, color=COLORS[number], elinewidth=0.8,
          label=_label(cell),
        )  # fmt: skip
      axes.set_ylabel(metric.replace("_", " "))
      axes.set_xlim(-0.5, len(jobs) - 0.5)
      last = i == len(metrics) - 1
      places = range(0, len(jobs), -(-len(jobs) // 80))  # labels that do not touch
      axes.set_xticks(places, [short(labels[x], 30) if last else "" for x in places])
      if last:
        turn(axes.get_xticklabels(), 40, "right", "top")
      axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure

  keys = ", ".join(jobs[0].overrides)
  caption = f"Bars: the intervals of the rows. Jobs in the order of the grid: {keys}."
  return render("sweep", draw, f"{', '.join(metrics)} of every job", caption)


def _values(at: Sequence[tuple[float, Row]]) -> np.ndarray:
  return np.array([row.value for _, row in at], float)


def _whiskers(at: Sequence[tuple[float, Row]]) -> np.ndarray:
  """Lengths below and above, 0 where there is no interval."""
  ends = np.array([(row.low, row.high) for _, row in at], float).T
  lengths = np.abs(ends.reshape(2, -1) - _values(at))
  return np.where(np.isfinite(lengths), lengths, 0)
