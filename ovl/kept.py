"""Stages that are kept: made once, read back by every later call."""

from __future__ import annotations

import contextlib
import io
import json
import pathlib
import zipfile
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from ovl import processes
from ovl.files import write_bytes
from ovl.results import to_dict
from ovl.types import Row

T = TypeVar("T", bound=tuple)


def arrays(
  path: pathlib.Path | None,
  make: Callable[[], list[T]],
  of: type[T],
  say: Callable[[str], None],
) -> list[T]:
  """Tuples of arrays, as an npz.

  Args:
    path: of the stage, without a suffix; None: nothing is kept.
    make: called where it is not kept yet, or what is kept cannot be read.
    of: the NamedTuple.
    say: told of a file that cannot be read.
  """
  names: tuple[str, ...] = of._fields  # type: ignore[attr-defined]

  def read(file: pathlib.Path) -> list[T]:
    with np.load(file, allow_pickle=False) as saved:
      number = len(saved.files) // len(names)
      return [of(*(saved[f"{i}/{name}"] for name in names)) for i in range(number)]

  return _kept(path, ".npz", read, lambda: _packed(make()), make, say)


def rows(
  path: pathlib.Path | None, make: Callable[[], list[Row]], say: Callable[[str], None]
) -> list[Row]:
  """Rows, one JSON a line; read back, so that a resumed run gives the same bytes."""

  def read(file: pathlib.Path) -> list[Row]:
    return [Row(**json.loads(line)) for line in file.read_text("utf-8").splitlines()]

  def written() -> bytes:
    return "".join(json.dumps(to_dict(row)) + "\n" for row in make()).encode()

  return _kept(path, ".jsonl", read, written, make, say)


def _kept(
  path: pathlib.Path | None,
  suffix: str,
  read: Callable[[pathlib.Path], list[T]],
  written: Callable[[], bytes],
  make: Callable[[], list[T]],
  say: Callable[[str], None],
) -> list[T]:
  """The stage of a file; all processes make it or none."""
  if path is None:
    return make()
  file = path.with_name(path.name + suffix)

  def sound() -> bool:
    if not file.is_file():
      return False
    try:
      read(file)
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as bad:
      say(f"{file} cannot be read ({bad}): that stage is worked out again")
      with contextlib.suppress(OSError):
        file.unlink()
      return False
    return True

  if not processes.agreed(sound):
    data = written()
    processes.agreed(lambda: write_bytes(file, data))
  return read(file)


def _packed(some: Sequence[tuple]) -> bytes:
  named = {
    f"{i}/{name}": array
    for i, one in enumerate(some)
    for name, array in one._asdict().items()  # type: ignore[attr-defined]
  }
  out = io.BytesIO()
  np.savez(out, **named)
  return out.getvalue()
