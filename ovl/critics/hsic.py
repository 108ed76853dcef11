"""Hilbert-Schmidt independence criterion: 0 where independent, in no unit."""

from __future__ import annotations

from jaxtyping import Array, Float

from ovl import kernels
from ovl.critics._statistic import columns, statistic
from ovl.types import BadInput, Critic, Kind, View


def critic(
  attribute: Kind = "discrete",
  kernel: str = "rbf",
  bandwidth: float | None = None,
  unbiased: bool = True,
  tile: int = kernels.TILE,
) -> Critic:
  r"""HSIC(Z, S); unbiased it is 0 in the mean where independent, so below 0 at times.

  .. math:: \frac{1}{n(n-3)} \Big[ tr(\tilde K \tilde L) + \frac{1'\tilde K 1 \;
            1'\tilde L 1}{(n-1)(n-2)} - \frac{2}{n-2} 1' \tilde K \tilde L 1 \Big]

  with zero diagonals; biased tr(KHLH) / (n - 1)^2.

  Args:
    attribute: any; the kernel of classes is 1 where they are equal, else 0.
    kernel: of z, and of s that is not discrete: "rbf", or "linear", which sees, and as a
      penalty removes, what is linear alone.
    bandwidth: of the RBF kernels; None: the median distance, without a gradient.
    unbiased: which of the two.
    tile: rows at a time.

  Returns:
    A critic without a unit.

  References:
    Song et al. (2012), "Feature Selection via Dependence Maximization", JMLR 13.
    Gretton et al. (2005), "Measuring Statistical Dependence with Hilbert-Schmidt
    Norms", def. 2.
  """
  if kernel not in ("rbf", "linear"):
    raise BadInput(f"hsic: kernel {kernel!r}: 'rbf' or 'linear' fit")

  def value(view: View) -> Float[Array, ""]:
    mask_N = view.mask_N
    z_ND = kernels.centred(view.z_ND, mask_N)
    s_NM = kernels.centred(columns(view), mask_N)
    of_z: kernels.Kernel = kernels.linear
    of_s: kernels.Kernel = kernels.linear
    if kernel == "rbf":
      of_z = kernels.rbf_for(z_ND, mask_N, bandwidth)
      if attribute != "discrete":
        of_s = kernels.rbf_for(s_NM, mask_N, bandwidth)
    return kernels.dependence(of_z, of_s, z_ND, s_NM, mask_N, unbiased, tile)[0]

  return statistic(value, attribute, None, None, ("penalty", "audit", "monitor"))
