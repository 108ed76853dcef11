"""NWJ (f-GAN KL, MINE-f) bound: f itself must be normalised."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array

from ovl.critics._ratio import Ratios, ratio
from ovl.types import Critic, Kind


def critic(
  attribute: Kind = "discrete",
  hidden: tuple[int, ...] = (128, 128),
  negatives: int = 4,
) -> Critic:
  r"""I(Z;S) >= 1 + E_p[f] - E_pp[exp f].

  Args:
    attribute: "discrete" (exact sum over classes), "continuous" or "vector".
    hidden: hidden widths.
    negatives: counterparts of a row where the attribute is not discrete.

  Returns:
    A critic in nats; a lower bound on fresh rows.

  References:
    Nguyen, Wainwright and Jordan (2010), https://arxiv.org/abs/0809.0853, eq. 12.
  """

  def value(r: Ratios) -> Array:
    return 1 + r.mean(r.joint_N) - jnp.exp(r.log_mean(r.log_partition()))

  return ratio("nwj", attribute, hidden, negatives, lambda r: -value(r), value, "lower")
