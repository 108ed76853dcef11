"""The map of what leaks: layers down, attributes across."""

from __future__ import annotations

import re
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from ovl.report.cells import ENTAILED, OVERLEARNED, Cell, Found
from ovl.report.drawing import CHAR, GREY, HATCH, INK, MIDDLE, SOFT, inches, turn
from ovl.report.table import number, short

SHADES = mpl.colormaps["viridis"].reversed()


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
    turn(axes.get_xticklabels(), 40, "left", "bottom")
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
