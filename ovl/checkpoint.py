"""Trees of arrays on disk by Orbax; restored into the shape they are asked for."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import pathlib
import re
import warnings
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from ovl import processes
from ovl.types import BadInput


class Damaged(BadInput):
  """A checkpoint that is there and cannot be read."""


class Saver:
  """Saves a state again and again, beside the work; the newest few are kept."""

  def __init__(self, path: str | os.PathLike[str] | None, keep: int = 2) -> None:
    """Opens the folder.

    Args:
      path: of the checkpoints; None: nothing is saved.
      keep: how many stay.
    """
    self._path, self._manager = path, None
    if path is not None:
      options = ocp.CheckpointManagerOptions(
        max_to_keep=keep, cleanup_tmp_directories=True, enable_async_checkpointing=True
      )
      with self._told():
        self._manager = ocp.CheckpointManager(
          pathlib.Path(path).absolute(), options=options
        )

  def __enter__(self) -> Saver:
    """For `with`, which waits for what is not yet on disk."""
    return self

  def __exit__(self, *_: object) -> None:
    """Waits, and closes the folder."""
    if self._manager is not None:
      with self._told():
        self._manager.wait_until_finished()
        self._manager.close()

  def save(self, step: int, tree: Any) -> None:
    """Begins to save a tree; its arrays may be donated as soon as this returns.

    Raises:
      BadInput: the folder cannot be written, or an earlier save failed.
    """
    if self._manager is not None and step not in self._manager.all_steps():
      with self._told():
        self._manager.save(step, args=ocp.args.StandardSave(tree))

  @contextlib.contextmanager
  def _told(self) -> Iterator[None]:
    try:
      yield
    except OSError as error:
      raise BadInput(f"cannot write {self._path}: {error.strerror or error}") from error
    except (ValueError, RuntimeError) as error:  # TensorStore's own words for a full disk
      code = re.search(r"os_error_code='(\d+)'", str(error))
      said = os.strerror(int(code[1])) if code else str(error).splitlines()[0][:200]
      raise BadInput(f"cannot write {self._path}: {said}") from error


def save(path: str | os.PathLike[str], step: int, tree: Any) -> None:
  """Saves `tree` as `step` under `path`; returns when on disk.

  Raises:
    BadInput: the folder cannot be written.
  """
  with Saver(path) as saver:
    saver.save(step, tree)


def steps(path: str | os.PathLike[str]) -> list[int]:
  """Those saved under `path`, the newest first."""

  def look() -> list[int]:
    if not pathlib.Path(path).is_dir():
      return []
    return sorted(map(int, ocp.utils.checkpoint_steps(path)), reverse=True)

  return processes.agreed(look)


def latest(path: str | os.PathLike[str]) -> int | None:
  """The newest step under `path`, or None."""
  return next(iter(steps(path)), None)


def _set_aside(path: pathlib.Path, step: int) -> str:
  """Moves a checkpoint out of the way of the next of that step."""
  free = (path.with_name(f"{path.name}-damaged-{step}.{n}") for n in itertools.count(1))
  aside = next(place for place in free if not place.exists())
  try:
    (path / str(step)).rename(aside)
  except OSError as error:
    raise BadInput(f"cannot write {path}: {error.strerror}") from error
  return str(aside)


def last_good(path: str | os.PathLike[str], like: Any) -> tuple[Any, int] | None:
  """The newest saved state that can be read, and its step; warns of those that cannot.

  Raises:
    BadInput: its structure is another than that of `like`.
  """
  for step in steps(path):
    try:
      return restore(path, like, step), step
    except Damaged as damaged:
      aside = processes.agreed(functools.partial(_set_aside, pathlib.Path(path), step))
      warnings.warn(
        f"a damaged checkpoint is in {aside} now, the one before it is used: {damaged}",
        stacklevel=2,
      )
  return None


def restore(path: str | os.PathLike[str], like: Any, step: int | None = None) -> Any:
  """Restores a tree of the shapes, types and shardings of `like`.

  Raises:
    BadInput: nothing is saved there, or its structure is another.
    Damaged: it cannot be read.
  """
  found = latest(path) if step is None else step
  if found is None:
    raise BadInput(f"checkpoint={os.fspath(path)!r}: no checkpoint there")
  try:
    return _read(pathlib.Path(path).absolute(), like, found)
  except (BadInput, MemoryError, jax.errors.JaxRuntimeError):
    raise
  except Exception as error:  # whatever a damaged file makes its readers raise
    said = (str(error).splitlines() or [type(error).__name__])[0][:160]
    raise Damaged(f"checkpoint={os.fspath(path)!r} cannot be read: {said}") from error


def _read(home: pathlib.Path, like: Any, step: int) -> Any:
  def abstract(leaf: Any) -> Any:
    leaf = leaf if isinstance(leaf, jax.Array) else np.asarray(leaf)
    where = leaf.sharding if isinstance(leaf, jax.Array) else None
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)

  handler = ocp.StandardCheckpointHandler()
  with ocp.CheckpointManager(home, item_handlers=handler) as manager:
    target = jax.tree.map(abstract, like)
    saved = manager.item_metadata(step)
    # Asked for another shape, Orbax fails half-way: so look before.
    theirs, mine = _shapes(getattr(saved, "tree", saved)), _shapes(target)
    if not theirs:
      raise ValueError("it lists no arrays")
    for name in sorted(theirs.keys() | mine.keys()):
      if theirs.get(name) != mine.get(name):
        raise BadInput(
          f"checkpoint={str(home)!r} does not fit the model: {name} is "
          f"{theirs.get(name, 'absent')} there, expected {mine.get(name, 'absent')}"
        )
    return manager.restore(step, args=ocp.args.StandardRestore(target))


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
  """Name -> shape of every leaf, alike for tuples with names and dictionaries."""
  leaves, _ = jax.tree_util.tree_flatten_with_path(
    tree, is_leaf=lambda leaf: hasattr(leaf, "shape")
  )
  return {
    jax.tree_util.keystr(path, simple=True, separator="."): tuple(leaf.shape)
    for path, leaf in leaves
  }
