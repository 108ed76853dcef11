"""What critics found, on disk: a finished stage is not run again."""

from __future__ import annotations

import os
import pathlib

import numpy as np

from ovl.types import BadInput, Found


def load(cache: pathlib.Path | None, stage: str) -> list[Found] | None:
  """What a finished stage found, or None."""
  path = None if cache is None else cache / f"{stage}.npz"
  if path is None or not path.is_file():
    return None
  with np.load(path, allow_pickle=False) as saved:
    lanes = len(saved.files) // len(Found._fields)
    return [Found(*(saved[f"{i}/{f}"] for f in Found._fields)) for i in range(lanes)]


def save(cache: pathlib.Path | None, stage: str, found: list[Found]) -> None:
  """Writes what a stage found, whole or not at all; BadInput where that fails."""
  if cache is None:
    return
  named = {
    f"{i}/{name}": array
    for i, one in enumerate(found)
    for name, array in one._asdict().items()
  }
  partial = cache / f"{stage}.partial"
  try:
    cache.mkdir(parents=True, exist_ok=True)
    with partial.open("wb") as file:
      np.savez(file, **named)
    os.replace(partial, cache / f"{stage}.npz")
  except OSError as error:
    partial.unlink(missing_ok=True)
    raise BadInput(f"cannot write {cache}: {error.strerror}") from error
