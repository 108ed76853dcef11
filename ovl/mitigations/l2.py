"""L2: the squared length of the parameters is added to the loss."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ovl.types import Mitigation, Params


def mitigation() -> Mitigation:
  """w / 2 times the sum of squares of all parameters, biases and scales included.

  Its gradient is w times the parameters, whatever the optimiser makes of it: with Adam
  that is not weight decay.

  Returns:
    A mitigation; its weight is w.

  References:
    Loshchilov and Hutter (2019), https://arxiv.org/abs/1711.05101, sec. 2.
  """

  def penalty(params: Params, weight: Array) -> Array:
    squares = [jnp.square(p).sum() for p in jax.tree.leaves(params)]
    return 0.5 * weight * jnp.stack(squares).sum()

  return Mitigation(penalty=penalty)
