"""Maximum mean discrepancy between the classes of an attribute."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ovl import kernels
from ovl.critics._statistic import columns, reads, statistic
from ovl.types import Critic, Kind, View


def critic(
  attribute: Kind = "discrete",
  bandwidth: float | None = None,
  tile: int = kernels.TILE,
) -> Critic:
  r"""The mean of unbiased MMD^2 over pairs of classes, with an RBF kernel.

  .. math:: \frac{\sum_{i \ne j} k(z_i, z_j)}{n_a (n_a - 1)}
            + \frac{\sum_{i \ne j} k(z_i, z_j)}{n_b (n_b - 1)}
            - \frac{2 \sum_{i,j} k(z_i, z_j)}{n_a n_b}

  the sums within class a, within b and between them. Classes with fewer than 2 rows are
  left out. 0 in the mean where independent, so below 0 at times.

  Args:
    attribute: "discrete".
    bandwidth: of the kernel; None: the median distance, without a gradient.
    tile: rows at a time.

  Returns:
    A critic without a unit.

  References:
    Gretton et al. (2012), "A Kernel Two-Sample Test", JMLR 13, eq. 3.
  """
  reads("mmd", attribute, ("discrete",))

  def value(view: View) -> Float[Array, ""]:
    hot_NK = columns(view) * view.mask_N[:, None]
    z_ND = kernels.centred(view.z_ND, view.mask_N)
    kernel = kernels.rbf_for(z_ND, view.mask_N, bandwidth)

    @jax.checkpoint
    def to_classes(i: Array, z_D: Array) -> Array:
      other_N = jnp.arange(len(z_ND)) != i
      return jnp.matmul(other_N * kernel(z_D, z_ND), hot_NK, precision="highest")

    sum_NK = kernels.over_rows(to_classes, z_ND, tile=tile)
    sum_KK = jnp.matmul(hot_NK.T, sum_NK, precision="highest")
    n_K = hot_NK.sum(0)
    own_KK = jnp.diag(n_K)
    mean_KK = sum_KK / jnp.maximum(n_K[:, None] * n_K - own_KK, 1.0)
    within_K = jnp.diag(mean_KK)
    far_KK = within_K[:, None] + within_K - 2 * mean_KK
    pair_KK = jnp.triu((n_K[:, None] >= 2) & (n_K >= 2), 1)
    return (pair_KK * far_KK).sum() / jnp.maximum(pair_KK.sum(), 1)

  return statistic(value, attribute, None, None, ("penalty", "audit", "monitor"))
