"""Lines along depth: a pair of small panels an attribute."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ovl.report import drawing
from ovl.report.cells import Found
from ovl.report.drawing import CHAR, MIDDLE, inches
from ovl.report.table import short
from ovl.types import Row

# Okabe and Ito's palette, told apart by colour-blind readers; dashes differ as well.
LINES = {
  "trained": ("#0072B2", "-", "trained network"),
  "untrained": ("#D55E00", "-", "same network, untrained"),
  "raw": ("#3b4049", "--", "raw input"),
  "label": ("#009E73", "-.", "task label alone"),
  "majority": ("#8a8f98", ":", "most frequent class"),
}


def depth(found: Found) -> Figure:
  """A pair of small panels an attribute: share beyond the task, and accuracy (or R²)."""
  attributes, layers = found.attributes, found.layers
  blocks = math.ceil(len(attributes) / 4)
  columns = math.ceil(len(attributes) / blocks)  # rows of about equal length
  names = [short(name, 18) for name in layers]
  gap = 0.62
  width = min(10.3 / columns - gap, 3.3)
  longest = CHAR * max(map(len, names))
  turn = 0 if longest < width / len(layers) else 45 if longest < gap else 90
  upper, lower, feet = 1.35, 1.0, 0.3 + longest * math.sin(math.radians(turn))
  block = 0.34 + upper + 0.16 + lower + feet
  full = max(columns * (gap + width) + 0.1, 4.6)
  ncols, head = (5, 0.34) if full > 7 else (3, 0.5)  # a legend of one line or two
  tall = head + blocks * block
  figure = Figure((full, tall))
  limits = _limits(found)
  for a, attribute in enumerate(attributes):
    x = gap + (a % columns) * (gap + width)
    y = tall - head - (a // columns) * block - 0.34 - upper
    share = inches(figure, x, y, width, upper)
    share.set_title(short(attribute, int(width / 0.085)), loc="left", weight="bold")
    _panel(share, found, attribute, "share_beyond_task", layers)
    share.set(ylim=limits, ylabel="beyond task")
    metric = found.metric(attribute)
    score = inches(figure, x, y - 0.16 - lower, width, lower)
    least = _panel(score, found, attribute, metric, layers)
    score.set(ylabel="R²" if metric == "r2" else metric)
    score.set_ylim(min(least - 0.03, 0) if metric == "r2" else 0, 1.03)
    every = max(1, math.ceil(len(layers) * 0.14 / width))
    share.set_xticks(range(0, len(layers), every), [])
    score.set_xticks(range(0, len(layers), every), names[::every])
    if turn:
      drawing.turn(
        score.get_xticklabels(), turn, "right", "top" if turn == 45 else "center"
      )
  drawn = {key[0] for key in found.totals if key[3] != "task_accuracy"}
  handles = [
    Line2D([], [], color=color, ls=dashes, lw=1.6, label=label)
    for subject, (color, dashes, label) in LINES.items()
    if subject in drawn
  ]
  at = (0.3 / full, 1)
  figure.legend(handles=handles, loc="upper left", bbox_to_anchor=at, ncols=ncols)
  return figure


def _limits(found: Found) -> tuple[float, float]:
  """One scale for every share, so that panels can be compared."""
  shares = [row for key, row in found.totals.items() if key[3] == "share_beyond_task"]
  ends = [end for row in shares for end in _triple(row) if math.isfinite(end)]
  return max(min([0, *ends]), -0.3) - 0.03, min(max([0.2, *ends]), 1.0) + 0.03


def _panel(
  axes: Axes, found: Found, attribute: str, metric: str, layers: list[str]
) -> float:
  """Draws what there is of one metric; returns the smallest number seen."""
  axes.grid(axis="y", color="#eceef1", lw=0.8)
  axes.set_axisbelow(True)
  axes.set_xlim(-0.4, len(layers) - 0.6)
  seen, dots = [0.0], []
  for subject, (color, dashes, _) in LINES.items():
    if subject in ("trained", "untrained"):
      rows = [found.totals.get((subject, attribute, z, metric)) for z in layers]
      seen += _curve(axes, rows, color, dashes)
    elif (row := found.flat(subject, attribute, metric)) and row.value is not None:
      axes.axhline(row.value, color=color, ls=dashes, lw=1.3)
      seen.append(row.value)
  if len(seen) == 1:
    axes.annotate("not measured", (0.5, 0.5), xycoords="axes fraction", **MIDDLE)
  color = LINES["trained"][0]
  for i, layer in enumerate(layers):
    models = found.models.get(("trained", attribute, layer, metric), [])
    dots += [(i + 0.03 * (s % 8 - 3.5), row.value) for s, row in enumerate(models)]
  x, y = np.array(dots, float).reshape(-1, 2).T  # None becomes nan: no dot
  axes.scatter(x, y, s=5, color=color, alpha=0.45, linewidths=0)
  return min(seen)


def _curve(axes: Axes, rows: list[Row | None], color: str, dashes: str) -> list[float]:
  x = np.arange(len(rows))
  low, value, high = np.array([_triple(row) for row in rows], float).T
  if len(x) == 1:  # a line needs two points
    x, low, value, high = np.array([-0.2, 0.2]), *(np.repeat((low, value, high), 2, 1))
  axes.plot(x, value, color=color, ls=dashes, lw=1.6, marker="o", ms=3)
  if np.isfinite(low).any():
    axes.fill_between(x, low, high, color=color, alpha=0.16, linewidth=0)
  return [float(v) for v in value if np.isfinite(v)]


def _triple(row: Row | None) -> tuple[float, ...]:
  values = (None,) * 3 if row is None else (row.low, row.value, row.high)
  return tuple(np.nan if v is None else v for v in values)
