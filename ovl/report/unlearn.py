"""The sections of a study of unlearning: every point, and the front."""

from __future__ import annotations

from dataclasses import replace

from ovl.about import About
from ovl.report.page import Picture, Section
from ovl.report.removal import Spot, answer, read
from ovl.report.table import Table, interval, number, p_value, percent, pivot, short
from ovl.types import Row

BEST = "* on the front: no other point leaks as little at an accuracy as high"
TERMS = (
  (
    "share left",
    "of H(S), what the best attacker reads from the layer on rows nobody saw: 0 is "
    "nothing, 1 all. The best is chosen on rows of its own. label is what the task label "
    "alone gives away, raw what the input itself does, permuted what is read of an "
    "attribute shuffled within task classes: beyond the task nothing, if all is well. "
    "After an eraser: the eraser was told the shuffled attribute, and what is read of it "
    "the eraser wrote into the rows.",
  ),
  ("beyond the task", "the same of H(S|Y), given the task label; verdicts are about this."),
  (
    "removed",
    "shown to be little: the upper end of what is left beyond the task, wider the more "
    "points were tried, and what the leak test would have missed, are below .05.",
  ),
  ("reduced", "surely more than .05 less is read than without a penalty."),
  ("increased", "surely more than .05 more."),
  (
    "not found",
    "the leak test finds nothing, which does not show that it is little (detectable_share "
    "says what it would have found).",
  ),
  ("not reduced", "it is found."),
  ("nothing to remove", "what is held without a penalty is shown to be little."),
  ("no evidence", "no leak is found without a penalty either."),
  (
    "critic fooled",
    "a critic of training reads next to nothing where a fresh attacker reads a tenth or "
    "more.",
  ),
  (
    "eraser leaks",
    "the eraser needs the attribute of every row it edits, and writes a shuffled one into "
    "the rows.",
  ),
  (
    "unreliable",
    "the interval is wider than .5, most attackers were still learning, or permuted is "
    "read at this layer.",
  ),
  ("cost", "task accuracy without a penalty minus with it, paired by seed."),
  ("★", "on the front: no other point leaks as little at an accuracy as high."),
)


def terminal(rows: list[Row], about: About) -> Table:
  """One line a point: accuracy, cost, what is left, verdict."""
  del about
  heads = ("subject", "weight", "layer", "task accuracy", "cost", "share left")
  lines = []
  for spot in (spots := _told(rows)):
    of, cost = spot.by_metric.get, spot.by_metric.get("task_cost")
    lines.append([
      short(spot.subject, 20) + "*" * spot.on_front,
      spot.weight,
      short(spot.layer, 16),
      interval(of("task_accuracy"), 3),
      number(cost.value, 3) if cost else "",
      interval(of("share")),
      interval(of("share_beyond_task")),
      spot.said,
    ])  # fmt: skip
  table = Table((*heads, "beyond task", "verdict"), "ttttnttt", lines, notes=[BEST])
  return table if _several(spots) else _without(table, "layer")


def _told(rows: list[Row]) -> list[Spot]:
  return [spot for spot in read(rows) if spot.subject != "majority"]


def _several(spots: list[Spot]) -> bool:
  """Whether it must be said at which layer a point is."""
  return len({spot.layer for spot in spots if spot.placed}) > 1


def _without(table: Table, head: str) -> Table:
  at = table.heads.index(head)
  heads, *lines = ([*line[:at], *line[at + 1 :]] for line in (table.heads, *table.lines))
  kinds = table.kinds[:at] + table.kinds[at + 1 :]
  return replace(table, heads=heads, kinds=kinds, lines=lines)


def sections(rows: list[Row], about: About) -> list[Section]:
  """The page of a study."""
  spots = read(rows)
  attribute = next((s.attribute for s in spots if s.attribute), "the attribute")
  question = (
    f"After a penalty in training, or an edit afterwards: how much of {attribute} does a "
    "fresh attacker still read, and what did it cost the task?"
  )
  every = pivot(rows, ("subject", "setting", "layer"), "metric")
  return [
    Section("The question", [question], lead=True),
    Section("The answer", answer(spots), lead=True),
    Section("Fidelity against leakage", picture=_front(spots, about)),
    Section("Every point", table=_points(_told(rows))),
    Section("How to read it", terms=TERMS),
    Section("Every number", table=every, folded=True),
  ]


def _front(spots: list[Spot], about: About) -> Picture:
  from ovl.report.drawing import render  # matplotlib takes a second; the table needs none
  from ovl.report.front import front

  caption = (
    f"Each point is the mean over seeds with its {percent(about.level)} intervals. Left is "
    "private, up is useful. The line joins what no other point beats; weights of one "
    "penalty are joined by a thin line. Attackers met neither network nor critic nor "
    "eraser before, and learn from rows none of them saw."
  )
  alt = "Task accuracy against what is left; its numbers are in the table"
  return render("front", lambda: front(spots), alt, caption, "depth few")


def _points(spots: list[Spot]) -> Table:
  attackers = list(dict.fromkeys(name for spot in spots for name in spot.attackers))
  heads = ["subject", "weight", "layer", "task accuracy", "cost, paired", "share left"]
  heads += ["beyond the task", "p", "verdict", *attackers, "critic in training, nats"]
  kinds = "httnnnnnv" + "n" * len(attackers) + "n"
  table = Table(heads, kinds, [_line(spot, attackers) for spot in spots])
  return table if _several(spots) else _without(table, "layer")


def _line(spot: Spot, attackers: list[str]) -> list[str]:
  of, beyond = spot.by_metric.get, spot.by_metric.get("share_beyond_task")
  alone = (spot.attackers.get(name) for name in attackers)
  read_by = (f"{name} {number(row.value, 3)}" for name, row in spot.read.items())
  return [
    spot.subject + " ★" * spot.on_front,
    spot.weight,
    spot.layer,
    interval(of("task_accuracy"), 3),
    interval(of("task_cost"), 3),
    interval(of("share")),
    interval(beyond),
    p_value(beyond.p if beyond else None),
    spot.said,
    *(number(row.value if row else None) for row in alone),
    "; ".join(read_by),
  ]
