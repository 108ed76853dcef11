"""InfoNCE: pick the true counterpart of a row out of a line-up."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array

from ovl.critics._ratio import Ratios, ratio
from ovl.types import Critic, Kind


def critic(
  attribute: Kind = "discrete",
  hidden: tuple[int, ...] = (128, 128),
  negatives: int = 32,
) -> Critic:
  r"""I(Z;S) >= E[f(z,s) - log mean_r exp f(z, s_r)], the true one among the R + 1.

  With negatives it cannot exceed log(R + 1). A discrete attribute needs none: the
  mean runs over all classes and the bound is Barber-Agakov's.

  Args:
    attribute: "discrete" (exact sum over classes), "continuous" or "vector".
    hidden: hidden widths.
    negatives: counterparts of a row where the attribute is not discrete.

  Returns:
    A critic in nats; a lower bound on fresh rows.

  References:
    van den Oord et al. (2018), https://arxiv.org/abs/1807.03748, eq. 4.
  """

  def value(r: Ratios) -> Array:
    log_others_N = r.log_partition()
    if attribute != "discrete":
      # The line-up holds the true one as well.
      log_others_N = jnp.logaddexp(jnp.log(negatives) + log_others_N, r.joint_N) - jnp.log(
        negatives + 1
      )
    return r.mean(r.joint_N - log_others_N)

  return ratio("infonce", attribute, hidden, negatives, lambda r: -value(r), value, "lower")
