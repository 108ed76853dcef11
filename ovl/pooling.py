"""Wide activations made narrower: pooled as finely as fits, then projected."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ovl import rng


def reduced_width(shape: tuple[int, ...], max_width: int) -> int:
  """The width of one example's activation of this shape after `reduce`."""
  pooled, _ = _pooling(shape, max_width)
  return min(math.prod(pooled), max_width)


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


def reduce(name: str, z_B: Array, max_width: int) -> Array:
  """Flattens an activation, made narrower where it must be.

  Inner axes (all but the first and the last) are average-pooled by the smallest window
  with which the whole fits `max_width`; what is still wider is multiplied by a fixed
  Gaussian matrix. Both are functions of the activation alone: information about an
  attribute can only be lost, so a lower bound stays one.

  Args:
    name: the tap; equal names are projected alike in all models.
    z_B: `[B, ..., channels]`.
    max_width: the largest width returned.

  Returns:
    `[B, D]` float32.
  """
  z_B = z_B.astype(jnp.float32)
  z_B = z_B[:, None] if z_B.ndim == 1 else z_B
  pooled, window = _pooling(z_B.shape[1:], max_width)
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
  z_BD = z_B.reshape(z_B.shape[0], -1)
  if z_BD.shape[1] <= max_width:
    return z_BD
  key = rng.stream(jax.random.key(0), f"projection {name}")
  project = jax.random.normal(key, (z_BD.shape[1], max_width))
  return z_BD @ project / math.sqrt(max_width)
