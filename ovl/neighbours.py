"""Nearest neighbours of rows: how many lie as near as the k-th, and what that tells."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from jax.scipy.special import digamma
from jaxtyping import Array, Bool, Float, Int

from ovl import kernels


def distances(
  x_D: Float[Array, " d"], y_DN: Float[Array, "d n"], metric: str = "euclidean"
) -> Float[Array, " n"]:
  """One row against all, column by column: equal rows are at exactly 0.

  Args:
    x_D: a row.
    y_DN: all rows, a column of this array each.
    metric: "euclidean" gives *squared* distances, "chebyshev" max-norm ones: of
      nearest neighbours only the order matters.
  """

  def column(d_N: Array, pair: tuple[Array, Array]) -> tuple[Array, None]:
    gap_N = pair[1] - pair[0]
    if metric == "chebyshev":
      return jnp.maximum(d_N, jnp.abs(gap_N)), None
    return d_N + jnp.square(gap_N), None

  d_N = jnp.zeros(y_DN.shape[1], y_DN.dtype)
  d_N = jax.lax.scan(column, d_N, (x_D, y_DN), unroll=16)[0]
  return jax.lax.optimization_barrier(d_N)  # computed once, so that it equals itself


def kth_smallest(d_N: Float[Array, " n"], k: int) -> Float[Array, ""]:
  """The k-th smallest number, ties counted; the largest finite one of fewer than k.

  By k masked minima: a sort or `top_k` of a wide row is far slower on a CPU.
  """
  rank = jnp.minimum(k, (d_N < jnp.inf).sum())
  kth = jnp.array(-jnp.inf, d_N.dtype)
  for _ in range(k):
    above = jnp.where(d_N > kth, d_N, jnp.inf).min()
    kth = jnp.where((d_N <= kth).sum() >= rank, kth, above)
  return kth


def class_neighbours(
  z_ND: Float[Array, "n d"],
  s_N: Int[Array, " n"],
  mask_N: Float[Array, " n"],
  k: int,
  among: Literal["class", "all"] = "class",
  tile: int = kernels.TILE,
) -> tuple[Int[Array, " n"], Int[Array, " n"], Bool[Array, " n"]]:
  """How many other rows, of the class and in all, lie as near as the k-th neighbour.

  Args:
    z_ND: rows; nearness is Euclidean.
    s_N: codes.
    mask_N: row weights.
    k: which neighbour.
    among: the k-th of the rows of its "class", or of "all" rows.
    tile: rows at a time.

  Returns:
    `(same_N, all_N, copy_N)`, ties included: of distinct distances one of the counts
    is k. `copy_N`: the k-th neighbour is at distance 0.
  """
  z_DN = z_ND.T

  def row(i: Array, z_D: Array, s: Array) -> tuple[Array, Array, Array]:
    other_N = (mask_N > 0) & (jnp.arange(len(mask_N)) != i)
    same_N = other_N & (s_N == s)
    d_N = distances(z_D, z_DN)
    pool_N = same_N if among == "class" else other_N
    kth = kth_smallest(jnp.where(pool_N, d_N, jnp.inf), k)
    near_N = d_N <= kth
    return (near_N & same_N).sum(), (near_N & other_N).sum(), kth == 0

  return kernels.over_rows(row, z_ND, s_N, tile=tile)


def ksg(
  z_ND: Float[Array, "n d"],
  s_NM: Float[Array, "n m"],
  mask_N: Float[Array, " n"],
  k: tuple[int, ...] = (5,),
  variant: int = 1,
  metric: str = "chebyshev",
  tile: int = kernels.TILE,
) -> Float[Array, ""]:
  """I(Z;S) by nearest neighbours, nats; see `ovl.critics.ksg`.

  Columns are standardised first. Where the k-th neighbour is a copy of the row (a
  distance of 0) all copies are counted in place of k.
  """
  z_ND, s_NM = (kernels.standardised(x_NE, mask_N) for x_NE in (z_ND, s_NM))
  z_DN, s_MN = z_ND.T, s_NM.T

  def psi(count: Array) -> Array:
    return digamma(jnp.maximum(count, 1).astype(jnp.float32))

  def row(i: Array, z_D: Array, s_M: Array) -> Array:
    other_N = (mask_N > 0) & (jnp.arange(len(mask_N)) != i)
    dz_N = jnp.where(other_N, distances(z_D, z_DN, metric), jnp.inf)
    ds_N = jnp.where(other_N, distances(s_M, s_MN, metric), jnp.inf)
    joint_N = jnp.maximum(dz_N, ds_N)

    def cube(k: int) -> Array:
      kth = kth_smallest(joint_N, k)

      def inside(d_N: Array) -> Array:  # itself included
        return 1 + jnp.where(kth > 0, d_N < kth, d_N <= kth).sum()

      return psi(inside(joint_N)) - psi(inside(dz_N)) - psi(inside(ds_N))

    def rectangle(k: int) -> Array:
      kth = kth_smallest(joint_N, k)
      near_N, copy = joint_N <= kth, kth == 0

      def inside(d_N: Array) -> Array:
        return copy + (d_N <= jnp.where(near_N, d_N, -jnp.inf).max()).sum()

      found = inside(joint_N)
      edge = jnp.where(copy, 0.0, 1 / jnp.maximum(found, 1))
      return psi(found) - edge - psi(inside(dz_N)) - psi(inside(ds_N))

    one = cube if variant == 1 else rectangle
    return sum(map(one, k), jnp.float32(0)) / len(k)

  n = jnp.maximum(mask_N.sum(), 1.0)
  return psi(n) + (mask_N * kernels.over_rows(row, z_ND, s_NM, tile=tile)).sum() / n
