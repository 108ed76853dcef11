"""An upper bound on I(Z;S) by the error of the nearest neighbour."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from ovl import kernels, neighbours, nn
from ovl.critics._statistic import reads, statistic
from ovl.types import Critic, Kind, View


def critic(attribute: Kind = "discrete", tile: int = kernels.TILE) -> Critic:
  r"""I(Z;S) <= H(S) - 2 ln 2 P*, P* the least error that the nearest neighbour allows.

  .. math:: P^* = \frac{K-1}{K} \Big(1 - \sqrt{1 - \frac{K e}{K-1}}\Big)

  with e the leave-one-out error of the nearest neighbour; of neighbours at the same
  distance the share with another label. Holds for N to infinity only: of few rows in
  many columns e is too large and the bound too low.

  Args:
    attribute: "discrete".
    tile: rows at a time.

  Returns:
    A critic in nats, an (asymptotic) upper bound.

  References:
    Cover and Hart (1967), "Nearest Neighbor Pattern Classification",
    https://doi.org/10.1109/TIT.1967.1053964, the theorem for M classes.
    Hellman and Raviv (1970), "Probability of Error, Equivocation, and the Chernoff
    Bound", https://doi.org/10.1109/TIT.1970.1054466: H(S|Z) >= 2 P* bits.
  """
  reads("bayes_error", attribute, ("discrete",))

  def value(view: View) -> Float[Array, ""]:
    z_ND = kernels.centred(view.z_ND, view.mask_N)
    same_N, all_N, _ = neighbours.class_neighbours(
      z_ND, view.s_N, view.mask_N, 1, among="all", tile=tile
    )
    wrong_N = view.mask_N * (all_N - same_N) / jnp.maximum(all_N, 1)
    error = wrong_N.sum() / jnp.maximum(view.mask_N.sum(), 1.0)
    worst = 1 - 1 / jnp.maximum(view.classes_K.sum(), 2)
    least = worst * (1 - jnp.sqrt(jnp.maximum(1 - error / worst, 0.0)))
    return nn.entropy(view, "discrete") - 2 * jnp.log(2.0) * least

  return statistic(value, attribute, "nats", "upper")
