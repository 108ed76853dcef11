"""Random shift: every image is moved by a few pixels while the network learns."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ovl.types import BadInput, Mitigation


def mitigation() -> Mitigation:
  """Every image is moved by its own whole numbers of rows and columns, new at every step.

  Both are uniform on -w..w (w rounded down); what comes in at the edge is 0. That is a
  random crop of images padded by w.

  Returns:
    A mitigation of images `[B, H, W, C]`; its weight w is in pixels.

  References:
    Hartley and Tsaftaris (2022), https://arxiv.org/abs/2205.10079 (a crop of one pixel).
  """

  def inputs(x_B: Array, weight: Array, key: PRNGKeyArray) -> Array:
    if x_B.ndim != 4:
      raise BadInput(
        f"random_shift: inputs of shape {x_B.shape[1:]}: expected images [height, width, "
        "channels]"
      )
    most = jnp.floor(weight).astype(jnp.int32)
    by_B2 = jax.random.randint(key, (len(x_B), 2), -most, most + 1)
    return jax.vmap(shifted)(x_B, by_B2)

  return Mitigation(inputs=inputs)


def shifted(x_HWC: Float[Array, "h w c"], by: Int[Array, " 2"]) -> Float[Array, "h w c"]:
  """An image moved down and to the right, 0 where nothing was."""
  for axis in (0, 1):
    size = x_HWC.shape[axis]
    of = jnp.arange(size) - by[axis]
    there = jnp.expand_dims((of >= 0) & (of < size), (1 - axis, 2))
    x_HWC = jnp.where(there, jnp.take(x_HWC, of, axis, mode="clip"), 0.0)
  return x_HWC
