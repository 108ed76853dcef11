"""Random contrast: every image is stretched about its mean while the network learns."""

from __future__ import annotations

import jax
from jaxtyping import Array, PRNGKeyArray

from ovl.types import BadInput, Mitigation


def mitigation() -> Mitigation:
  """m + f (x - m), m the mean of an image's channel, f uniform in [1 - w, 1 + w].

  Each image has its own f, new at every step; nothing is clipped to a range.

  Returns:
    A mitigation of images `[B, H, W, C]`; its weight is w, at most 1 where no picture is
    to become its negative.

  References:
    Hartley and Tsaftaris (2022), https://arxiv.org/abs/2205.10079 (w = 0.2).
  """

  def inputs(x_B: Array, weight: Array, key: PRNGKeyArray) -> Array:
    if x_B.ndim != 4:
      raise BadInput(
        f"random_contrast: inputs of shape {x_B.shape[1:]}: expected images [height, "
        "width, channels]"
      )
    f_B111 = jax.random.uniform(key, (len(x_B), 1, 1, 1), x_B.dtype, -1.0, 1.0)
    # Not m + f (x - m): of weight 0 every bit is as it was.
    return x_B + weight * f_B111 * (x_B - x_B.mean((1, 2), keepdims=True))

  return Mitigation(inputs=inputs)
