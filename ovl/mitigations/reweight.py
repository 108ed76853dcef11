"""Reweighting: examples of rare groups count more."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array

from ovl.mitigations._groups import level, of_rows
from ovl.types import Mitigation, Params


def mitigation() -> Mitigation:
  r"""Example weight :math:`r_g^{-w} / \sum_h r_h^{1-w}`, r the rates of the groups.

  Its mean over the train distribution is 1. Of w = 0 every weight is 1; of w = 1 every
  group counts alike; in between the rates are tempered.

  Returns:
    A mitigation; its weight is w.

  References:
    Kamiran and Calders (2012), https://doi.org/10.1007/s10115-011-0463-8.
    Sagawa et al. (2020), https://arxiv.org/abs/1911.08731: w = 1 as a baseline.
  """

  def weigh(
    carried: Params, loss_B: Array, group_B: Array, rate_G: Array, weight: Array
  ) -> tuple[Array, Params]:
    del loss_B
    log_rate_G = jnp.log(jnp.where(rate_G > 0, rate_G, 1.0))
    return of_rows(level(-weight * log_rate_G, rate_G), group_B), carried

  return Mitigation(weigh=weigh)
