"""SMILE: a logistic critic, its partition function clipped."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array

from ovl.critics._ratio import Ratios, jensen_shannon, ratio
from ovl.types import Critic, Kind


def critic(
  attribute: Kind = "discrete",
  hidden: tuple[int, ...] = (128, 128),
  negatives: int = 4,
  clip: float = 5.0,
) -> Critic:
  r"""E_p[f] - log E_pp[clip(exp f, exp -tau, exp tau)], f trained as in `js`.

  Clipping trades variance for bias: the value is no bound.

  Args:
    attribute: "discrete" (exact sum over classes), "continuous" or "vector".
    hidden: hidden widths.
    negatives: counterparts of a row where the attribute is not discrete.
    clip: tau.

  Returns:
    A critic in nats.

  References:
    Song and Ermon (2020), https://arxiv.org/abs/1910.06222, eq. 16.
  """

  def value(r: Ratios) -> Array:
    clipped = r._replace(others_NR=jnp.clip(r.others_NR, -clip, clip))
    return r.mean(r.joint_N) - r.log_mean(clipped.log_partition())

  return ratio("smile", attribute, hidden, negatives, jensen_shannon, value, "estimate")
