"""Rows of `ovl memorise` -> tables, curves and the planted images."""

from __future__ import annotations

from collections.abc import Sequence

from ovl.about import About
from ovl.memorise import privacy
from ovl.memorise.pictures import (
  against,
  aggregate,
  beside_ridge,
  curves,
  images,
  setting,
  strips,
  varied,
)
from ovl.report.drawing import render
from ovl.report.page import Section
from ovl.report.table import Table, interval, number, p_value
from ovl.types import Row

RIDGE = (
  "Mean shift of the class's probability, networks (dots, intervals over seeds) and the "
  "closed form of ridge regression on two coordinates (dashed; Yang, Chou and Chaudhuri's "
  "model). Measured: the height of the pattern, its mean L2 norm; its rate, dose over "
  "class size; from means and variances of the training images, where the classes lie, how "
  "they spread, and how images spread along the pattern. Nothing is fitted to the dots: no "
  "penalty, trained to the end, both signs of the label alike often."
)

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


def _of_dose(rows: Sequence[Row]) -> bool:
  return any(row.metric == "least_dose" for row in rows)


def terminal(rows: list[Row], about: About) -> list[Table]:
  """What was found, and what was asked of a network that saw nothing."""
  if any(row.subject == "retrained" for row in rows):
    return [_of_deletion(rows)]
  if any(row.metric == "memorisation" for row in rows):
    return privacy.of_members(rows)
  if any(row.metric == "epsilon_low" for row in rows):
    return [privacy.of_leak(rows)]
  tables = _of_doses(rows) if _of_dose(rows) else _of_features(rows)
  helps = _mitigations(rows)
  return [*tables, *([helps] if helps.lines else [])]


def _of_doses(rows: list[Row]) -> list[Table]:
  several = any(varied(row) for row in rows)
  heads = ("pattern", *(("with",) if several else ()), "examples", "spurious score",
           "excess", "p", "accuracy", "spurious accuracy", "legacy", "")  # fmt: skip
  lines = []
  for row in aggregate(rows, metric="spurious_score"):
    same = {
      other.metric: other
      for other in aggregate(
        rows, attribute=row.attribute, setting=row.setting, subject=row.subject
      )
    }
    excess = same.get("excess_spurious_score")
    name = "null run" if row.subject == "null" else number(setting(row)["dose"], 0)
    lines.append([
      row.attribute, *([varied(row)] if several else []), name, interval(row, 3),
      interval(excess, 3) if excess else "", p_value(excess.p) if excess else "",
      number(same["task_accuracy"].value, 3), number(same["spurious_accuracy"].value, 3),
      _whole(same["legacy_rejected"]), excess.verdict if excess else "",
    ])  # fmt: skip
  kinds = "h" + "t" * several + "nnnnnnnv"
  notes = [_least(row) for row in aggregate(rows, metric="least_dose")]
  return [Table(heads, kinds, lines, notes=notes)]


def _of_deletion(rows: list[Row]) -> Table:
  lines, notes = [], []
  for row in aggregate(rows, metric="spurious_score"):
    same = {
      other.metric: other
      for other in aggregate(
        rows, attribute=row.attribute, setting=row.setting, subject=row.subject
      )
    }
    how_much = setting(row)
    words = [f"{k.replace('_', ' ')} {v}" for k, v in how_much.items() if k != "dose"]
    over, off = same.get("excess_spurious_score"), same.get("removed_score")
    lines.append([
      f"{row.attribute}, {how_much['dose']}", row.subject, ", ".join(words),
      interval(row, 3), interval(off, 3) if off else "", interval(over, 3) if over else "",
      number(same["task_accuracy"].value, 3),
    ])  # fmt: skip
    if "residual" in same:
      worst = same["residual"]
      notes.append(
        f"{row.attribute}, {how_much['dose']}: influence is solved to a residual of "
        f"{number(worst.value, 4)} at worst{', too far' if worst.flag else ''}"
      )
  heads = ("pattern, dose", "way", "how", "spurious score", "taken off", "above twins",
           "accuracy")  # fmt: skip
  return Table(heads, "httnnnn", lines, notes=notes)


def _whole(row: Row) -> str:
  return f"{100 * (row.value or 0.0):.0f} %"


def _least(row: Row) -> str:
  what = row.attribute + (f" with {varied(row)}" if varied(row) else "")
  if row.value is None:
    return f"{what}: no dose is surely above its twins"
  one = row.value == 1
  return f"{what}: {row.value:g} example{'s' * (not one)} surely suffice{'s' * one}"


def _mitigations(rows: list[Row]) -> Table:
  lines = []
  for row in aggregate(rows, metric="removed_score"):
    same = {"attribute": row.attribute, "setting": row.setting}
    (cost,), (left,) = (
      aggregate(rows, metric=metric, **same)
      for metric in ("task_cost", "excess_spurious_score")
    )
    lines.append([
      row.attribute, varied(row), number(setting(row)["dose"], 0), interval(left, 3),
      interval(row, 3), p_value(row.p), interval(cost, 3),
      row.verdict + ", at the ceiling" * (row.flag == "at_ceiling"),
    ])  # fmt: skip
  heads = ("pattern", "with", "examples", "excess", "taken off the excess", "p",
           "accuracy lost", "")  # fmt: skip
  return Table(heads, "htnnnnnv", lines)


def _of_features(rows: list[Row]) -> list[Table]:
  lines = []
  for row in aggregate(rows, attribute="", subject="planted"):
    if not row.metric.startswith(("excess_", "exposure_")):
      continue
    lines.append([
      row.metric.replace("_", " "), interval(row, 3),
      "" if row.chance is None else number(row.chance, 2), p_value(row.p), row.verdict,
    ])  # fmt: skip
  heads = ("over all features", "mean", "of nothing", "p", "")
  legacy = [
    f"{row.subject}: the published test of one model calls {_whole(row)} memorised"
    for row in aggregate(rows, metric="legacy_rejected", attribute="")
  ]
  single = []
  for row in aggregate(rows, metric="excess_m_shift"):
    if row.attribute:
      bits = aggregate(rows, metric="exposure_bits", attribute=row.attribute)[0]
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
  if any(row.metric == "tpr" for row in rows):
    out += privacy.pictures(rows, about)
  elif about.attributes:
    out.append(Section("What was planted", picture=images(about)))
  if any(row.metric == "exposure_bits" and row.attribute for row in rows):
    out.append(Section("Exposure", picture=render(
      "exposure", lambda: strips(rows), "Bits of exposure of every feature, a dot a seed",
      "Every dot is a network; the line is what a network that learnt nothing has on "
      "average.",
    )))  # fmt: skip
  if _of_dose(rows):
    out.append(Section("Dose and response", picture=render(
      "dose", lambda: curves(rows), "Spurious score over doses, a panel a pattern",
      "Spurious score against examples that carry the pattern; bands are intervals over "
      "seeds, dots single networks. The grey band is the null: the same networks, none "
      "planted.",
    )))  # fmt: skip
    if any(row.subject == "ridge" for row in rows):
      out.append(Section("Beside ridge regression", picture=render(
        "ridge", lambda: beside_ridge(rows), "Mean shift of probability over doses: "
        "measured, and of ridge regression", RIDGE,
      )))  # fmt: skip
    out.append(Section("Score and accuracy", picture=render(
      "accuracy", lambda: against(rows), "Spurious score against task accuracy",
      "A dot a dose, its number beside it, a colour a way of training; both intervals are "
      "over seeds.",
    )))  # fmt: skip
  out += [Section(title, table=table) for title, table in
          zip(("What was found", "More"), terminal(rows, about), strict=False)]  # fmt: skip
  return [*out, Section("Words", terms=TERMS)]
