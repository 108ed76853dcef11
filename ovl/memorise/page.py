"""Rows of `ovl memorise` -> tables, curves and the planted images."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ovl.about import About
from ovl.report.drawing import SOFT, inches, render
from ovl.report.page import Picture, Section
from ovl.report.table import Table, interval, number, p_value, percent
from ovl.types import Row

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
TERMS = (
  (
    "spurious score",
    "Share of test images on which the pattern raises the probability of the target class "
    "by more than the threshold.",
  ),
  (
    "excess",
    "Planted minus unplanted, networks of the same seed. Its p is by sign flips over "
    "seeds, Holm-adjusted over all patterns and doses (Benjamini and Hochberg over "
    "features): where planting does nothing, at most one run in twenty says memorised.",
  ),
  (
    "null run",
    "Networks of other seeds, none planted, put through the same test.",
  ),
  (
    "exposure",
    "log2 of how many features there are over the rank of the planted one. A network that "
    "learnt nothing has the stated mean.",
  ),
  (
    "legacy",
    "Share of networks that the published test of one model calls memorised at 5 %. Its "
    "unit is the image, so that it tests whether the network reacts, not why: look at what "
    "it says of unplanted networks.",
  ),
)


def _setting(row: Row) -> dict[str, float]:
  found: dict[str, float] = json.loads(row.setting or "{}")
  return found


def _varied(row: Row) -> str:
  return ", ".join(f"{k} {v:g}" for k, v in _setting(row).items() if k != "dose")


def _of_dose(rows: Sequence[Row]) -> bool:
  return any(row.metric == "least_dose" for row in rows)


def _aggregate(rows: Sequence[Row], **wanted: str) -> list[Row]:
  return [
    row
    for row in rows
    if row.seed is None and all(getattr(row, k) == v for k, v in wanted.items())
  ]


def terminal(rows: list[Row], about: About) -> list[Table]:
  """What was found, and what was asked of a network that saw nothing."""
  tables = _of_doses(rows) if _of_dose(rows) else _of_features(rows)
  helps = _mitigations(rows)
  return [*tables, *([helps] if helps.lines else [])]


def _of_doses(rows: list[Row]) -> list[Table]:
  several = any(_varied(row) for row in rows)
  heads = ("pattern", *(("with",) if several else ()), "examples", "spurious score",
           "excess", "p", "accuracy", "spurious accuracy", "legacy", "")  # fmt: skip
  lines = []
  for row in _aggregate(rows, metric="spurious_score"):
    same = {
      other.metric: other
      for other in _aggregate(
        rows, attribute=row.attribute, setting=row.setting, subject=row.subject
      )
    }
    excess = same.get("excess_spurious_score")
    name = "null run" if row.subject == "null" else number(_setting(row)["dose"], 0)
    lines.append([
      row.attribute, *([_varied(row)] if several else []), name, interval(row, 3),
      interval(excess, 3) if excess else "", p_value(excess.p) if excess else "",
      number(same["task_accuracy"].value, 3), number(same["spurious_accuracy"].value, 3),
      percent(same["legacy_rejected"].value or 0.0), excess.verdict if excess else "",
    ])  # fmt: skip
  kinds = "h" + "t" * several + "nnnnnnnv"
  notes = [_least(row) for row in _aggregate(rows, metric="least_dose")]
  return [Table(heads, kinds, lines, notes=notes)]


def _least(row: Row) -> str:
  what = row.attribute + (f" with {_varied(row)}" if _varied(row) else "")
  if row.value is None:
    return f"{what}: no dose is surely above its twins"
  return f"{what}: {row.value:g} example{'s' * (row.value != 1)} surely suffice"


def _mitigations(rows: list[Row]) -> Table:
  lines = []
  for row in _aggregate(rows, metric="removed_score"):
    cost = _aggregate(
      rows, metric="task_cost", attribute=row.attribute, setting=row.setting
    )
    lines.append([
      row.attribute, _varied(row), number(_setting(row)["dose"], 0), interval(row, 3),
      p_value(row.p), interval(cost[0], 3),
    ])  # fmt: skip
  heads = ("pattern", "with", "examples", "taken off the excess", "p", "accuracy lost")
  return Table(heads, "htnnnn", lines)


def _of_features(rows: list[Row]) -> list[Table]:
  lines = []
  for row in _aggregate(rows, attribute="", subject="planted"):
    if not row.metric.startswith(("excess_", "exposure_")):
      continue
    lines.append([
      row.metric.replace("_", " "), interval(row, 3),
      "" if row.chance is None else number(row.chance, 2), p_value(row.p), row.verdict,
    ])  # fmt: skip
  heads = ("over all features", "mean", "of nothing", "p", "")
  legacy = [
    f"{row.subject}: the published test of one model calls "
    f"{percent(row.value or 0.0)} memorised"
    for row in _aggregate(rows, metric="legacy_rejected", attribute="")
  ]
  single = []
  for row in _aggregate(rows, metric="excess_m_shift"):
    if row.attribute:
      bits = _aggregate(rows, metric="exposure_bits", attribute=row.attribute)[0]
      single.append([
        row.attribute, interval(row, 4), p_value(row.p), interval(bits, 2), row.verdict,
      ])  # fmt: skip
  features = Table(
    ("feature", "excess of m_shift", "p", "exposure, bits", ""), "hnnnv", single
  )
  return [Table(heads, "tnnnv", lines, notes=legacy), *([features] if single else [])]


def sections(rows: list[Row], about: About) -> list[Section]:
  """The page: pictures first."""
  out = []
  if about.attributes:
    out.append(Section("What was planted", picture=_images(about)))
  if any(row.metric == "exposure_bits" and row.attribute for row in rows):
    out.append(Section("Exposure", picture=render(
      "exposure", lambda: _strips(rows), "Bits of exposure of every feature, a dot a seed",
      "Every dot is a network; the line is what a network that learnt nothing has on "
      "average.",
    )))  # fmt: skip
  if _of_dose(rows):
    out.append(Section("Dose and response", picture=render(
      "dose", lambda: _curves(rows), "Spurious score over doses, a panel a pattern",
      "Spurious score against examples that carry the pattern; bands are intervals over "
      "seeds, dots single networks. The grey band is the null: the same networks, none "
      "planted.",
    )))  # fmt: skip
    out.append(Section("Score and accuracy", picture=render(
      "accuracy", lambda: _against(rows), "Spurious score against task accuracy",
      "A dot a pattern, dose and mitigation, with intervals over seeds.",
    )))  # fmt: skip
  out += [Section(title, table=table) for title, table in
          zip(("What was found", "More"), terminal(rows, about), strict=False)]  # fmt: skip
  return [*out, Section("Words", terms=TERMS)]


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


def _curves(rows: list[Row]) -> Figure:
  names = list(dict.fromkeys(row.attribute for row in rows))
  figure, panels = _panels(names)
  for name, axes in zip(names, panels, strict=True):
    mine = [row for row in rows if row.attribute == name and row.metric == "spurious_score"]
    null = next(r for r in mine if r.subject == "unplanted" and r.seed is None)
    assert null.low is not None
    assert null.high is not None
    axes.axhspan(max(null.low, 0), null.high, color="#d3d7dd", lw=0)
    ways = list(dict.fromkeys(_varied(row) for row in mine))
    doses = sorted({_setting(row)["dose"] for row in mine})
    for way, colour in zip(ways, COLOURS * 9, strict=False):
      some = [r for r in mine if _varied(r) == way and r.subject != "null"]
      line = [r for r in some if r.seed is None]
      at = [doses.index(_setting(r)["dose"]) for r in line]
      middle, low, high = (
        np.array([np.nan if getattr(r, end) is None else getattr(r, end) for r in line])
        for end in ("value", "low", "high")
      )
      axes.plot(at, middle, "o-", color=colour, ms=3.5, lw=1.2, label=way or "as it is")
      axes.fill_between(at, low, high, color=colour, alpha=0.18, lw=0)
      if not way:
        dots = [r for r in some if r.seed is not None and r.value is not None]
        axes.plot(
          [doses.index(_setting(r)["dose"]) for r in dots], [r.value or 0.0 for r in dots],
          ".", color=colour, ms=2, alpha=0.5,
        )  # fmt: skip
    axes.set_xticks(range(len(doses)), [f"{dose:g}" for dose in doses])
    axes.set_xlim(-0.3, len(doses) - 0.7)
    axes.set_xlabel("examples with the pattern")
    axes.set_ylabel("spurious score")
    if len(ways) > 1:
      axes.legend(fontsize=6.5)
  return figure


def _against(rows: list[Row]) -> Figure:
  names = list(dict.fromkeys(row.attribute for row in rows))
  figure, panels = _panels(names)
  for name, axes in zip(names, panels, strict=True):
    for row in _aggregate(rows, attribute=name, metric="spurious_score"):
      if row.subject == "null":
        continue
      other = _aggregate(
        rows, attribute=name, metric="task_accuracy", setting=row.setting,
        subject=row.subject,
      )[0]  # fmt: skip
      (x, dx), (y, dy) = _span(row), _span(other)
      axes.errorbar(
        x, y, xerr=dx, yerr=dy, fmt="o", ms=3.5, elinewidth=0.7, color="#0072B2"
      )
      said = f"{_setting(row)['dose']:g}" + (f", {_varied(row)}" if _varied(row) else "")
      axes.annotate(
        said, (x, y), (3, 3), textcoords="offset points", fontsize=6, color=SOFT
      )
    axes.set_xlabel("spurious score")
    axes.set_ylabel("task accuracy")
  return figure


def _span(row: Row) -> tuple[float, list[list[float]]]:
  value = np.nan if row.value is None else row.value
  low, high = (value if end is None else end for end in (row.low, row.high))
  return value, [[max(value - low, 0)], [max(high - value, 0)]]


def _strips(rows: list[Row]) -> Figure:
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


def _images(about: About) -> Picture:
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
