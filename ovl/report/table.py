"""Rows -> cells (one attribute in one layer), and the short table for a terminal."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ovl.types import Row

OVERLEARNED = "overlearned"
LEAKING = (OVERLEARNED, "passed through", "leaks")
ENTAILED = "entailed by the task"
NOTHING = "no evidence"
UNJUDGED = ("cannot be tested", "too few examples", "constant attribute")

LINES = 40
Key = tuple[str, str, str, str]  # subject, attribute, layer, metric


class Cell(NamedTuple):
  """One attribute in one layer.

  Attributes:
    share: the aggregate row of `share_beyond_task`; it carries p, verdict and flag.
    excess: the aggregate row of `excess_share`, where there are untrained twins.
    detectable: the row of `detectable_share`.
    nats: the row of `information`, of the representation alone.
    low: the row of `certified_low`; discrete attributes.
    high: the row of `certified_high`, of a noised release.
  """

  share: Row
  excess: Row | None
  detectable: Row | None
  nats: Row | None = None
  low: Row | None = None
  high: Row | None = None

  @property
  def verdict(self) -> str:
    """What the audit concluded."""
    return self.share.verdict

  @property
  def leaks(self) -> bool:
    """Whether more is read than the task label tells."""
    return self.share.verdict in LEAKING

  @property
  def note(self) -> str:
    """ "reduced" where training surely took some away."""
    return "reduced" if self.excess and "reduced" in self.excess.verdict else ""

  @property
  def bracket(self) -> str:
    """What is certain of I(Z;S), nats: "0.21 or more", "0.21 to 0.50"."""
    if self.low is None:
      return ""
    if self.high is None:
      return f"{number(self.low.value)} or more"
    return f"{number(self.low.value)} to {number(self.high.value)}"


class Found(NamedTuple):
  """The rows of an audit, in the order of the report.

  Attributes:
    cells: by attribute as they first came, then by depth.
    totals: aggregate rows.
    models: the rows of single models.
  """

  cells: list[Cell]
  totals: dict[Key, Row]
  models: dict[Key, list[Row]]

  @property
  def attributes(self) -> list[str]:
    """Attributes with a verdict."""
    return list(dict.fromkeys(cell.share.attribute for cell in self.cells))

  @property
  def layers(self) -> list[str]:
    """Layers with a verdict, by depth."""
    by_depth = sorted(self.cells, key=lambda cell: _depth(cell.share))
    return list(dict.fromkeys(cell.share.layer for cell in by_depth))

  def of(self, attribute: str) -> list[Cell]:
    """The cells of one attribute, by depth."""
    return [cell for cell in self.cells if cell.share.attribute == attribute]

  def flat(self, subject: str, attribute: str, metric: str) -> Row | None:
    """The aggregate row of a subject without depth: raw input, label, majority."""
    for key, row in self.totals.items():
      if (key[0], key[1], key[3]) == (subject, attribute, metric):
        return row
    return None

  def read(self, layer: str) -> str:
    """ "512 of 12,544" where fewer columns of a layer were read than it has."""
    row = self.totals.get(("trained", "", layer, "columns"))
    if row is None or row.value is None or row.width is None:
      return ""
    return f"{row.width:,} of {row.value:,.0f}"

  def metric(self, attribute: str) -> str:
    """What stands for accuracy: `r2` where the attribute is continuous."""
    continuous = any(k[1] == attribute and k[3] == "r2" for k in self.totals)
    return "r2" if continuous else "accuracy"


def read(rows: Iterable[Row]) -> Found:
  """Sorts the rows of an audit; rows of other kinds are passed over."""
  totals: dict[Key, Row] = {}
  models: dict[Key, list[Row]] = {}
  for row in rows:
    if row.kind != "audit" or row.setting:  # recall of one class, a score
      continue
    row = _finite(row)
    key = (row.subject, row.attribute, row.layer, row.metric)
    if row.seed is None:
      totals[key] = row
    else:
      models.setdefault(key, []).append(row)
  cells = []
  for (subject, attribute, layer, metric), row in totals.items():
    if (subject, metric) == ("trained", "share_beyond_task"):
      names = ("excess_share", "detectable_share", "information", "certified_low")
      beside = [
        totals.get(("trained", attribute, layer, name))
        for name in (*names, "certified_high")
      ]
      cells.append(Cell(row, *beside))
  first: dict[str, int] = {}
  for cell in cells:
    first.setdefault(cell.share.attribute, len(first))
  cells.sort(key=lambda cell: (first[cell.share.attribute], _depth(cell.share)))
  return Found(cells, totals, models)


def _finite(row: Row) -> Row:
  """Empty in place of nan, as rows are on disk."""
  numbers = {"value": row.value, "low": row.low, "high": row.high, "p": row.p}
  lost: dict[str, Any] = {
    name: None
    for name, value in numbers.items()
    if value is not None and not math.isfinite(value)
  }
  return row._replace(**lost)


def _depth(row: Row) -> float:
  return math.inf if row.layer_index is None else row.layer_index


def number(value: float | None, digits: int = 2) -> str:
  """Fixed digits with a true minus sign; empty where there is none."""
  if value is None:
    return ""
  said = f"{value:.{digits}f}"
  if float(said) == 0:
    said = said.lstrip("-")  # no "-0.00"
  return said.replace("-", "\N{MINUS SIGN}")


def interval(row: Row | None, digits: int = 2) -> str:
  """For example "0.63 [0.60, 0.66]"; what is missing is left out."""
  if row is None or row.value is None:
    return ""
  said = number(row.value, digits)
  if row.low is not None and row.high is not None:
    said += f" [{number(row.low, digits)}, {number(row.high, digits)}]"
  return said


def short(name: str, limit: int = 24) -> str:
  """One printable line of at most `limit` characters, its middle left out.

  Names of layers often differ in their last characters only.
  """
  name = " ".join("".join(c if c.isprintable() else " " for c in name).split())
  if len(name) <= limit:
    return name
  return f"{name[: limit // 2]}…{name[limit // 2 + 1 - limit :]}"


def text(found: Found) -> str:
  """The first `LINES` cells: verdict, share beyond the task with interval, excess.

  And how many columns were read, where that is not all of some layer.
  """
  table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
  heads = ["attribute", "layer", "verdict", "share beyond task", "excess"]
  narrowed = any(found.read(layer) for layer in found.layers)
  for head in [*heads, "columns read"] if narrowed else heads:
    table.add_column(head, no_wrap=True)
  for cell in found.cells[:LINES]:
    verdict = f"{cell.verdict}, {cell.note}" if cell.note else cell.verdict
    table.add_row(
      Text(short(cell.share.attribute, 20)),  # Text: "[red]" is a name, no markup
      Text(short(cell.share.layer, 16)),
      verdict,
      interval(cell.share),
      number(cell.excess.value if cell.excess else None),
      *([found.read(cell.share.layer)] if narrowed else []),
    )
  out = io.StringIO()
  console = Console(file=out, width=100, color_system=None, force_jupyter=False)
  console.print(table)
  lines = [line.rstrip() for line in out.getvalue().splitlines()]
  if (more := len(found.cells) - LINES) > 0:
    lines.append(f"... and {more} more in rows.csv")
  return "\n".join(line for line in lines if line)
