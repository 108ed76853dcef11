"""Residual probe: softmax of a line, a parabola a column, and an MLP on top."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ovl import nn
from ovl.critics._head import head
from ovl.critics._statistic import reads
from ovl.types import Critic, Kind, Params, View


def critic(attribute: Kind = "discrete", hidden: tuple[int, ...] = (64,)) -> Critic:
  r"""I(Z;S) >= H(S) - E[-log q(s|z)], logits :math:`W z + V z^2 + MLP(z)`.

  The skip parts read what a class does to means and scales at once, so that the net has
  only the rest to learn.

  Args:
    attribute: "discrete" (softmax) or "continuous" (normal: mean and log scale).
    hidden: hidden widths of the net.

  Returns:
    A critic in nats, a lower bound on rows it was not trained on.

  References:
    Barber and Agakov (2003), "The IM Algorithm", eq. 3.
  """
  reads("residual", attribute, ("discrete", "continuous"))

  def init(key: PRNGKeyArray, view: View) -> Params:
    outputs = view.classes_K.shape[0]
    skip = jnp.zeros((view.z_ND.shape[1], outputs))
    net = nn.mlp_init(key, view.features_D, (*hidden, outputs))
    return {"line": skip, "square": skip, "net": net}

  def logits(params: Params, view: View) -> Float[Array, "n k"]:
    square_ND = jnp.square(view.z_ND) * view.features_D
    out_NK = view.z_ND @ params["line"] + square_ND @ params["square"]
    return nn.mask_logits(out_NK + nn.mlp_apply(params["net"], view.z_ND), view.classes_K)

  return head(attribute, init, logits)
