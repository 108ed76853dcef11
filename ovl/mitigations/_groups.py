"""Weights of examples by their group, with mean 1 over the train distribution."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def level(log_tilt_G: Float[Array, " g"], rate_G: Float[Array, " g"]) -> Array:
  """tilt / E[tilt]; exactly 1 where every tilt is 1, also where the rates round."""
  most = jnp.where(rate_G > 0, log_tilt_G, -jnp.inf).max()
  tilt_G = jnp.where(rate_G > 0, jnp.exp(log_tilt_G - most), 0.0)
  return tilt_G * (rate_G.sum() / (rate_G * tilt_G).sum())


def of_rows(weight_G: Float[Array, " g"], group_B: Int[Array, " b"]) -> Float[Array, " b"]:
  """Each row's weight; 1 where its group is not known."""
  return jnp.where(group_B >= 0, weight_G[jnp.maximum(group_B, 0)], 1.0)
