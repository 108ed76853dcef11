"""Model x data -> named activations `[S, N, D]` in host memory, streamed in batches."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array

from ovl import mesh, pooling
from ovl.pooling import reduce
from ovl.progress import Progress, quiet
from ovl.types import BadInput, Model

INPUT = "input"


def collect(
  model: Model,
  params: Any,
  state: Any,
  x_N: np.ndarray,
  rows_SN: np.ndarray,
  grid: Mesh,
  *,
  max_width: int | None = None,
  batch_size: int = 1024,
  report: Progress = quiet,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
  """Activations of S stacked networks on each one's own rows.

  Args:
    model: the network.
    params: leaves `[S, ...]`.
    state: leaves `[S, ...]`.
    x_N: inputs.
    rows_SN: rows of each seed.
    grid: the mesh; seeds over "seed".
    max_width: see `reduce`.
    batch_size: examples of a seed at once.
    report: called between batches.

  Returns:
    name -> `[S, N, D]` in depth order, the input itself first, and the predicted task
    codes `[S, N]`.
  """
  names = list(shapes(model, params, state, x_N))
  if INPUT in names:
    raise BadInput(f"the model has a tap named {INPUT!r}, the name of the input itself")
  names = [INPUT, *names]
  # What would fill half of a device's memory is gathered here, batch by batch.
  memory = mesh.memory(grid)
  streamed = memory is not None and x_N.nbytes > memory / 2
  x = None if streamed else mesh.put(x_N, grid)
  run = _program(model, max_width, streamed)
  S, N = rows_SN.shape
  out: list[np.ndarray] = []
  predicted = np.empty((S, N), np.int32)
  for start in range(0, N, batch_size):
    # The last batch is filled up, so that one program serves all.
    index = np.minimum(np.arange(start, start + min(batch_size, N)), N - 1)
    rows = rows_SN[:, index]
    if streamed:
      seen = mesh.put(x_N[rows], grid, "seed"), None
    else:
      seen = x, mesh.put(rows, grid, "seed")
    z_L, code = mesh.get(run(params, state, *seen))
    size = min(batch_size, N - start)
    if not out:
      out = [np.empty((S, N, z.shape[-1]), np.float32) for z in z_L]
    for whole, z in zip(out, z_L, strict=True):
      whole[:, start : start + size] = z[:, :size]
    predicted[:, start : start + size] = code[:, :size]
    report((start + size) / N, "")
  return dict(zip(names, out, strict=True)), predicted


@functools.lru_cache(maxsize=8)
def _program(
  model: Model, max_width: int | None, streamed: bool
) -> Callable[..., tuple[list[Array], Array]]:
  """Compiled once a model, also for its untrained twins; streamed, x is the batch."""

  def seed(params: Any, state: Any, x: Array, rows_B: Any) -> tuple[list[Array], Array]:
    x_B = x if streamed else x[rows_B]
    logits_BC, taps, _ = model.apply(params, state, x_B)
    # A list keeps the depth order, a dict comes back sorted.
    named = [(INPUT, x_B), *taps.items()]
    return [reduce(name, z, max_width) for name, z in named], logits_BC.argmax(-1)

  return jax.jit(jax.vmap(seed, (0, 0, 0, None) if streamed else (0, 0, None, 0)))


def shapes(
  model: Model, params: Any, state: Any, x_N: np.ndarray
) -> dict[str, tuple[int, ...]]:
  """Each tap's shape for one example, in depth order, without computing anything."""
  found: dict[str, tuple[int, ...]] = {}

  def look(params: Any, state: Any, x: Array) -> Array:
    logits, taps, _ = model.apply(params, state, x)
    found.update({name: z.shape[1:] for name, z in taps.items()})
    return logits

  one = jax.tree.map(lambda leaf: leaf[0], (params, state))
  jax.eval_shape(look, *one, jnp.asarray(x_N[:2]))
  return found


class Given:
  """Activations given as arrays (maybe memory-mapped), reduced when they are asked for.

  `np.asarray` reads them: a tap that fits is in memory only while it is used. Each model's
  are centred and scaled in float64 before: critics standardise columns in float32, where
  a unit of 1e-20 or an offset of 1e7 would be lost.

  Attributes:
    shape: `(S, N, D)` as read.
    whole: the width of the tap after pooling; D where no column is lost.
  """

  def __init__(
    self,
    name: str,
    z_SN: np.ndarray,
    rows_SN: np.ndarray,
    max_width: int | None = None,
    probe: int = 0,
    batch: int = 4096,
  ) -> None:
    """Reads nothing yet.

    Args:
      name: the tap.
      z_SN: `[S, N, ...]`.
      rows_SN: rows of each model.
      max_width: see `reduce`.
      probe: the first so many rows of each model choose what is kept of a tap that is too
        wide, see `pooling.leading`; 0: none do, it is projected by `reduce`.
      batch: rows read at once.
    """
    self._name, self._z_SN, self._rows_SN = name, z_SN, rows_SN
    self._max_width, self._probe, self._batch = max_width, probe, batch
    self.whole = pooling.pooled_width(z_SN.shape[2:] or (1,), max_width)
    rows = (probe,) if probe else ()
    width = pooling.reduced_width(z_SN.shape[2:] or (1,), max_width, *rows)
    self.shape = (*rows_SN.shape, width)

  @functools.cached_property
  def _spread(self) -> tuple[list[np.ndarray], list[float]]:
    return _spread(self._z_SN, self._rows_SN, self._batch)

  def _blocks(self, s: int, rows: int) -> Iterator[np.ndarray]:
    """The first rows of a model, `[B, ...]`."""
    centre, scale = self._spread
    for start in range(0, rows, self._batch):
      at = self._rows_SN[s, start : min(start + self._batch, rows)]
      wide = (np.asarray(self._z_SN[s, at], np.float64) - centre[s]) / scale[s]
      yield wide.astype(np.float32)

  def _project(self, s: int) -> Callable[[np.ndarray], np.ndarray]:
    """`[B, ...] -> [B, D]` of a model."""
    if self.shape[-1] == self.whole or not self._probe:
      return lambda z_B: np.asarray(_reduce(self._name, z_B, self._max_width))

    def flat(z_B: np.ndarray) -> np.ndarray:
      return np.asarray(_pool(z_B, self._max_width))

    project = pooling.leading(
      self._name,
      lambda: map(flat, self._blocks(s, self._probe)),
      self._probe,
      self._max_width,
    )
    return lambda z_B: project(flat(z_B))

  def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
    """`[S, N, D]` float32."""
    del copy  # what is read is new
    out = np.empty(self.shape, dtype or np.float32)
    for s, z_ND in enumerate(out):
      project, start = self._project(s), 0
      for z_B in self._blocks(s, len(z_ND)):
        z_ND[start : start + len(z_B)] = project(z_B)
        start += len(z_B)
    return out


_reduce = jax.jit(reduce, static_argnums=(0, 2))
_pool = jax.jit(pooling.pool, static_argnums=1)


def narrow(
  name: str,
  z_SN: np.ndarray,
  rows_SN: np.ndarray,
  max_width: int | None = None,
  batch: int = 4096,
  probe: int = 0,
) -> np.ndarray:
  """What `Given` reads: `[S, N, D]` float32."""
  return np.asarray(Given(name, z_SN, rows_SN, max_width, probe, batch))


def _spread(
  z_SN: np.ndarray, rows_SN: np.ndarray, batch: int
) -> tuple[list[np.ndarray], list[float]]:
  """Each model's mean activation, and one scale of the whole tap (columns keep theirs)."""
  centres, scales = [], []
  for s, rows_N in enumerate(rows_SN):
    starts = range(0, len(rows_N), batch)

    def block(start: int, s: int = s, rows_N: np.ndarray = rows_N) -> np.ndarray:
      return np.asarray(z_SN[s, rows_N[start : start + batch]], np.float64)

    centre = np.sum([block(i).sum(0) / len(rows_N) for i in starts], 0)
    widest = max(float(np.abs(block(i) - centre).max()) for i in starts) or 1.0
    squares = [np.square((block(i) - centre) / widest).sum() for i in starts]
    size = len(rows_N) * max(centre.size, 1)
    centres.append(centre)
    scales.append(widest * float(np.sqrt(np.sum(squares) / size)) or 1.0)
  return centres, scales
