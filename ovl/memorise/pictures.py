"""Pictures of `ovl memorise`: curves over doses, exposures, what was planted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ovl.about import About
from ovl.report.drawing import SOFT, inches, render
from ovl.report.page import Picture
from ovl.types import Row

COLOURS = (
  "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#999999",
)  # fmt: skip


def setting(row: Row) -> dict[str, Any]:
  """What was varied."""
  found: dict[str, Any] = json.loads(row.setting or "{}")
  return found


def varied(row: Row) -> str:
  """What was varied besides the dose, in words."""
  there = {k: v for k, v in setting(row).items() if k != "dose"}
  words = [v if k == "regime" else f"{k} {v:g}" for k, v in there.items()]
  return ", ".join(words).replace("_", " ")


def aggregate(rows: Sequence[Row], **wanted: str) -> list[Row]:
  """Rows over all seeds whose columns are as wanted."""
  return [
    row
    for row in rows
    if row.seed is None and all(getattr(row, k) == v for k, v in wanted.items())
  ]


def _panels(names: Sequence[str], across: int = 3) -> tuple[Figure, list[Axes]]:
  """A grid of axes of fixed size, a name each."""
  columns = min(across, max(len(names), 1))
  lines = -(-max(len(names), 1) // columns)
  figure = Figure((0.3 + columns * 3.3, 0.2 + lines * 2.7))
  axes = []
  for i, name in enumerate(names):
    y = figure.get_size_inches()[1] - (i // columns + 1) * 2.7 + 0.35
    axes.append(inches(figure, 0.65 + (i % columns) * 3.3, y, 2.5, 2.0))
    axes[-1].set_title(name, loc="left", weight="bold")
  return figure, axes


def curves(rows: list[Row]) -> Figure:
  """Spurious score over doses, a panel a pattern, the null as a band."""
  names = list(dict.fromkeys(row.attribute for row in rows))
  figure, panels = _panels(names)
  for name, axes in zip(names, panels, strict=True):
    mine = [row for row in rows if row.attribute == name and row.metric == "spurious_score"]
    null = next(r for r in mine if r.subject == "unplanted" and r.seed is None)
    assert null.low is not None
    assert null.high is not None
    axes.axhspan(max(null.low, 0), null.high, color="#d3d7dd", lw=0)
    ways = list(dict.fromkeys(varied(row) for row in mine))
    doses = sorted({setting(row)["dose"] for row in mine})
    for way, colour in zip(ways, COLOURS * 9, strict=False):
      some = [r for r in mine if varied(r) == way and r.subject != "null"]
      line = [r for r in some if r.seed is None]
      at = [doses.index(setting(r)["dose"]) for r in line]
      middle, low, high = (
        np.array([np.nan if getattr(r, end) is None else getattr(r, end) for r in line])
        for end in ("value", "low", "high")
      )
      axes.plot(at, middle, "o-", color=colour, ms=3.5, lw=1.2, label=way or "as it is")
      axes.fill_between(at, low, high, color=colour, alpha=0.18, lw=0)
      if not way:
        dots = [r for r in some if r.seed is not None and r.value is not None]
        axes.plot(
          [doses.index(setting(r)["dose"]) for r in dots], [r.value or 0.0 for r in dots],
          ".", color=colour, ms=2, alpha=0.5,
        )  # fmt: skip
    axes.set_xticks(range(len(doses)), [f"{dose:g}" for dose in doses])
    axes.set_xlim(-0.3, len(doses) - 0.7)
    axes.set_xlabel("examples with the pattern")
    axes.set_ylabel("spurious score")
  return _beside(figure, panels[0])


def beside_ridge(rows: list[Row]) -> Figure:
  """Mean shift of the class's probability over doses, measured and of ridge regression."""
  mine = [row for row in aggregate(rows, metric="m_shift") if not varied(row)]
  names = list(dict.fromkeys(row.attribute for row in mine if row.subject == "ridge"))
  figure, panels = _panels(names)
  for name, axes in zip(names, panels, strict=True):
    theory = [r for r in mine if (r.attribute, r.subject) == (name, "ridge")]
    axes.plot([setting(r)["dose"] for r in theory], [r.value or 0.0 for r in theory],
              "--", color=SOFT, lw=1.1, label="ridge, closed form")  # fmt: skip
    found = [r for r in mine if (r.attribute, r.subject) == (name, "planted")]
    spans = [_span(r) for r in found]
    axes.errorbar(
      [setting(r)["dose"] for r in found], [value for value, _ in spans],
      yerr=np.array([[low[0], high[0]] for _, (low, high) in spans]).reshape(-1, 2).T,
      fmt="o", ms=3.5, elinewidth=0.8, color=COLOURS[0], label="measured",
    )  # fmt: skip
    axes.set_xlabel("examples with the pattern")
    axes.set_ylabel("mean shift of probability")
    axes.set_ylim(min(0.0, axes.get_ylim()[0]))
    axes.legend(fontsize=6.5)
  return figure


def against(rows: list[Row]) -> Figure:
  """Spurious score and task accuracy, a panel a pattern, a colour a way of training."""
  cells = [r for r in aggregate(rows, metric="spurious_score") if r.subject != "null"]
  names = list(dict.fromkeys(row.attribute for row in cells))
  ways = list(dict.fromkeys(varied(row) for row in cells))
  figure, panels = _panels(names)
  for name, axes in zip(names, panels, strict=True):
    for way, colour in zip(ways, COLOURS * 9, strict=False):
      mine = [r for r in cells if r.attribute == name and varied(r) == way]
      spans = []
      for row in mine:
        (other,) = aggregate(
          rows, attribute=name, metric="task_accuracy", setting=row.setting,
          subject=row.subject,
        )  # fmt: skip
        (x, dx), (y, dy) = _span(row), _span(other)
        axes.errorbar(x, y, dy, dx, fmt="o", ms=3, elinewidth=0.6, color=colour)
        axes.annotate(
          f"{setting(row)['dose']:g}", (x, y), (2, 2), textcoords="offset points",
          fontsize=6, color=SOFT,
        )  # fmt: skip
        spans.append((x, y))
      axes.plot(*zip(*spans, strict=True), color=colour, lw=0.7, label=way or "as it is")
    axes.locator_params(axis="x", nbins=4)  # small scores have long numbers
    axes.set_xlabel("spurious score")
    axes.set_ylabel("task accuracy")
  return _beside(figure, panels[0])


def _beside(figure: Figure, axes: Axes) -> Figure:
  """The legend of one panel for all, where there is a choice, in a strip on the right."""
  handles, words = axes.get_legend_handles_labels()
  if len(words) > 1:
    width, height = figure.get_size_inches()
    places = [one.get_position() for one in figure.axes]
    figure.set_size_inches(width + 1.4, height)
    shrunk = width / (width + 1.4)
    for one, box in zip(figure.axes, places, strict=True):
      one.set_position((box.x0 * shrunk, box.y0, box.width * shrunk, box.height))
    figure.legend(handles, words, loc="center right", fontsize=7)
  return figure


def _span(row: Row) -> tuple[float, list[list[float]]]:
  value = np.nan if row.value is None else row.value
  low, high = (value if end is None else end for end in (row.low, row.high))
  return value, [[max(value - low, 0)], [max(high - value, 0)]]


def strips(rows: list[Row]) -> Figure:
  """Exposure of every feature, a dot a network."""
  mine = [row for row in rows if row.metric == "exposure_bits" and row.attribute]
  names = list(dict.fromkeys(row.attribute for row in mine))
  figure = Figure((1.2 + 0.26 * len(names), 2.7))
  axes = inches(figure, 0.6, 0.45, 0.4 + 0.26 * len(names), 2.0)
  dots = [row for row in mine if row.seed is not None]
  at, bits = [names.index(r.attribute) for r in dots], [r.value or 0.0 for r in dots]
  axes.plot(at, bits, ".", ms=4, color="#0072B2", alpha=0.6)
  if dots and dots[0].chance is not None:
    axes.axhline(dots[0].chance, color=SOFT, lw=0.8)
  axes.set_xticks(range(len(names)), names)
  axes.set_ylabel("exposure, bits")
  return figure


def images(about: About) -> Picture:
  """A training image under every pattern."""

  def make() -> Figure:
    pictures = [(n, one["image"]) for n, one in about.attributes.items() if "image" in one]
    figure = Figure((0.3 + 1.25 * len(pictures), 1.5))
    for i, (name, image) in enumerate(pictures):
      axes = inches(figure, 0.15 + 1.25 * i, 0.1, 1.1, 1.1)
      pixels = np.asarray(image, float)
      axes.imshow(
        pixels[..., 0] if pixels.shape[-1] == 1 else pixels, "gray", vmin=0, vmax=1
      )
      axes.set(xticks=[], yticks=[])
      axes.spines[:].set_visible(True)
      axes.set_title(name)
    return figure

  said = "A training image of the target class with every pattern"
  return render("planted", make, said, said + ".")
