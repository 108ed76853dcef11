"""Quadratic LEACE: every class is carried to one mean and one covariance."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, PRNGKeyArray

from ovl.erasers._moments import Moments, merge, moments
from ovl.types import Eraser

STEPS, TOL = 100, 1e-4  # of the fixed point of a barycentre of three classes or more


def eraser() -> Eraser:
  """Gaussian optimal transport of each class to their Wasserstein barycentre.

      r(z) = m + A_k (z - m_k)  for a row of class k,  A_k C_k A_k = B

  with the class means m_k, covariances C_k and shares w_k, m = sum_k w_k m_k, and B the
  barycentre of the covariances under w: in closed form of two classes, else the fixed
  point B = T B T, T = sum_k w_k (map from B to C_k). A map from C = L L' to B = M M' is
  L^-T (U S U') L^-1 of the singular values L'M = U S V', so nothing is squared twice.

  Then mean and covariance are the same in every class: of the rows it was fitted on no
  linear predictor beats a constant, and no quadratic one (of a squared loss) either.
  It moves rows no further, in the mean square, than that takes if classes are normal.

  It does not stop readers of higher moments: a kurtosis, several clusters a class. The
  edit itself depends on s: who knows z and r(z) knows s. Twice is not once. A ridge of
  4 eps D mean variances is added for float32: differences of variance below it stay.

  Returns:
    An eraser of one attribute of classes; it needs the class of the rows it is applied
    to.

  References:
    Belrose et al. (2023), https://arxiv.org/abs/2306.03819, and the quadratic eraser of
    its code; Agueh and Carlier (2011), "Barycenters in the Wasserstein space"; Álvarez-
    Esteban et al. (2016), "A fixed-point approach to barycenters in Wasserstein space",
    https://arxiv.org/abs/1511.05355.
  """
  return Eraser(
    _solve,
    _apply,
    _of_classes,
    jax.vmap(merge),
    oracle=True,
    several=False,
  )


def _of_classes(z_ND: Array, s_NK: Array, mask_N: Array) -> Moments:
  """Moments of z in each class; leaves lead with K."""
  none_N0 = s_NK[:, :0]
  return jax.lax.map(lambda s_N: moments(z_ND, none_N0, mask_N * s_N), s_NK.T)


def _solve(m: Moments, key: PRNGKeyArray) -> dict[str, Array]:
  with jax.default_matmul_precision("highest"):
    K, D = m.mean_D.shape
    share_K = m.n / jnp.maximum(m.n.sum(), 1.0)
    cov_KDD = m.zz_DD / jnp.maximum(m.n, 1.0)[:, None, None]
    mean_DD = jnp.einsum("k,kde->de", share_K, cov_KDD)
    ridge = 4 * jnp.finfo(mean_DD.dtype).eps * jnp.trace(mean_DD)
    cov_KDD += jnp.where(ridge > 0, ridge, 1.0) * jnp.eye(D)
    root_KDD = jnp.linalg.cholesky(cov_KDD)
    if K == 2:
      step_DD = share_K[0] * jnp.eye(D) + share_K[1] * _transport(*root_KDD)
      centre_DD = step_DD @ cov_KDD[0] @ step_DD
    else:
      centre_DD = _barycentre(root_KDD, share_K, jnp.einsum("k,kde->de", share_K, cov_KDD))
    goal_DD = jnp.linalg.cholesky(centre_DD)
    return {
      "mean_D": share_K @ m.mean_D,
      "mean_KD": m.mean_D,
      "map_KDD": jax.lax.map(lambda root_DD: _transport(root_DD, goal_DD), root_KDD),
      "dropped": jnp.int32(0),
    }


def _transport(from_DD: Array, to_DD: Array) -> Float[Array, "d d"]:
  """The map between two normal laws, given Cholesky factors of their covariances."""
  u_DD, size_D, _ = jnp.linalg.svd(from_DD.T @ to_DD)
  half_DD = solve_triangular(from_DD, u_DD * jnp.sqrt(size_D), lower=True, trans="T")
  return half_DD @ half_DD.T


def _barycentre(root_KDD: Array, share_K: Array, start_DD: Array) -> Float[Array, "d d"]:
  def step(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
    i, centre_DD, _ = state
    here_DD = jnp.linalg.cholesky(centre_DD)
    map_KDD = jax.lax.map(lambda root_DD: _transport(here_DD, root_DD), root_KDD)
    map_DD = jnp.einsum("k,kde->de", share_K, map_KDD)
    new_DD = map_DD @ centre_DD @ map_DD
    change = jnp.linalg.norm(new_DD - centre_DD) / jnp.linalg.norm(new_DD)
    return i + 1, (new_DD + new_DD.T) / 2, change

  def more(state: tuple[Array, Array, Array]) -> Array:
    return (state[0] < STEPS) & (state[2] > TOL)

  start = (jnp.int32(0), start_DD, jnp.asarray(jnp.inf, start_DD.dtype))
  return jax.lax.while_loop(more, step, start)[1]


def _apply(arrays: dict[str, Array], z_ND: Array, s_NK: Array) -> Array:
  with jax.default_matmul_precision("highest"):
    away_ND = z_ND - s_NK @ arrays["mean_KD"]

    def add(sum_ND: Array, of_class: tuple[Array, Array]) -> tuple[Array, None]:
      map_DD, s_N = of_class
      return sum_ND + s_N[:, None] * (away_ND @ map_DD), None

    start_ND = jnp.broadcast_to(arrays["mean_D"], z_ND.shape)
    return jax.lax.scan(add, start_ND, (arrays["map_KDD"], s_NK.T))[0]
