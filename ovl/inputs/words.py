"""Words of messages: the nearest name, a short list, a place in a table."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# Words of a table that say "unknown", in lower case: what pandas, R, SQL and spreadsheets
# write, and what str() makes of a missing value.
UNKNOWN = frozenset(
  ("", "na", "n/a", "#n/a", "#na", "<na>", "nan", "-nan", "nat", "null", "nil", "none")
)


def listed(names: Iterable[object], most: int = 8) -> str:
  """The first of them, by commas."""
  words = [str(name) for name in names]
  return ", ".join(words[:most]) + (", ..." if len(words) > most else "") or "nothing"


def nearest(name: str, names: Iterable[str]) -> str:
  """ "did you mean X?", of what begins like it or is close; or what there is."""
  names = [str(one) for one in names]
  close = sorted(one for one in names if name and one.startswith(name))
  close = close or difflib.get_close_matches(name, names, 1, 0.5)
  if close:
    return f"did you mean {close[0]!r}?"
  return f"expected one of {listed(names, 40)}" if names else "there are none"


def place(row: int, column: str | int | None = None) -> str:
  """ "row 17, column age"; rows as a spreadsheet counts them, the header is row 1."""
  return f"row {row}" + ("" if column is None else f", column {column}")
