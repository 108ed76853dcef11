"""What `ovl memorise` shows of questions "leak" and "member"."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from ovl.about import About
from ovl.memorise.pictures import COLOURS, aggregate, setting
from ovl.report.drawing import SOFT, inches, render
from ovl.report.page import Section
from ovl.report.table import Table, interval, number
from ovl.types import Row

# ---- leak --------------------------------------------------------------------------------


def of_leak(rows: Sequence[Row]) -> Table:
  """All trainings as one, then each, by every reader."""
  of_seed: dict[int | None, None] = dict.fromkeys(row.seed for row in rows)
  order = sorted(of_seed, key=lambda seed: -1 if seed is None else seed)
  settings = dict.fromkeys(row.setting for row in rows if row.metric == "epsilon_low")
  truth = next((row.value for row in rows if row.method == "composition"), None)
  lines = [
    _leak_line(rows, seed, reader, truth)
    for reader in settings
    for seed in order
    if any(
      (row.seed, row.setting, row.metric) == (seed, reader, "epsilon_low") for row in rows
    )
  ]
  heads = ("seed", "seen", "epsilon at least", "by f-DP", "epsilon of normal scores", "AUC",
           "exposure, bits", "accuracy", "")  # fmt: skip
  return Table(heads, "ttnnnnnnv", lines, notes=list(_leak_notes(rows, truth)))


def _leak_line(
  rows: Sequence[Row], seed: int | None, reader: str, truth: float | None
) -> list[str]:
  mine = [row for row in rows if row.seed == seed]
  same = {(row.metric, row.method): row for row in mine if row.setting == reader}
  who = _reader(reader)
  if ("auc", "") not in same:
    return [str(seed), who, *[""] * 6, "diverged"]
  low, sharp = same["epsilon_low", "one_run"], same["epsilon_low", "one_run_fdp"]
  bits = same["exposure_bits", ""]
  accuracy = next(row for row in mine if row.metric == "task_accuracy")
  part = f" ({(sharp.value or 0.0) / truth:.0%})" if truth else ""
  return [
    "all together" if seed is None else str(seed), who, number(low.value, 2),
    number(sharp.value, 2) + part, interval(same["epsilon", "gaussian_pair"], 2),
    interval(same["auc", ""], 3),
    f"{number(bits.value, 2)} ({number(bits.chance, 2)} of nothing)",
    number(accuracy.value, 3), low.verdict,
  ]  # fmt: skip


def _reader(setting_: str) -> str:
  return str(json.loads(setting_ or "{}").get("reader", "black_box")).replace("_", " ")


def _leak_notes(rows: Sequence[Row], truth: float | None) -> list[str]:
  said = []
  if truth:
    said.append(
      f"By its noise the training keeps to an epsilon of {number(truth, 2)}; shares are of "
      "that. Batches that are drawn are not counted in its favour."
    )
  theirs = [
    f"{_reader(row.setting)}, {row.method.removeprefix('jax_privacy_').replace('_', ' ')}: "
    f"{number(row.value, 2)}"
    for row in aggregate(rows, metric="epsilon_low")
    if row.method.startswith("jax_privacy_")
  ]
  if theirs:
    said.append(f"jax-privacy on the same scores, all together: {'; '.join(theirs)}.")
  return said


# ---- members -----------------------------------------------------------------------------


def of_members(rows: Sequence[Row]) -> list[Table]:
  """Attacks, and what is remembered."""
  shown = [row for row in aggregate(rows) if row.metric != "tpr" and not row.attribute]
  lines = [
    [
      row.method.replace("_", " "), row.metric.replace("_", " "), interval(row, 3),
      "" if row.chance is None else number(row.chance, 3),
    ]
    for row in shown
  ]  # fmt: skip
  return [Table(("by", "number", "value", "of nothing"), "htnn", lines)]


def curves(rows: Sequence[Row]) -> Figure:
  """True against false positive rate, both on logarithmic scales."""
  figure = Figure((4.0, 3.4))
  axes = inches(figure, 0.75, 0.5, 3.0, 2.7)
  points = aggregate(rows, metric="tpr")
  for name, colour in zip(dict.fromkeys(r.method for r in points), COLOURS, strict=False):
    mine = [row for row in points if row.method == name and row.value]
    at = [setting(row)["fpr"] for row in mine]
    axes.plot(at, [row.value or 0.0 for row in mine], color=colour, lw=1.3,
              label=name.replace("_", " "))  # fmt: skip
    bars = [row for row in aggregate(rows, method=name) if row.metric.startswith("tpr_at")]
    for row in bars:
      if row.low is not None and row.high is not None and row.value and row.chance:
        axes.plot([row.chance] * 2, [max(row.low, 1e-6), row.high], color=colour, lw=3,
                  alpha=0.35, solid_capstyle="butt")  # fmt: skip
  least = min((setting(row)["fpr"] for row in points), default=1e-3)
  axes.plot([least, 1], [least, 1], color=SOFT, lw=0.8, ls=":")
  axes.set(xscale="log", yscale="log", xlim=(least, 1), ylim=(least, 1.1))
  decades = [d for d in (1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0) if d >= least]
  for axis in (axes.xaxis, axes.yaxis):
    axis.set_ticks(decades, [f"{decade:g}" for decade in decades])
    axis.set_minor_formatter(NullFormatter())
  axes.set_xlabel("false positive rate")
  axes.set_ylabel("true positive rate")
  axes.legend(loc="lower right")
  return figure


def remembered(rows: Sequence[Row], about: About) -> Figure:
  """The most memorised images, a number below each."""
  most = [row for row in aggregate(rows, metric="memorised_example")]
  figure = Figure((0.3 + 1.25 * len(most), 1.75))
  for i, row in enumerate(most):
    one = about.attributes[row.attribute]
    axes = inches(figure, 0.15 + 1.25 * i, 0.4, 1.1, 1.1)
    pixels = np.asarray(one["image"], float)
    axes.imshow(pixels[..., 0] if pixels.shape[-1] == 1 else pixels, "gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(True)
    axes.set_title(one["label"])
    axes.set_xlabel(interval(row, 2), fontsize=7)
  return figure


def pictures(rows: list[Row], about: About) -> list[Section]:
  """The curve of every attack, and what is remembered most."""
  roc = "True against false positive rate of every attack"
  most = "The most memorised training images"
  return [
    Section("Who was there", picture=render(
      "roc", lambda: curves(rows), roc,
      roc + ", all networks at one threshold. Dotted: of guessing. Bars: intervals over "
      "networks, by leaving each out.",
    )),
    Section("What is remembered", picture=render(
      "memorised", lambda: remembered(rows, about), most,
      most + ": class above; below, how much more often networks with the image are right "
      "on it than those without, and its interval. The largest of many "
      "are shown, so that each is rather less.",
    )),
  ]  # fmt: skip
