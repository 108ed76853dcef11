"""Points of an unlearning study -> one picture: task accuracy against what is left."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ovl.report.drawing import CHAR, INK, SOFT, inches
from ovl.report.removal import Spot
from ovl.report.table import short

# Okabe and Ito's palette; markers differ as well.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#F0E442")
MARKERS = "osD^vP*X"
CONTROLS = {"no_penalty": ("#1f2328", "o"), "untrained": ("#8a8f98", "X")}


def front(spots: list[Spot]) -> Figure:
  """A panel a layer: share left across, task accuracy up, intervals on both."""
  layers = list(dict.fromkeys(s.layer for s in spots if s.placed))
  subjects = list(dict.fromkeys(s.subject for s in spots if s.placed))
  columns = max(1, min(len(layers), 2))
  lines = max(1, math.ceil(len(layers) / columns))
  wide, tall = 4.6, 3.5
  longest = max(len(short(name, 22)) for name in (*subjects, "task label alone"))
  side = 0.7 + CHAR * longest
  figure = Figure((0.2 + columns * (wide + 0.75) + side, lines * (tall + 0.75) + 0.1))
  others = [s for s in subjects if s not in CONTROLS]
  style = dict(CONTROLS) | {
    name: (COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)])
    for i, name in enumerate(others)
  }
  for i, layer in enumerate(layers):
    x = 0.75 + (i % columns) * (wide + 0.75)
    y = figure.get_size_inches()[1] - (i // columns + 1) * (tall + 0.75) + 0.5
    axes = inches(figure, x, y, wide, tall)
    here = [s for s in spots if s.placed and s.layer == layer]
    _panel(axes, here, spots, style)
    if len(layers) > 1:
      axes.set_title(short(layer, 30), loc="left", weight="bold")
  handles = [
    Line2D([], [], color=style[s][0], marker=style[s][1], ls="", ms=5, label=short(s, 22))
    for s in subjects
  ]
  handles.append(Line2D([], [], color="#c8ccd2", lw=4, label="front"))
  if any(s.subject == "label" for s in spots):
    handles.append(Line2D([], [], color="#009E73", ls="-.", label="task label alone"))
  full = figure.get_size_inches()[0]
  at = ((0.2 + columns * (wide + 0.75)) / full + 0.01, 0.97)
  figure.legend(handles=handles, loc="upper left", bbox_to_anchor=at)
  return figure


def _panel(
  axes: Axes, spots: list[Spot], everything: list[Spot], style: dict[str, tuple[str, str]]
) -> None:
  axes.grid(color="#eceef1", lw=0.8)
  axes.set_axisbelow(True)
  for spot in everything:
    row = spot.by_metric.get("share")
    if spot.subject == "label" and row is not None and row.value is not None:
      axes.axvline(max(row.value, 0), color="#009E73", ls="-.", lw=1.2)
  placed = [(s, p) for s in spots if (p := _place(s)) is not None]
  best = sorted(p[:2] for s, p in placed if s.on_front)
  if best:
    x, y = np.array(best).T
    axes.step(x, y, where="post", color="#c8ccd2", lw=5, solid_capstyle="round", zorder=1)
  for subject in dict.fromkeys(s.subject for s, _ in placed):
    color, marker = style[subject]
    mine = [(s, p) for s, p in placed if s.subject == subject]
    at = np.array([p for _, p in mine])
    axes.plot(at[:, 0], at[:, 1], color=color, lw=0.8, alpha=0.6, zorder=2)
    axes.errorbar(
      at[:, 0], at[:, 1], xerr=at[:, 2:4].T, yerr=at[:, 4:6].T, fmt=marker, ms=5,
      color=color, ecolor=color, elinewidth=0.8, capsize=0, alpha=0.95, zorder=3,
    )  # fmt: skip
    for spot, place in mine:
      if spot.weight:
        axes.annotate(
          spot.weight,
          (place[0], place[1]),
          (4, 4),
          textcoords="offset points",
          size=7,
          color=INK,
        )
  axes.set_xlim(-0.04, 1.06)
  axes.set_ylim(0, 1.02)
  axes.set_xlabel("share of H(S) that a fresh attacker reads", color=SOFT)
  axes.set_ylabel("task accuracy", color=SOFT)


def _place(spot: Spot) -> tuple[float, ...] | None:
  """x, y and the lengths of the four whiskers; None where it was not measured."""
  share, task = spot.by_metric.get("share"), spot.by_metric.get("task_accuracy")
  if share is None or task is None or share.value is None or task.value is None:
    return None
  whiskers = []
  for row in (share, task):
    for end in (row.low, row.high):
      far = abs(end - row.value) if end is not None and row.value is not None else 0.0
      whiskers.append(far if math.isfinite(far) else 0.0)
  return share.value, task.value, *whiskers
