"""A table of words: to a terminal, as Markdown, and (in page.html) as HTML."""

from __future__ import annotations

import io
import itertools
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import rich.table
from rich import box
from rich.console import Console
from rich.text import Text

from ovl.types import Row

# What Markdown would read as more than text; of brackets only those of a link.
_MARKS = re.compile(
  r"[\\|`*~$]|<(?=[\w/!?])|(?<=\])\(|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])"
)
# What begins a heading, a list, a quotation or a rule.
_BEGINS = re.compile(r"(#+|[+-]|\d+[.)])(?=\s|$)|>|=|--")


@dataclass(frozen=True)
class Table:
  """Lines of words.

  Attributes:
    heads: of the columns.
    kinds: a letter a column: "h" what a line is about, as the first column said once where
      it repeats; "n" a number; "v" a verdict, with its colour; "t" other words.
    lines: as many words a line as there are columns; nothing in them is markup.
    caption: above it.
    notes: below it, a line each.
  """

  heads: Sequence[str]
  kinds: str
  lines: Sequence[Sequence[str]]
  caption: str = ""
  notes: Sequence[str] = ()

  def __post_init__(self) -> None:
    if {len(self.kinds), *map(len, self.lines)} != {len(self.heads)}:
      raise ValueError(f"a table of {len(self.heads)} columns with a line that has not")

  @property
  def groups(self) -> list[list[Sequence[str]]]:
    """Lines that are about the same thing."""
    if not self.kinds.startswith("h"):
      return [list(self.lines)]
    of = itertools.groupby(self.lines, key=lambda line: line[0])
    return [list(lines) for _, lines in of]


def terminal(table: Table) -> str:
  """The table as lines of plain text, as wide as its words are."""
  grid = rich.table.Table(box=box.SIMPLE_HEAD, pad_edge=False)
  for head, kind in zip(table.heads, table.kinds, strict=True):
    justify = "right" if kind == "n" else "left"
    grid.add_column(Text(plain(head)), justify=justify, no_wrap=True)  # type: ignore[arg-type]
  for line in table.lines:
    grid.add_row(*(Text(plain(word)) for word in line))  # Text: "[red]" is a name
  out = io.StringIO()
  Console(file=out, width=100_000, color_system=None, force_jupyter=False).print(grid)
  lines = [line.rstrip() for line in out.getvalue().splitlines()]
  words = [plain(table.caption), *lines, *map(plain, table.notes)]
  return "\n".join(word for word in words if word)


def markdown(table: Table) -> str:
  """The table as Markdown reads it."""
  lines = [paragraph(table.caption), ""] if table.caption else []
  lines.append("| " + " | ".join(map(escaped, table.heads)) + " |")
  lines.append(
    "|" + "|".join("--:" if kind == "n" else "---" for kind in table.kinds) + "|"
  )
  lines += ["| " + " | ".join(map(escaped, line)) + " |" for line in table.lines]
  for note in table.notes:
    lines += ["", paragraph(note)]
  return "\n".join(lines)


def pivot(rows: Iterable[Row], down: Sequence[str], across: str) -> Table:
  """Every aggregate row: a line for what differs in `down`, a column for what in `across`.

  Args:
    rows: of one run; those of single models are passed over.
    down: columns of `Row`; those that are empty everywhere are left out.
    across: a column of `Row`.
  """
  some = [row for row in rows if row.seed is None]
  heads = list(dict.fromkeys(getattr(row, across) for row in some))
  down = [name for name in down if any(getattr(row, name) for row in some)]
  found: dict[tuple[str, ...], dict[str, list[Row]]] = {}
  for row in some:
    key = tuple(_said(row, name) for name in down)
    found.setdefault(key, {}).setdefault(getattr(row, across), []).append(row)
  first = list(dict.fromkeys(key[:1] for key in found))
  lines = [
    [*key, *("; ".join(_several(found[key].get(head, []))) for head in heads)]
    for key in sorted(found, key=lambda key: first.index(key[:1]))
  ]
  kinds = "h" * bool(down) + "t" * (len(down) - 1) + "n" * len(heads)
  return Table([*down, *(head or across for head in heads)], kinds, lines)


def _said(row: Row, name: str) -> str:
  value = getattr(row, name)
  if name == "setting":
    return varied(value)
  return "" if value is None else str(value)


def _several(rows: list[Row]) -> list[str]:
  """Rows of one place: numbers, or the word that stands for them."""
  words = [interval(row, 3) or row.verdict or row.flag for row in rows]
  if len(rows) == 1:
    return words
  return [f"{row.method} {word}".strip() for row, word in zip(rows, words, strict=True)]


# ---- words -----------------------------------------------------------------------------


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
  return "" if row is None else ends(row.value, row.low, row.high, digits)


def ends(
  value: float | None, low: float | None, high: float | None, digits: int = 2
) -> str:
  """The same of three numbers."""
  if value is None:
    return ""
  said = number(value, digits)
  if low is not None and high is not None:
    said += f" [{number(low, digits)}, {number(high, digits)}]"
  return said


def p_value(p: float | None) -> str:
  """Three digits, or "< 0.001"."""
  if p is None:
    return ""
  return "< 0.001" if p < 0.001 else number(p, 3)


def percent(share: float) -> str:
  """For example "95 %"."""
  return f"{100 * share:g} %"


def varied(setting: str) -> str:
  """What was varied, in words: "weight 10, attacker mlp"."""
  try:
    pairs = dict(json.loads(setting or "{}"))
  except (ValueError, TypeError):
    return setting
  return ", ".join(
    f"{name} {value:g}" if isinstance(value, int | float) else f"{name} {value}"
    for name, value in pairs.items()
  )


def plain(text: str) -> str:
  """One printable line."""
  return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def short(name: str, limit: int = 24) -> str:
  """One printable line of at most `limit` characters, its middle left out.

  Names of layers often differ in their last characters only.
  """
  name = plain(name)
  if len(name) <= limit:
    return name
  return f"{name[: limit // 2]}…{name[limit // 2 + 1 - limit :]}"


def escaped(text: str) -> str:
  """One printable line in which Markdown finds no mark."""
  return _MARKS.sub(r"\\\g<0>", plain(text))


def paragraph(text: str) -> str:
  """The same, also at its beginning."""
  text = escaped(text)
  if (found := _BEGINS.match(text)) is None:
    return text
  at = found.end() - 1 if text[0].isdigit() else 0
  return f"{text[:at]}\\{text[at:]}"
