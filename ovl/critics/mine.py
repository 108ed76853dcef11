"""MINE: Donsker-Varadhan with a moving average in the gradient of its logarithm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from ovl.critics._ratio import Ratios, donsker_varadhan, ratio
from ovl.types import Critic, Kind, Params, Score, View


def critic(
  attribute: Kind = "discrete",
  hidden: tuple[int, ...] = (128, 128),
  negatives: int = 1,
  decay: float = 0.9,
) -> Critic:
  r"""I(Z;S) >= E_p[f] - log E_pp[exp f], followed along

  .. math:: E_p[\nabla f] - E_{pp}[e^f \nabla f] / m,

  m the moving average of the batches' :math:`E_{pp}[e^f]`: the gradient of the
  logarithm of one batch's mean is biased.

  Args:
    attribute: "discrete" (exact sum over classes), "continuous" or "vector".
    hidden: hidden widths.
    negatives: counterparts of a row where the attribute is not discrete.
    decay: of the moving average; larger remembers longer.

  Returns:
    A critic in nats; a lower bound on fresh rows. Its params are `(net, log m)`.

  References:
    Belghazi et al. (2018), https://arxiv.org/abs/1801.04062, eq. 12 and sec. 3.2.
  """

  def partition(r: Ratios) -> Array:
    return r.log_mean(r.log_partition())

  plain = ratio(
    "mine", attribute, hidden, negatives, lambda r: -donsker_varadhan(r),
    donsker_varadhan, "lower",
  )  # fmt: skip
  log_mean = ratio("mine", attribute, hidden, negatives, partition, partition, "lower")

  def loss(params: Params, view: View, key: PRNGKeyArray) -> Array:
    net, log_m = params
    now = log_mean.value(net, view, key)
    joint = plain.value(net, view, key) + now
    # exp(now - log m) has the gradient above; the rest restores the value of the bound.
    bent = jnp.exp(now - jax.lax.stop_gradient(log_m))
    return -joint + bent + jax.lax.stop_gradient(now - bent)

  def refresh(params: Params, view: View, key: PRNGKeyArray) -> Params:
    net, log_m = params
    now = log_mean.value(net, view, key)
    kept = jnp.log(decay) + log_m
    return net, jnp.logaddexp(kept, jnp.log1p(-decay) + now)

  def on_net(fun: Callable[..., Any]) -> Callable[..., Any]:
    return lambda params, *rest: fun(params[0], *rest)

  score = plain.score and Score(on_net(plain.score.sides), on_net(plain.score.join))
  return plain._replace(
    init=lambda key, view: (plain.init(key, view), jnp.float32(0)),
    loss=loss,
    value=on_net(plain.value),
    logits=None if plain.logits is None else on_net(plain.logits),
    score=score,
    refresh=refresh,
  )
