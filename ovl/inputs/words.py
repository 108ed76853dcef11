"""Words of messages: the nearest name, a short list, a place in a table."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# Words of a table that say "unknown", in lower case: what pandas, R, SQL and spreadsheets
# write, and what str() makes of a missing value.
UNKNOWN = frozenset(
  ("", "na", "n/a", "#n/a", "#na", "<na>", "nan", "-nan", "nat", "null", "nil", "none")
)


def listed(names: Iterable[object]) -> str:
  """The first eight, by commas."""
  words = [str(name) for name in names]
  return ", ".join(words[:8]) + (", ..." if len(words) > 8 else "") or "nothing"


def nearest(name: str, names: Iterable[str]) -> str:
  """ "did you mean X?", or what there is."""
  names = [str(one) for one in names]
  close = difflib.get_close_matches(name, names, 1, 0.5)
  return f"did you mean {close[0]!r}?" if close else f"expected one of {listed(names)}"


def place(row: int, column: str | int | None = None) -> str:
  """ "row 17, column age"; rows as a spreadsheet counts them, the header is row 1."""
  return f"row {row}" + ("" if column is None else f", column {column}")
