"""The sections of estimates of mutual information."""

from __future__ import annotations

from ovl.about import About
from ovl.report.page import Section
from ovl.report.table import Table, number, p_value
from ovl.types import Row

BOUNDS = {"lower": "lower bound", "upper": "upper bound", "": "score"}
HEADS = ("method", "estimate", "interval", "is", "share of H(S)", "certified", "p", "n")


def terminal(rows: list[Row], about: About) -> Table:
  """One line an estimate, and below what there is to say of it."""
  also = {(row.method, row.metric): row.value for row in rows}
  lines = []
  for row in rows:
    if row.metric != "information":
      continue
    sure = also.get((row.method, "certified_low"))
    lines.append([
      row.method,
      f"{number(row.value, 3)} {'no unit' if row.unit == 'score' else row.unit}",
      f"[{number(row.low, 3)}, {number(row.high, 3)}]",
      BOUNDS.get(row.bound, row.bound),
      number(also.get((row.method, "share")), 3),
      "" if sure is None else f">= {number(sure, 3)}",
      p_value(row.p),
      "" if row.n_eval is None else f"{row.n_eval:,}",
      row.flag,
    ])  # fmt: skip
  return Table((*HEADS, "flag"), "tnntnnnnt", lines, notes=about.notes)


def sections(rows: list[Row], about: About) -> list[Section]:
  """The same table on a page, whose notes stand on top already."""
  table = terminal(rows, about._replace(notes=()))
  return [Section("Estimates", table=table)]
