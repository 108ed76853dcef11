"""Wide activations made narrower: pooled as finely as fits, then projected."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft
from jaxtyping import Array, Float

from ovl import rng

MAPS = 512  # columns to which inner axes are pooled where nobody says how many
COLUMNS = 4096  # as many are read as they are


def _limits(max_width: int | None) -> tuple[int, int]:
  """The widths that inner axes are pooled to and that columns are projected to."""
  return (MAPS, COLUMNS) if max_width is None else (max_width, max_width)


def pooled_width(shape: tuple[int, ...], max_width: int | None) -> int:
  """The width of one example's activation of this shape after `pool`."""
  return math.prod(_pooling(shape, _limits(max_width)[0])[0])


def reduced_width(
  shape: tuple[int, ...], max_width: int | None, rows: int = COLUMNS
) -> int:
  """The width after `reduce`; of `leading` directions there are no more than rows."""
  width, most = pooled_width(shape, max_width), _limits(max_width)[1]
  return width if width <= most else min(most, rows)


def _pooling(
  shape: tuple[int, ...], max_width: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
  """The pooled shape and window of inner axes: the finest that fits `max_width`."""
  *inner, channels = shape
  factor = 1
  while True:
    window = tuple(min(factor, size) for size in inner)
    pooled = tuple(math.ceil(n / w) for n, w in zip(inner, window, strict=True))
    if math.prod(pooled) * channels <= max_width or all(n == 1 for n in pooled):
      return (*pooled, channels), window
    factor += 1


def pool(z_B: Array, max_width: int | None) -> Array:
  """Flattens an activation, its inner axes made shorter where it is wide.

  Inner axes (all but the first and the last) are average-pooled by the smallest window
  with which the whole fits `max_width` (None: `MAPS`).

  Args:
    z_B: `[B, ..., channels]`.
    max_width: the width to pool to.

  Returns:
    `[B, D]` float32.
  """
  z_B = z_B.astype(jnp.float32)
  z_B = z_B[:, None] if z_B.ndim == 1 else z_B
  pooled, window = _pooling(z_B.shape[1:], _limits(max_width)[0])
  for axis, (size, width) in enumerate(zip(pooled[:-1], window, strict=True), 1):
    if width == 1:
      continue
    # The last window may be short: average what is there.
    padding = [(0, 0)] * z_B.ndim
    padding[axis] = (0, size * width - z_B.shape[axis])
    count = jnp.clip(z_B.shape[axis] - width * jnp.arange(size), 1, width)
    split = (*z_B.shape[:axis], size, width, *z_B.shape[axis + 1 :])
    total = jnp.pad(z_B, padding).reshape(split).sum(axis + 1)
    z_B = total / count.reshape(-1, *(1,) * (z_B.ndim - axis - 1))
  return z_B.reshape(z_B.shape[0], -1)


def reduce(name: str, z_B: Array, max_width: int | None) -> Array:
  """Pools an activation and, where it is still wider, multiplies by a Gaussian matrix.

  Both are functions of the activation alone, fixed before any row is seen: information
  about an attribute can only be lost, so a lower bound stays one.

  Args:
    name: the tap; equal names are projected alike in all models.
    z_B: `[B, ..., channels]`.
    max_width: the largest width returned; None: `COLUMNS`, with maps pooled to `MAPS`.

  Returns:
    `[B, D]` float32.
  """
  z_BD, most = pool(z_B, max_width), _limits(max_width)[1]
  if z_BD.shape[1] <= most:
    return z_BD
  key = rng.stream(jax.random.key(0), f"projection {name}")
  project = jax.random.normal(key, (z_BD.shape[1], most))
  return z_BD @ project / math.sqrt(most)


def leading(
  name: str, blocks: Callable[[], Iterable[np.ndarray]], rows: int, max_width: int | None
) -> Callable[[np.ndarray], np.ndarray]:
  r"""A projection on the leading principal directions of the rows that critics learn from.

  Columns are standardised by those rows first, as a linear critic would. With fewer rows
  than directions the span of the rows is kept whole, and every linear critic with a ridge
  finds there what it finds in all columns: its weights are sums of rows. With more rows
  the directions are those of a random start :math:`\Omega` after one power iteration,

  .. math:: Q = qr(X'X \, qr(X'\Omega)).

  The basis is turned at random (signs, then a cosine transform), so that columns have
  about one scale: standardised one by one, principal components would be whitened, and
  directions of noise would count as much as those of signal.

  Args:
    name: the tap; seeds what is random.
    blocks: makes the rows `[B, D]` again, block by block.
    rows: how many there are.
    max_width: how many directions; None: `COLUMNS`.

  Returns:
    `[B, D] -> [B, K]` float32, K the smaller of directions and rows.

  References:
    Halko, Martinsson and Tropp (2011), "Finding structure with randomness",
    https://arxiv.org/abs/0909.4061, algorithm 4.4.
  """
  mean_D = sum(z_BD.sum(0, dtype=np.float64) for z_BD in blocks()) / rows
  square_D = sum(np.square(z_BD - mean_D).sum(0) for z_BD in blocks()) / rows
  scale_D = np.sqrt(square_D)
  alive_D = scale_D > 1e-6 * np.maximum(np.abs(mean_D), 1e-6)
  over_D = np.where(alive_D, 1 / np.where(alive_D, scale_D, 1.0), 0.0)

  def standard(z_BD: np.ndarray) -> np.ndarray:
    return np.asarray((z_BD - mean_D) * over_D, np.float32)

  gen = np.random.default_rng(list(name.encode()))
  width = min(rows, _limits(max_width)[1])
  if rows <= width:
    near_DK = np.concatenate([standard(z_BD) for z_BD in blocks()]).T
    turn_DK = jnp.linalg.qr(near_DK)[0]
  else:
    draws = (gen.normal(size=(len(z_BD), width)).astype(np.float32) for z_BD in blocks())
    pairs = zip(blocks(), draws, strict=True)
    turn_DK = jnp.linalg.qr(sum(_across(standard(z), omega) for z, omega in pairs))[0]
    turn_DK = sum(_across(x, _along(x, turn_DK)) for x in map(standard, blocks()))
    turn_DK = jnp.linalg.qr(turn_DK)[0]
  sign_K = gen.choice(np.array([-1, 1], np.float32), turn_DK.shape[1])

  def project(z_BD: np.ndarray) -> np.ndarray:
    along_BK = np.asarray(_along(standard(z_BD), turn_DK)) * sign_K
    return np.asarray(scipy.fft.dct(along_BK, axis=1, norm="ortho"), np.float32)

  return project


@jax.jit
def _across(x_BD: Float[Array, "b d"], y_BK: Float[Array, "b k"]) -> Float[Array, "d k"]:
  return jnp.matmul(x_BD.T, y_BK, precision="highest")


@jax.jit
def _along(x_BD: Float[Array, "b d"], turn_DK: Float[Array, "d k"]) -> Array:
  return jnp.matmul(x_BD, turn_DK, precision="highest")
