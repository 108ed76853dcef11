"""Rows -> two pictures: the map of what leaks, and the lines along depth.

Sizes are in inches throughout: the figure is as large as its contents need, so that text
keeps its size from one cell to hundreds.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.text import Text

from ovl.report.table import ENTAILED, OVERLEARNED, Cell, Found, number, short
from ovl.types import Row

STYLE: dict[Any, Any] = {
  "text.parse_math": False,  # "$" in a name is a dollar
  "svg.fonttype": "none",  # text stays text: searchable, small, the page's own font
  "font.size": 8.5,
  "axes.edgecolor": "#8a8f98",
  "axes.linewidth": 0.7,
  "axes.spines.top": False,
  "axes.spines.right": False,
  "axes.labelcolor": "#3b4049",
  "text.color": "#1f2328",
  **{f"{axis}tick.color": "#8a8f98" for axis in "xy"},
  **{f"{axis}tick.labelcolor": "#3b4049" for axis in "xy"},
  **{f"{axis}tick.major.size": 3 for axis in "xy"},
  "hatch.linewidth": 0.8,
  "legend.frameon": False,
  "legend.borderaxespad": 0.3,
  "legend.columnspacing": 1.5,
}
SHADES = mpl.colormaps["viridis"].reversed()
GREY, HATCH, SOFT, INK = "#eceef1", "#d3d7dd", "#5b616b", "#1f2328"

# Okabe and Ito's palette, told apart by colour-blind readers; dashes differ as well.
LINES = {
  "trained": ("#0072B2", "-", "trained network"),
  "untrained": ("#D55E00", "-", "same network, untrained"),
  "raw": ("#3b4049", "--", "raw input"),
  "label": ("#009E73", "-.", "task label alone"),
  "majority": ("#8a8f98", ":", "most frequent class"),
}
MIDDLE: dict[str, Any] = {"ha": "center", "va": "center", "color": SOFT}
CHAR = 0.074  # width of a character of a label, about


class Picture(NamedTuple):
  """One figure: `svg` without a header, for the page; `png` for slides."""

  svg: str
  png: bytes


def draw(found: Found) -> dict[str, Picture]:
  """Every picture by name, the same bytes for the same rows; none without a cell."""
  if not found.cells:
    return {}
  return render({"heatmap": lambda: heatmap(found), "depth": lambda: depth(found)})


def render(makers: Mapping[str, Callable[[], Figure]]) -> dict[str, Picture]:
  """Draws figures in the house's own style, whatever the caller prefers for theirs."""
  with mpl.rc_context(), warnings.catch_warnings():
    # A script that the font lacks shows as boxes in the PNG, and well in the page.
    warnings.filterwarnings("ignore", "Glyph .* missing from")
    mpl.rcdefaults()
    mpl.rcParams.update(STYLE)
    return {name: _save(make(), name) for name, make in makers.items()}


def _save(figure: Figure, name: str) -> Picture:
  mpl.rcParams["svg.hashsalt"] = name
  vector, pixels = io.StringIO(), io.BytesIO()
  nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
  figure.savefig(vector, format="svg", metadata=nothing)
  figure.savefig(pixels, format="png", dpi=144, metadata={"Software": None})
  svg = vector.getvalue()
  return Picture(svg[svg.index("<svg") :], pixels.getvalue())


# ---- the map -----------------------------------------------------------------------


def heatmap(found: Found) -> Figure:
  """Share beyond the task: layers down, attributes across."""
  attributes, layers = found.attributes, found.layers
  A, L = len(attributes), len(layers)
  names = [short(name, 22) for name in attributes]
  sides = [short(name, 22) for name in layers]
  for i, said in enumerate(map(found.read, layers)):
    sides[i] += f"\n{said} columns" * bool(said)
  width = 1.0 if A <= 8 else 0.7
  height = 0.54 if L <= 12 else 0.42
  longest = CHAR * max(map(len, names))
  slanted = longest > width - 0.05
  left, bottom = 0.55 + CHAR * max(len(line) for s in sides for line in s.split("\n")), 1.1
  top = 0.3 + (0.66 * longest if slanted else 0)
  full = max(left + A * width + (0.75 * longest if slanted else 0.2), 5.4)
  tall = top + L * height + bottom
  figure = Figure((full, tall))
  axes = inches(figure, left, bottom, A * width, L * height)

  rgba_LAK = np.ones((L, A, 4))
  places: dict[str, list[tuple[int, int]]] = {}
  for cell in found.cells:
    i, j = layers.index(cell.share.layer), attributes.index(cell.share.attribute)
    rgba_LAK[i, j] = _shade(cell)
    places.setdefault(cell.verdict, []).append((i, j))
    _write(axes, cell, i, j, height)
  axes.pcolormesh(rgba_LAK, edgecolors="white", linewidth=2.5)
  _patches(axes, places.get(ENTAILED, []), 0.02, hatch="////", edgecolor=HATCH)
  stars = places.get(OVERLEARNED, [])
  _patches(axes, stars, 0.03, edgecolor=INK, linewidth=1.8)
  x, y = [j + 1 - 0.1 / width for _, j in stars], [i + 0.105 / height for i, _ in stars]
  inks = [_ink(rgba_LAK[i, j]) for i, j in stars]
  axes.scatter(x, y, s=26, marker="*", color=inks, linewidths=0, zorder=4)

  axes.set(xlim=(0, A), ylim=(L, 0))
  axes.xaxis.tick_top()
  axes.set_xticks(np.arange(A) + 0.5, names)
  if slanted:
    _turn(axes.get_xticklabels(), 40, "left", "bottom")
  axes.set_yticks(np.arange(L) + 0.5, sides)
  if L > 1:
    axes.set_ylabel("layer, deeper below", color=SOFT)
  axes.tick_params(length=0)
  axes.spines[:].set_visible(False)

  _bar(figure, left, bottom - 0.32)
  outline = Patch(facecolor="white", edgecolor=INK, linewidth=1.6, label="★ overlearned")
  hatched = Patch(facecolor=GREY, hatch="////", edgecolor=HATCH, label=ENTAILED)
  keys = [outline, hatched, Patch(facecolor=GREY, label="no evidence, or not judged")]
  foot = (0.12 / full, 0.02 / tall)
  figure.legend(handles=keys, loc="lower left", bbox_to_anchor=foot, ncols=3)
  return figure


def inches(figure: Figure, x: float, y: float, width: float, height: float) -> Axes:
  """Axes of a place and size in inches."""
  full, tall = figure.get_size_inches()
  return figure.add_axes((x / full, y / tall, width / full, height / tall))


def _turn(labels: Iterable[Text], degrees: float, ha: str, va: str) -> None:
  for label in labels:
    label.set(rotation=degrees, ha=ha, va=va, rotation_mode="anchor")


def _shade(cell: Cell) -> tuple[float, ...]:
  if not cell.leaks or cell.share.value is None:
    return mpl.colors.to_rgba(GREY)
  return SHADES(float(np.clip(cell.share.value, 0, 1)))


def _ink(rgba: np.ndarray | tuple[float, ...]) -> str:
  """Black or white, whichever stands out more on the colour."""
  linear = [((c + 0.055) / 1.055) ** 2.4 for c in rgba[:3]]
  luminance = float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
  return "white" if luminance < 0.2 else INK


def _write(axes: Axes, cell: Cell, i: int, j: int, height: float) -> None:
  """The number and, smaller, the half-width; a word where there is no number."""
  row, x, y = cell.share, j + 0.5, i + 0.5
  ink = _ink(_shade(cell)) if cell.leaks else SOFT
  style = MIDDLE | {"color": ink, "zorder": 4}
  if cell.verdict == ENTAILED:  # keeps the hatch off the letters
    style["bbox"] = {"facecolor": GREY, "edgecolor": "none", "pad": 1.2}
  if row.value is None:
    word = re.sub(" (by the task|examples|attribute)$", "", cell.verdict)
    axes.text(x, y, word, size=8, **style)
    return
  if row.low is not None and row.high is not None:
    half = number((row.high - row.low) / 2)
    axes.text(x, y + 0.085 / height, f"±{half}", size=7.5, **style)
    y -= 0.075 / height
  axes.text(x, y, number(row.value), size=9.5, **style)


def _patches(axes: Axes, places: list[tuple[int, int]], inset: float, **style: Any) -> None:
  d = 1 - 2 * inset
  boxes = [Rectangle((j + inset, i + inset), d, d) for i, j in places]
  axes.add_collection(PatchCollection(boxes, facecolor="none", zorder=3, **style))


def _bar(figure: Figure, x: float, y: float) -> None:
  bar = inches(figure, x, y, 2.6, 0.11)
  bar.imshow(SHADES(np.linspace(0, 1, 256))[None], extent=(0, 1, 0, 1), aspect="auto")
  bar.set(yticks=[], xticks=[0, 0.5, 1])
  bar.tick_params(length=2, pad=2)
  bar.spines[:].set_visible(False)
  bar.set_xlabel("share of H(S|Y) beyond the task", labelpad=1)


# ---- along depth -------------------------------------------------------------------


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
      _turn(score.get_xticklabels(), turn, "right", "top" if turn == 45 else "center")
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
