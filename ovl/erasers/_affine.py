"""Erasers of the form r(z) = z - L R'(z - m): two thin products a row."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

from ovl.erasers._moments import Moments, correlations


def resolution(x: Array) -> float:
  """The smallest correlation that is no rounding: 1.2e-4 in float32.

  A thousand rounding errors; far below sqrt(D/n), what independent columns correlate by.
  """
  return 1e3 * float(jnp.finfo(x.dtype).eps)


def chosen(
  strength_R: Float[Array, " r"], rank: int | None, floor: Array | float, tol: Array | float
) -> tuple[Float[Array, " r"], Array]:
  """Which directions to erase, strongest first, and how many that carry more stay.

  Args:
    strength_R: of the directions, in falling order.
    rank: how many at most; None: all.
    floor: what is no more than rounding.
    tol: what is to stay besides.
  """
  real_R = strength_R > floor
  keep_R = real_R & (strength_R > tol)
  if rank is not None:
    keep_R &= jnp.arange(strength_R.shape[0]) < rank
  return keep_R.astype(strength_R.dtype), (real_R & ~keep_R).sum()


def apply(
  arrays: dict[str, Array], z_ND: Float[Array, "n d"], s_NM: Array | None = None
) -> Float[Array, "n d"]:
  """r(z) of every row."""
  with jax.default_matmul_precision("highest"):
    seen_NR = (z_ND - arrays["mean_D"]) @ arrays["right_DR"]
    return z_ND - seen_NR @ arrays["left_DR"].T


def orthogonal(
  mean_D: Array, sd_D: Array, basis_DR: Array, dropped: Array | int = 0
) -> dict[str, Array]:
  """The arrays of z - S U U' S^-1 (z - m), S the standard deviations of the columns.

  An orthogonal projection in those units; columns of U are orthonormal, or 0.
  """
  return {
    "mean_D": mean_D,
    "left_DR": sd_D[:, None] * basis_DR,
    "right_DR": basis_DR / sd_D[:, None],
    "removed": basis_DR.any(0).sum().astype(jnp.int32),
    "dropped": jnp.asarray(dropped, jnp.int32),
  }


def orthonormal(a_DR: Float[Array, "d r"], floor: float) -> Float[Array, "d r"]:
  """A basis of the span of the columns; what is below `floor` of the largest is 0."""
  u_DR, size_R, _ = jnp.linalg.svd(a_DR, full_matrices=False)
  return u_DR * ((size_R > floor * size_R[0]) & (size_R > 0))


def shared(m: Moments, rank: int | None) -> tuple[Float[Array, "d r"], Array, Array]:
  """The directions of z's covariance with the concept, both in standard deviations.

  Returns:
    An orthonormal basis, strongest first, 0 beyond `rank`; how many directions that
    carry more stay; the standard deviations of z.
  """
  with jax.default_matmul_precision("highest"):
    corr_DM, sd_D, _ = correlations(m)
    basis_DR, size_R, _ = jnp.linalg.svd(corr_DM, full_matrices=False)
  keep_R, dropped = chosen(size_R, rank, resolution(size_R), 0.0)
  return basis_DR * keep_R, dropped, sd_D


def covariant(m: Moments, rank: int | None) -> dict[str, Array]:
  """Projects on what is orthogonal to the covariance of z with the concept."""
  basis_DR, dropped, sd_D = shared(m, rank)
  return orthogonal(m.mean_D, sd_D, basis_DR, dropped)


def least_squares(
  m: Moments,
  rank: int | None = None,
  tol: float = 0.0,
  shrinkage: str = "none",
) -> dict[str, Array]:
  """The arrays of LEACE; settings as there."""
  if shrinkage == "linear":
    m = m._replace(zz_DD=shrunk(m.zz_DD, m.n))
  D, M = m.zs_DM.shape
  with jax.default_matmul_precision("highest"):
    corr_DM, sd_D, _ = correlations(m)
    root_DD = root(m.zz_DD, m.n, sd_D)
    whitened_DM = solve_triangular(root_DD, corr_DM, lower=True)
    u_DR, size_R, _ = jnp.linalg.svd(whitened_DM, full_matrices=False)
    noise = (D**0.5 + M**0.5) / jnp.sqrt(jnp.maximum(m.n, 1.0))
    keep_R, dropped = chosen(size_R, rank, resolution(size_R), tol * noise)
    u_DR = u_DR * keep_R
    right_DR = solve_triangular(root_DD, u_DR, lower=True, trans="T")
    return {
      "mean_D": m.mean_D,
      "left_DR": sd_D[:, None] * (root_DD @ u_DR),
      "right_DR": right_DR / sd_D[:, None],
      "removed": keep_R.sum().astype(jnp.int32),
      "dropped": dropped.astype(jnp.int32),
    }


def root(zz_DD: Array, n: Array, sd_D: Array) -> Float[Array, "d d"]:
  """Cholesky factor of the covariance in units of `sd_D`, with a ridge for rounding."""
  D = sd_D.shape[0]
  corr_DD = zz_DD / (jnp.maximum(n, 1.0) * sd_D[:, None] * sd_D)
  own_D = jnp.diagonal(corr_DD)
  ridge = 4 * jnp.finfo(corr_DD.dtype).eps * D
  at = jnp.arange(D)
  return jnp.linalg.cholesky(corr_DD.at[at, at].set(jnp.where(own_D > 0, own_D, 1) + ridge))


def shrunk(zz_DD: Array, n: Array) -> Float[Array, "d d"]:
  """n times the optimal mix of the covariance and the sphere of its mean variance."""
  D = zz_DD.shape[0]
  cov_DD = zz_DD / jnp.maximum(n, 1.0)
  trace, square = jnp.trace(cov_DD), jnp.square(cov_DD).sum()
  spread = square - trace**2 / D
  own = jnp.clip(1 - trace**2 / (jnp.maximum(n, 1.0) * jnp.maximum(spread, 1e-30)), 0, 1)
  return jnp.maximum(n, 1.0) * (own * cov_DD + (1 - own) * trace / D * jnp.eye(D))
