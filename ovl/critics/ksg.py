"""Kraskov-Stögbauer-Grassberger: I(Z;S) of two continuous quantities by neighbours."""

from __future__ import annotations

from jaxtyping import Array, Float

from ovl import kernels, neighbours
from ovl.critics._statistic import columns, reads, statistic
from ovl.types import BadInput, Critic, Kind, View


def critic(
  attribute: Kind = "continuous",
  k: int | tuple[int, ...] = 5,
  variant: int = 1,
  metric: str = "chebyshev",
  tile: int = kernels.TILE,
) -> Critic:
  r"""Nearest-neighbour counts in the joint space and in each block.

  .. math:: I_1 = \psi(k) + \psi(N) - \langle \psi(n_z + 1) + \psi(n_s + 1) \rangle

  with n the rows nearer in a block than the k-th joint neighbour (max-norm over the two
  blocks); I_2 is :math:`\psi(k) - 1/k + \psi(N) - \langle \psi(n_z) + \psi(n_s)
  \rangle`, each block with the extent of the k neighbours in it. Not clipped at 0.
  Columns are standardised. No bound: it falls short where I or the width is large.

  Args:
    attribute: "continuous" or "vector".
    k: which neighbour; of several the mean of the estimates.
    variant: 1 (a cube, less variance) or 2 (a rectangle, less bias).
    metric: inside a block: "chebyshev" or "euclidean".
    tile: rows at a time.

  Returns:
    A critic in nats, an estimate.

  References:
    Kraskov, Stögbauer and Grassberger (2004), "Estimating mutual information",
    https://doi.org/10.1103/PhysRevE.69.066138, eq. 8 and 9.
    Gao et al. (2017), arXiv 1709.06212, alg. 1: neighbours at distance 0.
  """
  reads("ksg", attribute, ("continuous", "vector"))
  if variant not in (1, 2):
    raise BadInput(f"ksg: variant {variant!r}: 1 or 2 fit")
  if metric not in ("chebyshev", "euclidean"):
    raise BadInput(f"ksg: metric {metric!r}: 'chebyshev' or 'euclidean' fit")
  ks = (k,) if isinstance(k, int) else tuple(k)

  def value(view: View) -> Float[Array, ""]:
    return neighbours.ksg(view.z_ND, columns(view), view.mask_N, ks, variant, metric, tile)

  return statistic(value, attribute, "nats", "estimate")
