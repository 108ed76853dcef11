"""What a softmax head's answers say of an attribute, differentiable in them: nats.

Each is 0 where the head says nothing, and is to be minimised over the representation
while the head is held still; the head itself is fitted by its cross-entropy.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ovl import nn
from ovl.critics._statistic import columns
from ovl.types import Kind, View


def average(x_N: Float[Array, " n"], view: View) -> Float[Array, ""]:
  """Mean over the rows whose attribute is known; 0 where there are none."""
  return (x_N * view.mask_N).sum() / jnp.maximum(view.mask_N.sum(), 1.0)


def unit_rows(z_ND: Float[Array, "n d"]) -> Float[Array, "n d"]:
  """Rows of length 1; rows of zeros stay, with a finite gradient."""
  square_N1 = jnp.square(z_ND).sum(1, keepdims=True)
  return z_ND / jnp.sqrt(jnp.where(square_N1 > 0, square_N1, 1.0))


def gain(
  logits_NK: Array, view: View, kind: Kind = "discrete", clip: bool = True
) -> Float[Array, ""]:
  """H(S) - cross-entropy, Barber-Agakov.

  Minimising it is unbounded below, where the head is sure and wrong; clipped at 0 its
  gradient ends where the head is no better than chance.
  """
  said = nn.entropy(view, kind) - nn.cross_entropy(logits_NK, view, kind)
  return jax.nn.relu(said) if clip else said


def plug_in(logits_NK: Array, view: View) -> Float[Array, ""]:
  """I of the table P_kl = E[q(k|z) 1(s=l)]; additive over rows before the logarithm."""
  q_NK = jax.nn.softmax(logits_NK) * view.mask_N[:, None]
  p_KK = jnp.matmul(q_NK.T, columns(view), precision="highest")
  p_KK = p_KK / jnp.maximum(view.mask_N.sum(), 1)

  def minus_entropy(p: Array) -> Array:
    return (p * jnp.log(jnp.maximum(p, 1e-15))).sum()  # finite where a class is absent

  return minus_entropy(p_KK) - minus_entropy(p_KK.sum(0)) - minus_entropy(p_KK.sum(1))


def contrast(logits_NK: Array, view: View) -> Float[Array, ""]:
  """vCLUB: E_p[log q(s|z)] - E_{p(z)p(s)}[log q(s|z)] over all pairs, in O(NK)."""
  log_q_NK = jax.nn.log_softmax(logits_NK)
  s_NK = columns(view)
  p_K = (s_NK * view.mask_N[:, None]).sum(0) / jnp.maximum(view.mask_N.sum(), 1)
  apart_NK = jnp.where(view.classes_K, (s_NK - p_K) * log_q_NK, 0.0)
  return average(apart_NK.sum(1), view)


def certainty(logits_NK: Array, view: View, form: str = "entropy") -> Float[Array, ""]:
  """log K - H(q) ("entropy") or CE(uniform, q) - log K ("uniform"): 0 of an even q."""
  log_q_NK = jax.nn.log_softmax(logits_NK)
  classes = jnp.maximum(view.classes_K.sum(), 1).astype(jnp.float32)
  if form == "entropy":
    each_NK = jnp.exp(log_q_NK) * (log_q_NK + jnp.log(classes))
  else:
    each_NK = -(log_q_NK + jnp.log(classes)) / classes
  return average(jnp.where(view.classes_K, each_NK, 0.0).sum(1), view)


def floored(said: Float[Array, ""]) -> Float[Array, ""]:
  """The number as it is, without a gradient where it is not above 0."""
  return jnp.where(said > 0, said, jax.lax.stop_gradient(said))


TERMS: dict[str, Callable[[Array, View], Array]] = {
  "irene": plug_in,
  "club": lambda logits_NK, view: floored(contrast(logits_NK, view)),
  "confusion": certainty,
  "reversal": gain,
}
