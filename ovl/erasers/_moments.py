"""First and second moments of a representation and of the columns of a concept.

They are sums over rows, taken about the mean so that float32 suffices: `merge` of the
moments of two batches is those of all rows, and `pool` does the same over a stacked axis
or, with `psum`, over shards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ovl import kernels


class Moments(NamedTuple):
  """Of the rows whose mask is 1.

  Attributes:
    n: how many rows.
    mean_D: of the representation.
    mean_M: of the concept: of a one-hot column the share of its class.
    zz_DD: sum of products about the mean; `zs_DM` and `ss_MM` likewise.
  """

  n: Float[Array, "*s"]
  mean_D: Float[Array, "*s d"]
  mean_M: Float[Array, "*s m"]
  zz_DD: Float[Array, "*s d d"]
  zs_DM: Float[Array, "*s d m"]
  ss_MM: Float[Array, "*s m m"]


def moments(
  z_ND: Float[Array, "n d"], s_NM: Float[Array, "n m"], mask_N: Float[Array, " n"]
) -> Moments:
  """Moments of rows; sharded rows are summed over their shards by the compiler."""
  known_N1 = mask_N[:, None] > 0
  with jax.default_matmul_precision("highest"):
    mean_D, mean_M = (kernels.moments(x, mask_N)[0] for x in (z_ND, s_NM))
    z_ND = jnp.where(known_N1, z_ND - mean_D, 0.0)
    s_NM = jnp.where(known_N1, s_NM - mean_M, 0.0)
    # Written once: or the compiler centres them again inside each of the three products.
    z_ND, s_NM = jax.lax.optimization_barrier((z_ND, s_NM))
    return Moments(
      mask_N.sum(), mean_D, mean_M, z_ND.T @ z_ND, z_ND.T @ s_NM, s_NM.T @ s_NM
    )


def pool(parts: Moments, total: Callable[[Array], Array]) -> Moments:
  """Moments of all rows from those of their parts.

  With n_i rows and mean m_i in part i: `n = sum n_i`, `m = sum n_i m_i / n`, and the sum
  of products about m is `sum_i (C_i + n_i (m_i - m)(m_i - m)')`.

  Args:
    parts: moments of the parts: stacked, or one on each shard.
    total: sums over parts: `lambda x: x.sum(0)`, or `lambda x: jax.lax.psum(x, "data")`.

  References:
    Chan, Golub and LeVeque (1979), "Updating formulae and a pairwise algorithm".
  """
  n = total(parts.n)

  def mean(part: Array) -> Array:
    return total(parts.n[..., None] * part) / jnp.maximum(n, 1.0)

  mean_D, mean_M = mean(parts.mean_D), mean(parts.mean_M)
  gap_D, gap_M = parts.mean_D - mean_D, parts.mean_M - mean_M

  def products(part: Array, a: Array, b: Array) -> Array:
    return total(part + parts.n[..., None, None] * a[..., :, None] * b[..., None, :])

  return Moments(
    n,
    mean_D,
    mean_M,
    products(parts.zz_DD, gap_D, gap_D),
    products(parts.zs_DM, gap_D, gap_M),
    products(parts.ss_MM, gap_M, gap_M),
  )


def merge(one: Moments, other: Moments) -> Moments:
  """Moments of the rows of both."""
  both = jax.tree.map(lambda a, b: jnp.stack([a, b]), one, other)
  return pool(both, lambda x: x.sum(0))


def scales(m: Moments) -> tuple[Array, Array]:
  """Standard deviations of the columns of both; 1 where a column is constant.

  A column that varies less than its mean is rounded is constant.
  """

  def scale(square: Array, mean: Array) -> Array:
    var = jnp.diagonal(square) / jnp.maximum(m.n, 1.0)
    dead = var <= jnp.square(8 * jnp.finfo(var.dtype).eps * mean)
    return jnp.sqrt(jnp.where(dead, 1.0, var))

  return scale(m.zz_DD, m.mean_D), scale(m.ss_MM, m.mean_M)


def standard(m: Moments) -> tuple[Moments, Array]:
  """Moments of z in units of its columns' standard deviations, and those.

  What is computed there does not depend on the units of the columns, and a column of
  1e-6 beside one of 1e6 is not taken for rounding.
  """
  sd_D, _ = scales(m)
  return m._replace(
    mean_D=m.mean_D / sd_D,
    zz_DD=m.zz_DD / (sd_D[:, None] * sd_D),
    zs_DM=m.zs_DM / sd_D[:, None],
  ), sd_D


def correlations(m: Moments) -> tuple[Array, Array, Array]:
  """Correlations of z with s `[D, M]`, and the two scales; 0 where either is constant."""
  sd_D, sd_M = scales(m)
  return m.zs_DM / (jnp.maximum(m.n, 1.0) * sd_D[:, None] * sd_M), sd_D, sd_M
