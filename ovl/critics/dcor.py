"""Distance correlation, squared: 0 where independent and only there."""

from __future__ import annotations

from jaxtyping import Array, Float

from ovl import kernels
from ovl.critics._statistic import columns, statistic
from ovl.types import Critic, Kind, View


def critic(
  attribute: Kind = "discrete", unbiased: bool = True, tile: int = kernels.TILE
) -> Critic:
  """dCov²(Z, S) / sqrt(dCov²(Z, Z) dCov²(S, S)) with Euclidean distances.

  Args:
    attribute: any; classes are one-hot.
    unbiased: U-centred distances: about 0 where independent, so below 0 at times; else
      the V-statistic, which is above 0 for any finite sample.
    tile: rows at a time.

  Returns:
    A critic without a unit; 0 where z or s is constant.

  References:
    Székely, Rizzo and Bakirov (2007), arXiv 0803.4101, def. 3.
    Székely and Rizzo (2014), arXiv 1310.2926: bias-corrected.
  """

  def value(view: View) -> Float[Array, ""]:
    z_ND = kernels.centred(view.z_ND, view.mask_N)
    s_NM = kernels.centred(columns(view), view.mask_N)
    apart = kernels.euclidean
    return kernels.correlation(
      *kernels.dependence(apart, apart, z_ND, s_NM, view.mask_N, unbiased, tile)
    )

  return statistic(value, attribute, None, None, ("penalty", "audit", "monitor"))
