"""Rows on disk: JSON lines, and the same as CSV."""

from __future__ import annotations

import csv
import json
import math
import os
import pathlib
from collections.abc import Iterable
from typing import Any

from ovl.files import write_text
from ovl.types import BadInput, Row


def _number(value: Any) -> Any:
  """Seven significant digits: float32's own, and the same text on every run."""
  if isinstance(value, float):
    return float(f"{value:.7g}") if math.isfinite(value) else None
  return value


def to_dict(row: Row) -> dict[str, Any]:
  """The row without its empty columns."""
  pairs = ((k, _number(v)) for k, v in row._asdict().items())
  return {k: v for k, v in pairs if v is not None and v != ""}


def write(rows: Iterable[Row], directory: pathlib.Path) -> None:
  """Writes `rows.jsonl` (empty columns left out) and `rows.csv` (every column)."""
  dicts = [to_dict(row) for row in rows]
  lines = (json.dumps(d, ensure_ascii=False) for d in dicts)
  write_text(directory / "rows.jsonl", "".join(line + "\n" for line in lines))

  class Sink(list):  # csv wants an object with write()
    write = list.append

  sink = Sink()
  writer = csv.DictWriter(sink, Row._fields, lineterminator="\n")
  writer.writeheader()
  writer.writerows(dicts)
  write_text(directory / "rows.csv", "".join(sink))


def read(directory: str | os.PathLike[str]) -> list[Row]:
  """Reads `rows.jsonl` of a workdir.

  Raises:
    BadInput: no such file, a line that is no JSON, or an unknown column.
  """
  path = pathlib.Path(directory) / "rows.jsonl"
  if not path.is_file():
    raise BadInput(f"{path}: no such file; expected the workdir of a finished run")
  rows = []
  for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
    try:
      rows.append(Row(**json.loads(line)))
    except (json.JSONDecodeError, TypeError) as error:
      raise BadInput(f"{path}:{number}: not a row: {error}") from error
  return rows
