"""Input noise: normal noise on what the network is given while it learns."""

from __future__ import annotations

import jax
from jaxtyping import Array, PRNGKeyArray

from ovl.types import Mitigation


def mitigation() -> Mitigation:
  """x + w e, e standard normal, new at every step; inputs are not clipped to a range.

  Returns:
    A mitigation; its weight w is the noise's standard deviation, in the units of x.

  References:
    Bishop (1995), "Training with Noise is Equivalent to Tikhonov Regularization",
    https://doi.org/10.1162/neco.1995.7.1.108.
  """

  def inputs(x_B: Array, weight: Array, key: PRNGKeyArray) -> Array:
    return x_B + weight * jax.random.normal(key, x_B.shape, x_B.dtype)

  return Mitigation(inputs=inputs)
