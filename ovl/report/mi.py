"""The page of estimates of mutual information."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import markupsafe
from rich import box
from rich.console import Console
from rich.table import Table

from ovl.about import About
from ovl.report.table import number
from ovl.types import Row

if TYPE_CHECKING:
  from ovl.report.plots import Picture

BOUNDS = {"lower": "lower bound", "upper": "upper bound", "": "score"}


def text(rows: list[Row], about: About) -> str:
  """One line an estimate, and below what there is to say of it."""
  grid = Table(box=box.SIMPLE_HEAD)
  for name in ("method", "estimate", "interval", "is", "share of H(S)", "certified"):
    grid.add_column(name, justify="left" if name in ("method", "is") else "right")
  for name in ("p", "n", "flag"):
    grid.add_column(name, justify="left" if name == "flag" else "right")
  also = {(row.method, row.metric): row.value for row in rows}
  for row in rows:
    if row.metric != "information":
      continue
    sure = also.get((row.method, "certified_low"))
    grid.add_row(
      row.method,
      f"{number(row.value, 3)} {'no unit' if row.unit == 'score' else row.unit}",
      f"[{number(row.low, 3)}, {number(row.high, 3)}]",
      BOUNDS.get(row.bound, row.bound),
      number(also.get((row.method, "share")), 3),
      "" if sure is None else f">= {number(sure, 3)}",
      number(row.p, 3),
      f"{row.n_eval:,}",
      row.flag,
    )
  out = io.StringIO()
  Console(file=out, width=120, color_system=None, force_jupyter=False).print(grid)
  lines = [line.rstrip() for line in out.getvalue().splitlines()]
  return "\n".join([*(line for line in lines if line), *about.notes])


def page(rows: list[Row], about: About) -> tuple[str, dict[str, Picture]]:
  """The table on a page."""
  told = markupsafe.escape(text(rows, about))
  title = markupsafe.escape(about.title)
  return f"<!doctype html>\n<title>{title}</title>\n<pre>{told}</pre>\n", {}
