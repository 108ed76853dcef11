"""What a concept tells of a row, where that is more than sampling noise.

An eraser that is given the concept of the row it edits writes it into rows that know
nothing of it, as far as its slopes are noise. The noise is measured: rows fall into two
folds by a hash of their own values, and the two folds' slopes differ by noise alone.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, Int

from ovl.erasers import _affine, _moments
from ovl.erasers._moments import Moments

FALSE = 0.01  # how often one column of noise is taken for more


def fold(z_ND: Float[Array, "n d"]) -> Int[Array, " n"]:
  """0 or 1 by a hash of the row: in whatever order and batches rows come, copies stay
  together, so that they do not pass for a second observation."""
  bits_ND = jax.lax.bitcast_convert_type(z_ND.astype(jnp.float32), jnp.uint32)
  odd_D = 2 * jnp.arange(z_ND.shape[1], dtype=jnp.uint32) + 1
  mixed_N = (bits_ND * (odd_D * jnp.uint32(2654435761))).sum(1, dtype=jnp.uint32)
  mixed_N = (mixed_N ^ (mixed_N >> 15)) * jnp.uint32(2246822519)
  mixed_N = (mixed_N ^ (mixed_N >> 13)) * jnp.uint32(3266489917)
  return (mixed_N >> 31).astype(jnp.int32)


def folds(z_ND: Array, mask_N: Array) -> Float[Array, "2 n"]:
  """The masks of the two folds."""
  at_N = fold(z_ND)
  return jnp.stack([mask_N * (at_N == f) for f in (0, 1)])


def moments(z_ND: Array, s_NM: Array, mask_N: Array) -> Moments:
  """Moments of the two folds: leaves lead with 2."""
  return jax.lax.map(
    lambda part_N: _moments.moments(z_ND, s_NM, part_N), folds(z_ND, mask_N)
  )


def whole(m_F: Moments) -> Moments:
  """Of both folds."""
  return _moments.pool(m_F, lambda x: x.sum(0))


def slope(m_F: Moments, shrinkage: str) -> tuple[Float[Array, "d m"], Array]:
  """Sigma_zs Sigma_ss^+, and of how many directions of z.

  With shrinkage "noise" a direction stays out that is no more than noise: in whitened
  coordinates the slopes are a matrix B + E; a singular value of it is kept where it is
  above the optimal hard threshold for the noise, whose size the folds measure, or where
  a single column shows it: few rows of many columns hide a column that is plain.

  References:
    Gavish and Donoho (2014), "The optimal hard threshold for singular values is 4 /
    sqrt(3)", https://arxiv.org/abs/1305.5870.
  """
  m = whole(m_F)
  D, _ = m.zs_DM.shape
  n = jnp.maximum(m.n, 1.0)
  with jax.default_matmul_precision("highest"):
    scaled, sd_D = _moments.standard(m)
    turn_MR, real_R = _sphere(m)
    cov_DR = scaled.zs_DM / n @ turn_MR
    if shrinkage == "none":
      kept_DR, removed = cov_DR, real_R.sum()
    else:
      root_DD = _whitener(scaled.zz_DD / n - cov_DR @ cov_DR.T, n)
      white_DR = solve_triangular(root_DD, cov_DR, lower=True)
      u_DR, size_R, turn_RR = jnp.linalg.svd(white_DR, full_matrices=False)
      noise = _noise(m_F, sd_D, root_DD, turn_MR, real_R)
      count = jnp.maximum(real_R.sum(), 1)
      plain_R = jnp.abs(cov_DR @ turn_RR.T).max(0) * jnp.sqrt(n) > (
        jnp.sqrt(count) + (2 * jnp.log(D / FALSE)) ** 0.5
      )
      more_R = jnp.square(size_R) * n > noise * _threshold(D, count)
      keep_R = (more_R | plain_R) & (size_R > _affine.resolution(size_R))
      kept_DR = root_DD @ (u_DR * (size_R * keep_R)) @ turn_RR
      removed = keep_R.sum()
    return sd_D[:, None] * kept_DR @ turn_MR.T, removed.astype(jnp.int32)


def _sphere(m: Moments) -> tuple[Float[Array, "m r"], Array]:
  """What makes the concept's columns uncorrelated with variance 1; 0 where none varies."""
  _, sd_M = _moments.scales(m)
  # Standardised, so that rare classes are not taken for rounding.
  size_R, turn_MR = jnp.linalg.eigh(
    m.ss_MM / (jnp.maximum(m.n, 1.0) * sd_M[:, None] * sd_M)
  )
  real_R = size_R > 1e2 * jnp.finfo(size_R.dtype).eps * size_R.shape[0]
  inverse_R = jnp.where(real_R, 1 / jnp.sqrt(jnp.where(real_R, size_R, 1.0)), 0.0)
  return turn_MR / sd_M[:, None] * inverse_R, real_R


def _whitener(cov_DD: Array, n: Array) -> Float[Array, "d d"]:
  """Cholesky factor of what the concept leaves, shrunk: rows may be few."""
  return _affine.root(_affine.shrunk(cov_DD * n, n), n, jnp.ones_like(cov_DD[0]))


def _noise(
  m_F: Moments, sd_D: Array, root_DD: Array, turn_MR: Array, real_R: Array
) -> Array:
  """Variance of a whitened slope times the rows: 1, or what two folds differ by."""
  n_F = jnp.maximum(m_F.n, 1.0)

  def one(zs_DM: Array, ss_MM: Array, n: Array) -> Array:
    cov_DR = solve_triangular(root_DD, zs_DM / sd_D[:, None] / n @ turn_MR, lower=True)
    own_RR = turn_MR.T @ ss_MM @ turn_MR / n
    ridge_R = jnp.where(real_R, 1e-3, 1.0)  # a class may be missing in a fold
    return jnp.linalg.solve(own_RR + jnp.diag(ridge_R), cov_DR.T)

  first_RD, second_RD = jax.vmap(one)(m_F.zs_DM, m_F.ss_MM, n_F)
  many = sd_D.shape[0] * jnp.maximum(real_R.sum(), 1)
  between = jnp.square(first_RD - second_RD).sum() * n_F.prod() / n_F.sum() / many
  return jnp.where(m_F.n.min() > 1, jnp.maximum(between, 1.0), 1.0)


def _threshold(D: int, count: Array) -> Array:
  """Square of the hard threshold for a `[D, count]` matrix of noise of variance 1."""
  large, small = jnp.maximum(D, count), jnp.minimum(D, count)
  b = small / large
  root = jnp.sqrt(jnp.square(b) + 14 * b + 1)
  return large * (2 * (b + 1) + 8 * b / (b + 1 + root))
