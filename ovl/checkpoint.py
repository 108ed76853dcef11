"""Trees of arrays on disk by Orbax; restored into the shape they are asked for."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from ovl.types import BadInput


def save(path: str | os.PathLike[str], step: int, tree: Any) -> None:
  """Saves `tree` as `step` under `path`, keeping the newest two; returns when on disk.

  Raises:
    BadInput: the folder cannot be written.
  """
  options = ocp.CheckpointManagerOptions(
    max_to_keep=2, cleanup_tmp_directories=True, enable_async_checkpointing=False
  )
  try:
    with ocp.CheckpointManager(pathlib.Path(path).absolute(), options=options) as manager:
      manager.save(step, args=ocp.args.StandardSave(tree))
  except OSError as error:
    raise BadInput(f"cannot write {path}: {error.strerror}") from error


def latest(path: str | os.PathLike[str]) -> int | None:
  """The newest step under `path`, or None."""
  if not pathlib.Path(path).is_dir():
    return None
  with ocp.CheckpointManager(pathlib.Path(path).absolute()) as manager:
    return manager.latest_step()


def restore(path: str | os.PathLike[str], like: Any, step: int | None = None) -> Any:
  """Restores a tree of the shapes, types and shardings of `like`.

  Raises:
    BadInput: nothing is saved there, or its structure is another.
  """
  found = latest(path) if step is None else step
  if found is None:
    raise BadInput(f"checkpoint={os.fspath(path)!r}: no checkpoint there")

  def abstract(leaf: Any) -> Any:
    leaf = leaf if isinstance(leaf, jax.Array) else np.asarray(leaf)
    where = leaf.sharding if isinstance(leaf, jax.Array) else None
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)

  home = pathlib.Path(path).absolute()
  handler = ocp.StandardCheckpointHandler()
  with ocp.CheckpointManager(home, item_handlers=handler) as manager:
    target = jax.tree.map(abstract, like)
    saved = manager.item_metadata(found)
    # Asked for another shape, Orbax fails half-way: so look before.
    theirs, mine = _shapes(getattr(saved, "tree", saved)), _shapes(target)
    for name in sorted(theirs.keys() | mine.keys()):
      if theirs.get(name) != mine.get(name):
        raise BadInput(
          f"checkpoint={os.fspath(path)!r} does not fit the model: {name} is "
          f"{theirs.get(name, 'absent')} there, expected {mine.get(name, 'absent')}"
        )
    return manager.restore(found, args=ocp.args.StandardRestore(target))


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
  """Name -> shape of every leaf, alike for tuples with names and dictionaries."""
  leaves, _ = jax.tree_util.tree_flatten_with_path(
    tree, is_leaf=lambda leaf: hasattr(leaf, "shape")
  )
  return {
    jax.tree_util.keystr(path, simple=True, separator="."): tuple(leaf.shape)
    for path, leaf in leaves
  }
