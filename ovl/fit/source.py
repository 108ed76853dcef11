"""Where batches come from: device memory, or streamed from the host in the same order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from ovl import mesh, step
from ovl.types import BadInput

ROOM = 0.5  # of a device's memory that data may fill


class Source(NamedTuple):
  """The rows of a data set.

  Attributes:
    host: inputs, codes and attributes `[N, ...]`, maybe memory-mapped.
    rates: see `step.Batch`.
    grid: the mesh.
    whole: everything in device memory, inputs as rows of numbers; None where batches are
      streamed.
  """

  host: tuple[Any, Any, Mapping[str, Any]]
  rates: Mapping[str, Any]
  grid: Mesh
  whole: step.Batch | None

  def at(self, order_SN: Any, start: int, size: int) -> tuple[step.Batch, Any]:
    """What a step is handed: all rows and the epoch's order, or its own rows of it.

    Every process reads the rows of its own devices alone.
    """
    if self.whole is not None:
      return self.whole, order_SN
    rows_SB = order_SN[:, start : start + size]
    where = mesh.sharding(self.grid, "seed", "data")

    def gathered(leaf_N: Any) -> jax.Array:
      kind = jax.dtypes.canonicalize_dtype(leaf_N.dtype)

      def part(at: Any) -> np.ndarray:
        return np.asarray(leaf_N[rows_SB[at[:2]]]).astype(kind)

      shape = (*rows_SB.shape, *leaf_N.shape[1:])
      return mesh.made(shape, where, part)

    x_SB, y_SB, attributes = jax.tree.map(gathered, self.host)
    rates = mesh.put(dict(self.rates), self.grid)
    return step.Batch(x_SB, y_SB, attributes, rates), mesh.put(rows_SB, self.grid, "seed")

  def order(self, order_SN: Any) -> Any:
    """An epoch's order, where it is needed: on the devices, or on the host."""
    return order_SN if self.whole is not None else mesh.get(order_SN)


def source(
  host: tuple[Any, Any, Mapping[str, Any]],
  rates: Mapping[str, Any],
  grid: Mesh,
  stream: str = "auto",
  batch_size: int = 0,
) -> Source:
  """Data as a source of batches.

  Args:
    host: inputs, codes and attributes `[N, ...]`.
    rates: see `step.Batch`.
    grid: the mesh.
    stream: "on", "off", or "auto": where the data would fill half of a device's memory.
    batch_size: B.

  Raises:
    BadInput: streamed batches that the mesh cannot share evenly.
  """
  memory = mesh.memory(grid)
  size = sum(leaf.nbytes for leaf in jax.tree.leaves(host))
  streamed = stream == "on" or (
    stream == "auto" and memory is not None and size > ROOM * memory
  )
  if streamed and batch_size % grid.shape["data"]:
    raise BadInput(
      f"fit.batch_size={batch_size}: mesh.data={grid.shape['data']} does not divide it, as "
      "batches that come from main memory need"
    )
  whole = None
  if not streamed:
    everything: Any = (rows(host[0]), *host[1:], dict(rates))
    whole = mesh.put(step.Batch(*everything), grid)
  return Source(host, rates, grid, whole)


def rows(x_N: Any) -> Any:
  """Inputs as rows of numbers `[N, D]`: what batches are gathered from."""
  return x_N.reshape(len(x_N), -1) if x_N.ndim > 2 else x_N
