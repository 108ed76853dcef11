"""IRENE's plug-in: mutual information of the head's soft answer and the attribute."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ovl.critics._head import head, mlp
from ovl.critics._statistic import columns, reads
from ovl.types import Critic, Kind, Params, View


def critic(attribute: Kind = "discrete", hidden: tuple[int, ...] = ()) -> Critic:
  r"""I of the K x K table :math:`P_{kl} = E[q(k|z) 1(s=l)]`, q a softmax head.

  Independent data give about :math:`(K-1)^2 / 2N` nats with a confident head, 0 with an
  indifferent one: a penalty, and no number to report. The table is additive over rows:
  with rows on several devices it is reduced before the logarithm. The head is fitted
  by its cross-entropy.

  Args:
    attribute: "discrete".
    hidden: hidden widths of the head; none is the published linear head.

  Returns:
    A critic in nats.

  References:
    Tartaglione (2022), https://arxiv.org/abs/2210.00891, sec. 3.
  """
  reads("irene", attribute, ("discrete",))

  init, logits = mlp(hidden)

  def value(params: Params, view: View) -> Float[Array, ""]:
    q_NK = jax.nn.softmax(logits(params, view)) * view.mask_N[:, None]
    p_KK = q_NK.T @ columns(view) / jnp.maximum(view.mask_N.sum(), 1)

    def minus_entropy(p: Array) -> Array:
      return (p * jnp.log(jnp.maximum(p, 1e-15))).sum()  # finite where a class is absent

    return minus_entropy(p_KK) - minus_entropy(p_KK.sum(0)) - minus_entropy(p_KK.sum(1))

  return head(attribute, init, logits, value, uses=("monitor", "penalty"), bound=None)
