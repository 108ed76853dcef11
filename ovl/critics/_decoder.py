"""A network that gives the input back, and how badly it does, in nats."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from ovl import nn
from ovl.types import Params


def init(
  key: PRNGKeyArray,
  features_D: Bool[Array, " d"],
  hidden: tuple[int, ...],
  input_ND: Float[Array, "n m"],
) -> Params:
  """Layers from the representation to the input, and the log scale of its noise."""
  widths = (*hidden, input_ND.shape[1])
  return {"layers": nn.mlp_init(key, features_D, widths), "log_scale": jnp.float32(0)}


def nats(
  params: Params,
  z_ND: Float[Array, "n d"],
  input_ND: Float[Array, "n m"],
  likelihood: str,
  reduction: str,
) -> Float[Array, " n"]:
  """-log p(x|z) of every row: "sum" over the input's dimensions, or their "mean".

  "bernoulli": cross-entropy of pixels in 0..1, outside of which it is unbounded below.
  "gaussian": a normal density of one learnt scale.
  """
  out_NM = nn.mlp_apply(params["layers"], z_ND)
  if likelihood == "bernoulli":
    each_NM = jax.nn.softplus(out_NM) - input_ND * out_NM
  else:
    log_scale = jnp.clip(params["log_scale"], -5.0, 3.0)
    each_NM = 0.5 * jnp.square((input_ND - out_NM) * jnp.exp(-log_scale))
    each_NM = each_NM + log_scale + 0.5 * jnp.log(2 * jnp.pi)
  return each_NM.sum(1) if reduction == "sum" else each_NM.mean(1)


LIKELIHOODS = ("bernoulli", "gaussian")
REDUCTIONS = ("mean", "sum")
