"""Tables of attributes as people have them: delimited text, Parquet, Arrow.

Text is read by the standard `csv` module and the rules below, so that a file means the
same wherever it is read; Parquet and Feather by pyarrow.
"""

from __future__ import annotations

import csv
import importlib
import io
import pathlib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ovl.inputs.holders import plain
from ovl.inputs.words import UNKNOWN, listed, place
from ovl.types import BadInput

IDENTITY = ("group", "groups", "id", "ids")
DELIMITERS = ",;\t|"
BINARY = {".parquet": "parquet", ".feather": "feather", ".arrow": "feather"}
# Byte order marks, the longest first.
MARKS = {
  b"\xff\xfe\x00\x00": "utf-32", b"\x00\x00\xfe\xff": "utf-32",
  b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16",
}  # fmt: skip
# Cells that are numbers; at most 18 digits, so that no two become one.
WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")
SIGNED = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})")
REAL = re.compile(
  r"(?i)[+-]?((?!0[0-9]+$)(?![0-9]{19})[0-9]+|[0-9]+\.[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?"
  r"|[+-]?(inf|infinity)"
)
DIGITS = re.compile(r"[0-9_]+")
FEW = 0.1  # of a column's cells: where fewer are no numbers, those may be slips
SIGNS = ("?", ".", "-", "*")  # unknown among numbers; "?" among words as well
UNNAMED = re.compile(r"|Unnamed: \d+|__index_level_\d+__")
COUNTING = ("index", "level_0")  # names that pandas gives an index


class Table(NamedTuple):
  """Columns by name, and what was done to get them.

  Attributes:
    columns: name -> one value a row.
    notes: sentences.
    doubts: sentences on what a person should look at.
  """

  columns: dict[str, Any]
  notes: list[str]
  doubts: list[str]


def read(path: pathlib.Path) -> Table:
  """Reads a table of one row an example, the first row its header.

  Args:
    path: .csv, .tsv or any delimited text; .parquet, .feather or .arrow.

  Returns:
    The columns; of text: integers, floats or text, None where unknown.

  Raises:
    BadInput: no text in a known encoding, cells that do not fit the header, names that
      come twice, no rows, a package that is not installed.
  """
  binary = path.suffix.lower() in BINARY
  columns, notes, doubts = _binary(path) if binary else _text(path)
  for name in list(columns):
    if why := _counts_rows(name, columns, first=name == next(iter(columns))):
      del columns[name]
      called = f"column {name!r}" if name else "the column without a name"
      notes.append(f"{path.name}: {called} {why}: it is left out")
    elif UNNAMED.fullmatch(name):
      where = list(columns).index(name) + 1
      raise BadInput(f"{path.name}: column {where} has no name; name it, or leave it out")
  if not columns:
    raise BadInput(f"{path.name} has no column with a name; expected a header")
  return Table(columns, notes, doubts)


def _text(path: pathlib.Path) -> Table:
  text, encoding = _decoded(path)
  notes = [] if encoding.startswith("utf-8") else [f"{path.name} is read as {encoding}"]
  delimiter = _delimiter(text)
  rows = _rows(text, delimiter, path.name)
  if len(rows) < 2:
    raise BadInput(f"{path.name} has no rows; expected a header and one row an example")
  (_, header), *body = rows
  if delimiter != ",":
    notes.append(f"{path.name}: cells are parted by {delimiter!r}")
  if all(len(cells) == len(header) + 1 for _, cells in body):
    header = ["", *header]  # as R's write.table does: row names without a header
  for number, cells in body:
    if len(cells) != len(header):
      raise BadInput(
        f"{path.name}: {place(number)} has {len(cells)} cells, not {len(header)} as the "
        f"header ({listed(header)}); a cell with {delimiter!r} in it needs quotes"
      )
  columns: dict[str, Any] = {}
  doubts: list[str] = []
  for name, column in zip(header, zip(*(c for _, c in body), strict=True), strict=True):
    if not name and not any(column):
      continue  # a delimiter at the end of every row is no column
    if name in columns:
      raise BadInput(f"{path.name}: column {name!r} comes twice")
    columns[name] = _parse(column, name in IDENTITY, comma=delimiter != ",")
    if name not in IDENTITY and (cell := _odd(columns[name])):
      row = body[column.index(cell)][0]
      doubts.append(
        f"{path.name}: {place(row, name)} is {cell!r} where nearly all are numbers: the "
        "column is read as text; empty cells are unknown"
      )
  return Table(columns, notes, doubts)


def _decoded(path: pathlib.Path) -> tuple[str, str]:
  try:
    raw = path.read_bytes()
  except OSError as error:
    raise BadInput(f"{path.name} cannot be read: {error.strerror}") from error
  encoding = next((MARKS[mark] for mark in MARKS if raw.startswith(mark)), "utf-8")
  try:
    return raw.decode(encoding), encoding
  except UnicodeDecodeError as error:
    row = raw.count(b"\n", 0, error.start) + 1
    raise BadInput(
      f"{path.name} cannot be read: {place(row)} is no {encoding} (byte "
      f"0x{raw[error.start]:02x})\n  save it as UTF-8, as by iconv -f WINDOWS-1252 -t UTF-8"
    ) from error


def _delimiter(text: str) -> str:
  """The one that parts the header into most cells, outside of quotes."""
  header = next((line for line in text.splitlines() if line.strip()), "")
  bare = re.sub(r'"[^"]*"', "", header)
  return max(DELIMITERS, key=bare.count)


def _rows(text: str, delimiter: str, name: str) -> list[tuple[int, list[str]]]:
  """(row of the file, stripped cells) of every row that is not blank."""
  reader = csv.reader(
    io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True
  )
  found = []
  try:
    for cells in reader:
      if any(cell.strip() for cell in cells) or len(cells) > 1:
        found.append((reader.line_num, [cell.strip() for cell in cells]))
  except csv.Error as error:
    raise BadInput(
      f"{name} cannot be read: {place(reader.line_num)}: {error}\n  a quote inside of a "
      'cell is written "" and one that opens must close'
    ) from error
  return found


def _parse(
  column: Sequence[str], identity: bool, comma: bool
) -> Sequence[int | float | str | None]:
  """Numbers where every cell is one as it is commonly written; else the text itself.

  Text that Python would take for a number stays text where two texts would become one:
  underscores, leading zeros, more digits than a number holds. What tells units apart
  (`identity`) is a number only where each has one spelling. `comma`: decimals have one.
  """
  cells = [None if cell.casefold() in UNKNOWN else cell for cell in column]
  for signs in (SIGNS, SIGNS[:1]):
    holed = [None if cell in signs else cell for cell in cells]
    filled = [cell for cell in holed if cell is not None]
    if comma:
      filled = [cell.replace(",", ".") if cell.count(",") == 1 else cell for cell in filled]
    if not filled:
      return holed
    if all((WHOLE if identity else SIGNED).fullmatch(cell) for cell in filled):
      return _put(holed, [int(cell) for cell in filled])
    if not identity and all(REAL.fullmatch(cell) for cell in filled):
      return _put(holed, [float(cell) for cell in filled])
  worded = any(len(cell) > 1 for cell in filled) and not identity
  return holed if worded else cells


def _odd(column: Sequence[int | float | str | None]) -> str:
  """The first cell that keeps a column from being one of numbers; "" where many do."""
  text = [cell for cell in column if isinstance(cell, str)]
  odd = [cell for cell in text if not REAL.fullmatch(cell)]
  few = 0 < len(odd) <= FEW * len(text)
  # Digits alone are no slip: 007 and 1_11 are names.
  return odd[0] if few and not any(DIGITS.fullmatch(cell) for cell in odd) else ""


def _put(holed: list[str | None], filled: Sequence[Any]) -> list[Any]:
  values = iter(filled)
  return [None if cell is None else next(values) for cell in holed]


def _counts_rows(name: str, columns: dict[str, Any], first: bool) -> str:
  """Why a column is the index that pandas or R wrote and no attribute; "" where not."""
  if not UNNAMED.fullmatch(name) and name not in COUNTING:
    return ""
  values = list(columns[name])
  whole = all(isinstance(v, int | np.integer) for v in values)
  if whole and (first or UNNAMED.fullmatch(name)):
    start = values[0]
    counts = values == list(range(start, start + len(values)))
    if counts or UNNAMED.fullmatch(name):
      return "counts rows" if counts else "is an index"
  if UNNAMED.fullmatch(name) and first and len(set(values)) == len(values):
    return "names rows"
  return ""


def _binary(path: pathlib.Path) -> Table:
  module = f"pyarrow.{BINARY[path.suffix.lower()]}"
  try:
    arrow = importlib.import_module(module)
  except ImportError as error:
    raise BadInput(
      f"{path.name} needs pyarrow, which is not installed: pip install pyarrow"
    ) from error
  try:
    table = arrow.read_table(path)
  except Exception as error:  # whatever pyarrow raises
    message = " ".join(str(error).split())[:120]
    raise BadInput(f"{path.name} cannot be read by pyarrow: {message}") from error
  if not table.num_rows:
    raise BadInput(f"{path.name} has no rows; expected one row an example")
  names = table.column_names
  for name in names:
    if names.count(name) > 1:
      raise BadInput(f"{path.name}: column {name!r} comes twice")
  # Arrow's own columns still say which were declared to be classes.
  columns = {
    name: table[name] if not UNNAMED.fullmatch(name) else plain(table[name], name)
    for name in names
  }
  return Table(columns, [], [])
