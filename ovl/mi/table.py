"""Estimates as a table for a terminal."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ovl.mi.estimate import Estimate


def table(found: Sequence[Estimate]) -> str:
  """One line an estimate, and below what there is to say of it."""
  grid = Table(box=box.SIMPLE_HEAD)
  for name in ("method", "estimate", "interval", "is", "share of H(S)", "certified"):
    grid.add_column(name, justify="left" if name in ("method", "is") else "right")
  for name in ("p", "n", "flag"):
    grid.add_column(name, justify="left" if name == "flag" else "right")
  for one in found:
    unit = one.unit or "no unit"
    grid.add_row(
      one.method,
      f"{one.nats:.3f} {unit}",
      f"[{one.low:.3f}, {one.high:.3f}]",
      {"lower": "lower bound", "upper": "upper bound"}.get(one.bound, one.bound or "score"),
      _number(one.share),
      "" if math.isnan(one.certified_low) else f">= {one.certified_low:.3f}",
      _number(one.p),
      f"{one.n_eval:,}",
      one.flag,
    )
  text = io.StringIO()
  console = Console(file=text, width=120)
  console.print(grid)
  for one in found:
    level = f"intervals at {one.level:.0%}"
    units = f"{one.units:,} units, {one.seeds} critic{'s' * (one.seeds > 1)}, chance 0"
    said = f"{one.method}: {units}, {level}" + (f"; {one.why}" if one.why else "")
    console.print(Text(said))
  return text.getvalue().rstrip()


def _number(value: float) -> str:
  return "" if math.isnan(value) else f"{value:.3f}"
