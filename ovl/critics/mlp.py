"""MLP probe: Barber-Agakov bound with two hidden layers (256-128 by default)."""

from __future__ import annotations

from jaxtyping import Array, Float, PRNGKeyArray

from ovl import nn
from ovl.critics._statistic import reads
from ovl.types import Critic, Kind, Params, View


def critic(attribute: Kind = "discrete", hidden: tuple[int, ...] = (256, 128)) -> Critic:
  """I(Z;S) >= H(S) - E[-log q(s|z)], q a ReLU network.

  Args:
    attribute: "discrete" (softmax) or "continuous" (normal: mean and log scale).
    hidden: hidden widths.

  Returns:
    A critic in nats, a lower bound on rows it was not trained on.

  References:
    Barber and Agakov (2003), "The IM Algorithm", eq. 3.
    Song and Shmatikov (2020), arXiv 1905.11742: the attacker of width 256-128.
  """
  reads("mlp", attribute, ("discrete", "continuous"))

  def init(key: PRNGKeyArray, view: View) -> Params:
    outputs = view.classes_K.shape[0]
    return nn.mlp_init(key, view.features_D, (*hidden, outputs))

  def logits(params: Params, view: View) -> Float[Array, "n k"]:
    return nn.mask_logits(nn.mlp_apply(params, view.z_ND), view.classes_K)

  def loss(params: Params, view: View, key: PRNGKeyArray) -> Float[Array, ""]:
    del key
    return nn.cross_entropy(logits(params, view), view, attribute)

  def value(params: Params, view: View, key: PRNGKeyArray) -> Float[Array, ""]:
    return nn.entropy(view, attribute) - loss(params, view, key)

  return Critic(
    init=init,
    loss=loss,
    value=value,
    logits=logits,
    fit=None,
    uses=frozenset({"monitor", "audit"}),
    unit="nats",
    bound="lower",
    attribute=attribute,
  )
