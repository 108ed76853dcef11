"""The house's own style of pictures, and how a figure becomes bytes.

Sizes are in inches throughout: the figure is as large as its contents need, so that text
keeps its size from one cell to hundreds.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from ovl.report.page import Picture

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
GREY, HATCH, SOFT, INK = "#eceef1", "#d3d7dd", "#5b616b", "#1f2328"
MIDDLE: dict[str, Any] = {"ha": "center", "va": "center", "color": SOFT}
CHAR = 0.074  # width of a character of a label, about


def render(
  name: str, make: Callable[[], Figure], alt: str, caption: str, style: str = ""
) -> Picture:
  """Draws a figure, the same bytes for the same rows, whatever style the caller prefers.

  Args:
    name: of its files.
    make: draws it.
    alt: what it shows, for those who cannot see it.
    caption: below it.
    style: classes of style.css.
  """
  with mpl.rc_context(), warnings.catch_warnings():
    # A script that the font lacks shows as boxes in the PNG, and well in the page.
    warnings.filterwarnings("ignore", "Glyph .* missing from")
    mpl.rcdefaults()
    mpl.rcParams.update(STYLE | {"svg.hashsalt": name})
    figure = make()
    vector, pixels = io.StringIO(), io.BytesIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(vector, format="svg", metadata=nothing)
    figure.savefig(pixels, format="png", dpi=144, metadata={"Software": None})
  svg = vector.getvalue()
  svg = svg[svg.index("<svg") :]
  return Picture(name, svg, pixels.getvalue(), alt, caption, style)


def inches(figure: Figure, x: float, y: float, width: float, height: float) -> Axes:
  """Axes of a place and size in inches."""
  full, tall = figure.get_size_inches()
  return figure.add_axes((x / full, y / tall, width / full, height / tall))


def turn(labels: Iterable[Text], degrees: float, ha: str, va: str) -> None:
  """Slants labels about their anchor."""
  for label in labels:
    label.set(rotation=degrees, ha=ha, va=va, rotation_mode="anchor")
