"""Group DRO: weight moves, step by step, to the groups of the highest loss."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ovl.mitigations._groups import level, of_rows
from ovl.types import Mitigation, Params


def mitigation() -> Mitigation:
  r"""Example weight q_g / r_g, with :math:`q_g \propto q_g e^{w L_g}` at every step.

  L_g is the mean loss of the group's rows in the batch, 0 where there are none, and r_g
  its rate, so that the mean over a batch is :math:`\sum_g q_g L_g` in the mean: the
  published loss, of batches drawn as they come. There q begins even; here at the rates,
  so that w = 0 is no change at all. Where it goes is the same: what q began at is
  forgotten as the exponents grow. What is carried is :math:`\log q_g / r_g`.

  Returns:
    A mitigation; its weight w is the published step size, 0.01 there.

  References:
    Sagawa et al. (2020), "Distributionally Robust Neural Networks for Group Shifts",
    https://arxiv.org/abs/1911.08731, alg. 1.
  """

  def weigh(
    tilt_G: Params, loss_B: Array, group_B: Array, rate_G: Array, weight: Array
  ) -> tuple[Array, Params]:
    of_B1 = (group_B[:, None] == jnp.arange(len(rate_G))).astype(jnp.float32)
    loss_G = jax.lax.stop_gradient(loss_B) @ of_B1 / jnp.maximum(of_B1.sum(0), 1.0)
    tilt_G = tilt_G + weight * loss_G
    return of_rows(level(tilt_G, rate_G), group_B), tilt_G

  return Mitigation(init=jnp.zeros_like, weigh=weigh)
