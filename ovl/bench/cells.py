"""What every study shares: a finished cell has a file of its own and is never redone."""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Callable
from typing import Any

from ovl import results
from ovl.types import Row

Progress = Callable[[float, str], None]


def named(cell: Any) -> str:
  """Names the file of a cell: equal content, equal name."""
  text = json.dumps(cell, default=str)
  return hashlib.sha256(text.encode()).hexdigest()[:16]


def remembered(path: pathlib.Path, measure: Callable[[], list[Row]]) -> list[Row]:
  """The rows of a finished cell, or those that `measure` finds now."""
  if not path.is_file():
    lines = [json.dumps(results.to_dict(row)) + "\n" for row in measure()]
    results.write_text(path, "".join(lines))
  # Read back, so that a resumed run gives the same bytes.
  return [Row(**json.loads(line)) for line in path.read_text().splitlines()]
