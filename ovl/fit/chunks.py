"""More networks than fit side by side: one part after another, joined on the host."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from ovl import mesh
from ovl.fit import ahead
from ovl.fit.rehearse import Asked
from ovl.types import BadInput

ROOM = 0.8  # of a device's memory: the rest is the allocator's and the next stage's


def most(asked: Asked, grid: Mesh) -> int:
  """How many networks are trained at once: as asked, or as device memory holds.

  Two compiled programs, of one network a device and of two, say what a network needs.

  Raises:
    BadInput: `fit.lanes` that the mesh does not divide; not even one network fits.
  """
  S, devices = len(asked.rows_SN), grid.shape["seed"]
  if given := asked.settings.lanes:
    if given < S and given % devices:
      raise BadInput(f"fit.lanes={given}: mesh.seed={devices} does not divide it")
    return given
  memory = mesh.memory(grid)
  if memory is None or _about(asked) * S / devices < memory / 8:
    return S
  whole = ROOM * memory
  one, two = (ahead.peak(ahead.compiled(asked, grid, n * devices)[0]) for n in (1, 2))
  fit = int(1 + (whole - one) // max(two - one, 1)) * devices
  if fit < devices:
    raise BadInput(
      f"a step of one network needs {one / 2**30:.2f} GiB of {whole / 2**30:.2f}: lower "
      "fit.batch_size, set fit.stream=on, or raise mesh.data"
    )
  return min(fit, S)


def _about(asked: Asked) -> float:
  """Bytes of one network by its shapes alone: weights, moments, gradients, activations."""

  def look() -> Any:
    x_B = jax.numpy.zeros((asked.settings.batch_size, *np.shape(asked.x_N)[1:]))
    params, state = asked.model.init(jax.random.key(0), x_B)
    return params, asked.model.apply(params, state, x_B)[:2]

  params, seen = jax.eval_shape(look)
  sizes = (
    sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
    for tree in (params, seen)
  )
  return 4.0 * sum(sizes)


def places(S: int, most: int) -> Iterator[slice]:
  """Parts of all networks, at most so many each."""
  return (slice(start, min(start + most, S)) for start in range(0, S, most))


def taken(asked: Asked, at: slice) -> Asked:
  """What is asked of some of the networks."""
  aim = asked.objective
  some = jax.tree.map(lambda leaf: leaf[at], (dict(aim.weights), aim.lanes))
  return asked._replace(
    rows_SN=asked.rows_SN[at], key_S=asked.key_S[at],
    objective=aim._replace(weights=some[0], lanes=some[1]),
  )  # fmt: skip


def joined(parts: Sequence[Any]) -> Any:
  """Their results side by side; snapshots lead with T, everything else with S."""

  def side_by_side(axis: int, *leaves: Any) -> np.ndarray:
    return np.concatenate(leaves, axis)

  return type(parts[0])(
    *(
      jax.tree.map(lambda *x, a=int(name == "snapshots"): side_by_side(a, *x), *values)
      for name, values in zip(parts[0]._fields, zip(*parts, strict=True), strict=True)
    )
  )
