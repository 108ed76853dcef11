"""Fano: what an accuracy alone says of I(Z;S)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.scipy.special import entr
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from ovl import nn
from ovl.critics._head import head, mlp
from ovl.critics._statistic import reads
from ovl.types import Critic, Kind, Params, View

SURE = 10.0  # logit of the first choice over the others, equal for every row


def fano(error: ArrayLike, entropy: ArrayLike, classes: ArrayLike) -> Array:
  """I(Z;S) >= H(S) - h(e) - e log(K - 1), nats, for any guess of S from Z.

  Args:
    error: e, how often the guess is wrong.
    entropy: H(S), nats.
    classes: K.

  References:
    Cover and Thomas (2006), "Elements of Information Theory", th. 2.10.1.
  """
  others = jnp.log(jnp.maximum(jnp.asarray(classes, jnp.float32) - 1, 1.0))
  error = jnp.asarray(error, jnp.float32)
  return jnp.asarray(entropy) - entr(error) - entr(1 - error) - error * others


def critic(attribute: Kind = "discrete", hidden: tuple[int, ...] = (256, 128)) -> Critic:
  """I(Z;S) >= H(S) - h(e) - e log(K - 1), e the error of an MLP's first choice.

  Weaker than the cross-entropy bound of the same network (`mlp`); what a report that
  states an accuracy alone amounts to. Its logits are equally sure of every row: they say
  a class and nothing of how likely it is.

  Args:
    attribute: "discrete".
    hidden: hidden widths of the ReLU network.

  Returns:
    A critic in nats, a lower bound on rows it was not trained on.

  References:
    Cover and Thomas (2006), "Elements of Information Theory", th. 2.10.1.
  """
  reads("fano", attribute, ("discrete",))

  init, logits = mlp(hidden)

  def value(params: Params, view: View) -> Float[Array, ""]:
    wrong_N = logits(params, view).argmax(1) != view.s_N
    error = (wrong_N * view.mask_N).sum() / jnp.maximum(view.mask_N.sum(), 1.0)
    return fano(error, nn.entropy(view, attribute), view.classes_K.sum())

  def choice(params: Params, view: View) -> Float[Array, "n k"]:
    logits_NK = logits(params, view)
    first_NK = jax.nn.one_hot(logits_NK.argmax(1), logits_NK.shape[1])
    return nn.mask_logits(SURE * first_NK, view.classes_K)

  # Trained by the network's cross-entropy, read by its choice.
  return head(attribute, init, logits, value, uses=("audit",))._replace(logits=choice)
