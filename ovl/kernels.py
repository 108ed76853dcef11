"""Distances and kernels of rows, and what is summed over them, tile by tile of rows.

A block of `tile` x N numbers is the most that is ever held: N x N is not, nor is
N x N x D. Rows are given with weights `mask_N` of 1 and 0; columns of zeros, as padding
makes them, change nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Kernel = Callable[[Array, Array], Array]  # one row [D] and all rows [N, D] -> [N]

TILE = 32
MINIBATCH = 256  # rows
SAMPLE = 256  # rows of which a median distance is taken


def over_rows(fun: Callable, *arrays_N: Array, tile: int = TILE) -> Any:
  """`fun(i, row, ...)` of every row, `tile` rows at a time; stacked along a first axis.

  A minibatch is one tile: a loop would cost more than what it holds.
  """
  rows_N = jnp.arange(arrays_N[0].shape[0])
  if len(rows_N) <= MINIBATCH:
    return jax.vmap(fun)(rows_N, *arrays_N)
  return jax.lax.map(lambda at: fun(*at), (rows_N, *arrays_N), batch_size=tile)


def moments(
  x_ND: Float[Array, "n d"], mask_N: Float[Array, " n"]
) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
  """Mean and standard deviation of the columns; of a constant one exactly it, and 1."""
  known_N1 = mask_N[:, None] > 0
  n = jnp.maximum(mask_N.sum(), 1.0)
  first_D = x_ND[jnp.argmax(mask_N)]
  away_ND = jnp.where(known_N1, x_ND - first_D, 0.0)
  mean_D = away_ND.sum(0) / n
  var_D = jnp.where(known_N1, jnp.square(away_ND - mean_D), 0.0).sum(0) / n
  return first_D + mean_D, jnp.sqrt(jnp.where(var_D > 0, var_D, 1.0))


def centred(x_ND: Float[Array, "n d"], mask_N: Float[Array, " n"]) -> Float[Array, "n d"]:
  """Columns of mean 0; masked rows and constant columns are exactly 0."""
  return jnp.where(mask_N[:, None] > 0, x_ND - moments(x_ND, mask_N)[0], 0.0)


def standardised(
  x_ND: Float[Array, "n d"], mask_N: Float[Array, " n"]
) -> Float[Array, "n d"]:
  """Columns of mean 0 and variance 1; masked rows and constant columns are exactly 0."""
  mean_D, scale_D = moments(x_ND, mask_N)
  return jnp.where(mask_N[:, None] > 0, (x_ND - mean_D) / scale_D, 0.0)


def normal_scores(
  ordered_ND: Float[Array, "m d"], rows: Array, x_ND: Float[Array, "n d"]
) -> Float[Array, "n d"]:
  """Phi^-1 of the mid-ranks of columns among `rows` sorted reference rows.

  As `ranks.normal_scores`; masked rows of the reference are infinite, so last.
  """

  def column(ordered_N: Array, x_N: Array) -> Array:
    left = jnp.searchsorted(ordered_N, x_N, side="left")
    right = jnp.searchsorted(ordered_N, x_N, side="right")
    middle = 0.5 * (jnp.minimum(left, rows) + jnp.minimum(right, rows))
    return jax.scipy.special.ndtri(jnp.clip(middle, 0.5, rows - 0.5) / rows)

  return jax.vmap(column, 1, 1)(ordered_ND, x_ND)


# ---- kernels -------------------------------------------------------------------------


def linear(x_D: Float[Array, " d"], y_ND: Float[Array, "n d"]) -> Float[Array, " n"]:
  """Inner products of one row with all."""
  return jnp.matmul(y_ND, x_D, precision="highest")


def squared(x_D: Float[Array, " d"], y_ND: Float[Array, "n d"]) -> Float[Array, " n"]:
  """Squared distances of one row to all, by inner products; 0 where they round to 0.

  Rows should be `centred`: the error is a part in 10^7 of their squared norms.
  """
  size_N = jnp.square(y_ND).sum(1) + jnp.square(x_D).sum()
  d_N = size_N - 2 * linear(x_D, y_ND)
  return jnp.where(d_N > 1e-6 * size_N, d_N, 0.0)


def euclidean(x_D: Float[Array, " d"], y_ND: Float[Array, "n d"]) -> Float[Array, " n"]:
  """Distances of one row to all; the gradient is 0 where they are 0."""
  d_N = squared(x_D, y_ND)
  return jnp.where(d_N > 0, jnp.sqrt(jnp.where(d_N > 0, d_N, 1.0)), 0.0)


def median_squared(
  x_ND: Float[Array, "n d"], mask_N: Float[Array, " n"]
) -> Float[Array, ""]:
  """The median squared distance of pairs among 256 evenly spaced rows; never 0.

  The lower median, to 2^-30 of the largest distance. No gradient goes through it.
  """
  order_N = jnp.argsort(mask_N <= 0, stable=True)
  n, R = (mask_N > 0).sum(), min(SAMPLE, len(mask_N))
  place_R = jnp.arange(R)
  place_R = jnp.where(n > R, place_R * (n // R) + place_R * (n % R) // R, place_R)
  x_RD = jax.lax.stop_gradient(x_ND)[order_N[jnp.minimum(place_R, len(order_N) - 1)]]
  here_R = place_R < n
  d_RR = jax.vmap(squared, (0, None))(x_RD, x_RD)
  pair_RR = jnp.triu(here_R[:, None] & here_R, 1)
  half = (pair_RR.sum() + 1) // 2

  # By counting: on CPU a sort in every train step costs more than the step.
  def closer(_: Array, edge: tuple[Array, Array]) -> tuple[Array, Array]:
    low, high = edge
    middle = (low + high) / 2
    enough = (pair_RR & (d_RR <= middle)).sum() >= half
    return jnp.where(enough, low, middle), jnp.where(enough, middle, high)

  most = jnp.where(pair_RR, d_RR, 0.0).max()
  _, median = jax.lax.fori_loop(0, 30, closer, (jnp.zeros_like(most), most))
  zero = (pair_RR & (d_RR <= 0)).sum() >= half
  return jnp.where((median > 0) & ~zero, median, 1.0)


def rbf(variance: Float[Array, ""] | float) -> Kernel:
  """exp(-d^2 / (2 variance))."""
  return lambda x_D, y_ND: jnp.exp(-squared(x_D, y_ND) / (2 * variance))


def rbf_for(
  x_ND: Float[Array, "n d"], mask_N: Float[Array, " n"], bandwidth: float | None
) -> Kernel:
  """The RBF kernel of a given bandwidth; None: the median distance of the rows."""
  return rbf(median_squared(x_ND, mask_N) if bandwidth is None else bandwidth**2)


def dependence(
  kernel_z: Kernel,
  kernel_s: Kernel,
  z_ND: Float[Array, "n d"],
  s_NM: Float[Array, "n m"],
  mask_N: Float[Array, " n"],
  unbiased: bool = True,
  tile: int = TILE,
) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
  r"""Inner products of centred kernel matrices: of HSIC, CKA and distance correlation.

  Biased: :math:`tr(KHLH) / (n-1)^2`. Unbiased: the diagonal is left out and

  .. math:: \tilde K_{ij} = K_{ij} - \frac{K_{i.} + K_{.j}}{n-2}
            + \frac{K_{..}}{(n-1)(n-2)}, \qquad
            \frac{1}{n(n-3)} \sum_{i \ne j} \tilde K_{ij} \tilde L_{ij}.

  Kernels are evaluated twice, so that what is summed is centred: the closed form in
  sums of raw kernels loses in float32 all that is left of a weak dependence.

  Args:
    kernel_z: of one row of z and all.
    kernel_s: of one row of s and all.
    z_ND: rows, `centred`.
    s_NM: rows, `centred`.
    mask_N: row weights; fewer than 4 rows give 0 where unbiased.
    unbiased: which of the two.
    tile: rows at a time.

  Returns:
    `(K, L), (K, K), (L, L)`.

  References:
    Gretton et al. (2005), "Measuring Statistical Dependence with Hilbert-Schmidt
    Norms", def. 2.
    Song et al. (2012), "Feature Selection via Dependence Maximization", JMLR 13.
    Székely and Rizzo (2014), arXiv 1310.2926, def. 2: the centring.
  """
  n = mask_N.sum()
  lost = 2.0 if unbiased else 0.0
  line = jnp.maximum(n - lost, 1.0)
  plane = jnp.maximum(n - lost / 2, 1.0) * line
  pairs = jnp.maximum(n * (n - 3), 1.0) * (n > 3) if unbiased else jnp.square(n - 1)
  share = jnp.where(pairs > 0, 1 / jnp.maximum(pairs, 1.0), 0.0)

  def used(i: Array) -> Array:
    return mask_N * mask_N[i] * ((jnp.arange(len(mask_N)) != i) if unbiased else 1.0)

  @jax.checkpoint
  def total(i: Array, z_D: Array, s_M: Array) -> tuple[Array, Array]:
    use_N = used(i)
    return (use_N * kernel_z(z_D, z_ND)).sum(), (use_N * kernel_s(s_M, s_NM)).sum()

  k_N, l_N = over_rows(total, z_ND, s_NM, tile=tile)

  @jax.checkpoint
  def product(i: Array, z_D: Array, s_M: Array) -> tuple[Array, Array, Array]:
    use_N = used(i)
    z_N = kernel_z(z_D, z_ND) - (k_N[i] + k_N) / line + k_N.sum() / plane
    s_N = kernel_s(s_M, s_NM) - (l_N[i] + l_N) / line + l_N.sum() / plane
    return (use_N * z_N * s_N).sum(), (use_N * z_N**2).sum(), (use_N * s_N**2).sum()

  zs_N, zz_N, ss_N = over_rows(product, z_ND, s_NM, tile=tile)
  return zs_N.sum() * share, zz_N.sum() * share, ss_N.sum() * share


def correlation(
  zs: Float[Array, ""], zz: Float[Array, ""], ss: Float[Array, ""]
) -> Float[Array, ""]:
  """zs / sqrt(zz ss), 0 where either is constant."""
  varies: Bool[Array, ""] = (zz > 0) & (ss > 0)
  root = jnp.sqrt(jnp.where(varies, zz, 1.0)) * jnp.sqrt(jnp.where(varies, ss, 1.0))
  return jnp.where(varies, zs / root, 0.0)
