"""Model x data -> named activations `[S, N, D]` in host memory, streamed in batches."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array

from ovl import mesh
from ovl.pooling import reduce
from ovl.types import BadInput, Model

Report = Callable[[float, str], None]
INPUT = "input"


def collect(
  model: Model,
  params: Any,
  state: Any,
  x_N: np.ndarray,
  rows_SN: np.ndarray,
  grid: Mesh,
  *,
  max_width: int = 512,
  batch_size: int = 1024,
  report: Report = lambda share, said: None,
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
  run = _program(model, max_width)
  x = mesh.put(jnp.asarray(x_N), grid)
  S, N = rows_SN.shape
  out: list[np.ndarray] = []
  predicted = np.empty((S, N), np.int32)
  for start in range(0, N, batch_size):
    # The last batch is filled up, so that one program serves all.
    index = np.minimum(np.arange(start, start + min(batch_size, N)), N - 1)
    rows = mesh.put(jnp.asarray(rows_SN[:, index]), grid, "seed")
    z_L, code = jax.device_get(run(params, state, x, rows))
    size = min(batch_size, N - start)
    if not out:
      out = [np.empty((S, N, z.shape[-1]), np.float32) for z in z_L]
    for whole, z in zip(out, z_L, strict=True):
      whole[:, start : start + size] = z[:, :size]
    predicted[:, start : start + size] = code[:, :size]
    report((start + size) / N, "")
  return dict(zip(names, out, strict=True)), predicted


@functools.lru_cache(maxsize=8)
def _program(model: Model, max_width: int) -> Callable[..., tuple[list[Array], Array]]:
  """Compiled once a model, also for its untrained twins."""

  def seed(params: Any, state: Any, x: Array, rows_B: Array) -> tuple[list[Array], Array]:
    x_B = x[rows_B]
    logits_BC, taps, _ = model.apply(params, state, x_B)
    # A list keeps the depth order, a dict comes back sorted.
    named = [(INPUT, x_B), *taps.items()]
    return [reduce(name, z, max_width) for name, z in named], logits_BC.argmax(-1)

  return jax.jit(jax.vmap(seed, (0, 0, None, 0)))


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


def narrow(
  name: str, z_SN: np.ndarray, rows_SN: np.ndarray, max_width: int, batch: int = 4096
) -> np.ndarray:
  """The same reduction for activations given as arrays (maybe memory-mapped).

  Args:
    name: the tap.
    z_SN: `[S, N, ...]`.
    rows_SN: rows of each model.
    max_width: see `reduce`.
    batch: rows read at once.

  Returns:
    `[S, N', D]` float32.
  """
  S, N = rows_SN.shape
  run = jax.jit(reduce, static_argnums=(0, 2))
  out: np.ndarray | None = None
  centre, scale = _spread(z_SN, rows_SN, batch)
  for s, start in itertools.product(range(S), range(0, N, batch)):
    rows = rows_SN[s, start : start + batch]
    # Critics standardise columns in float32; a unit of 1e-20 or an offset of 1e7 is lost
    # there, so the whole tap is centred and scaled before.
    wide = (np.asarray(z_SN[s, rows], np.float64) - centre[s]) / scale[s]
    z = np.asarray(run(name, wide.astype(np.float32), max_width))
    if out is None:
      out = np.empty((S, N, z.shape[1]), np.float32)
    out[s, start : start + len(rows)] = z
  assert out is not None
  return out


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
