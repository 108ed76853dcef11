"""Ross: I(Z;S) of a continuous representation and classes by nearest neighbours."""

from __future__ import annotations

import jax.numpy as jnp
from jax.scipy.special import digamma
from jaxtyping import Array, Float

from ovl import kernels, neighbours
from ovl.critics._statistic import columns, reads, statistic
from ovl.types import Critic, Kind, View


def critic(attribute: Kind = "discrete", k: int = 3, tile: int = kernels.TILE) -> Critic:
  r"""Same-class against all-class neighbour counts, in all columns at once.

  .. math:: I = \psi(N) + \langle \psi(k) \rangle - \langle \psi(N_s) \rangle
            - \langle \psi(m) \rangle

  m is how many rows of any class lie within the k-th neighbour of the same class (k at
  most N_s - 1). Where distances tie k counts the ties too, and of copies at distance 0
  the row itself, so that a constant representation scores 0. Rows of a class with one
  row are left out.
  Not clipped at 0. No bound; fair up to about 8 columns.

  Args:
    attribute: "discrete".
    k: which neighbour.
    tile: rows at a time.

  Returns:
    A critic in nats, an estimate.

  References:
    Ross (2014), "Mutual Information between Discrete and Continuous Data Sets",
    https://doi.org/10.1371/journal.pone.0087357, eq. 2.
  """
  reads("ross", attribute, ("discrete",))

  def value(view: View) -> Float[Array, ""]:
    hot_NK = columns(view) * view.mask_N[:, None]
    size_N = hot_NK @ hot_NK.sum(0)
    mask_N = view.mask_N * (size_N >= 2)
    z_ND = kernels.centred(view.z_ND, view.mask_N)
    k_N, m_N, copy_N = neighbours.class_neighbours(z_ND, view.s_N, mask_N, k, tile=tile)
    n = jnp.maximum(mask_N.sum(), 1.0)
    counts = (k_N + copy_N, size_N, m_N + copy_N)
    k_N, size_N, m_N = (digamma(jnp.maximum(x, 1.0)) for x in counts)
    return digamma(n) + (mask_N * (k_N - size_N - m_N)).sum() / n

  return statistic(value, attribute, "nats", "estimate")
