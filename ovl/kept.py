"""Stages that are kept: made once, read back by every later call."""

from __future__ import annotations

import io
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from ovl.files import write_bytes, write_text
from ovl.results import to_dict
from ovl.types import Row

T = TypeVar("T", bound=tuple)


def arrays(path: pathlib.Path | None, make: Callable[[], list[T]], of: type[T]) -> list[T]:
  """Tuples of arrays, as an npz.

  Args:
    path: of the stage, without a suffix; None: nothing is kept.
    make: called where it is not kept yet.
    of: the NamedTuple.
  """
  if path is None:
    return make()
  file = path.with_name(path.name + ".npz")
  if not file.is_file():
    write_bytes(file, _packed(make()))
  names = of._fields  # type: ignore[attr-defined]
  with np.load(file, allow_pickle=False) as saved:
    number = len(saved.files) // len(names)
    return [of(*(saved[f"{i}/{name}"] for name in names)) for i in range(number)]


def _packed(some: Sequence[tuple]) -> bytes:
  named = {
    f"{i}/{name}": array
    for i, one in enumerate(some)
    for name, array in one._asdict().items()  # type: ignore[attr-defined]
  }
  out = io.BytesIO()
  np.savez(out, **named)
  return out.getvalue()


def rows(path: pathlib.Path | None, make: Callable[[], list[Row]]) -> list[Row]:
  """Rows, one JSON a line; read back, so that a resumed run gives the same bytes."""
  if path is None:
    return make()
  file = path.with_name(path.name + ".jsonl")
  if not file.is_file():
    lines = [json.dumps(to_dict(row)) + "\n" for row in make()]
    write_text(file, "".join(lines))
  return [Row(**json.loads(line)) for line in file.read_text().splitlines()]
