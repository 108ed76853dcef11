"""Quadratic LEACE: every class is carried to one mean and one covariance."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, PRNGKeyArray

from ovl.erasers import _slopes
from ovl.erasers._moments import Moments, merge, moments, scales
from ovl.types import BadInput, Eraser

SHRINKAGES = ("noise", "none")
STEPS, TOL = 100, 1e-4  # of the fixed point of a barycentre of three classes or more


def eraser(shrinkage: str = "noise") -> Eraser:
  """Gaussian optimal transport of each class to their Wasserstein barycentre.

      r(z) = m + A_k (z - m_k)  for a row of class k,  A_k C_k A_k = B

  with the class means m_k, covariances C_k and shares w_k, m = sum_k w_k m_k, and B the
  barycentre of the covariances under w: in closed form of two classes, else the fixed
  point B = T B T, T = sum_k w_k (map from B to C_k). A map from C = L L' to B = M M' is
  L^-T (U S U') L^-1 of the singular values L'M = U S V', so nothing is squared twice.
  All of it in units of the columns' standard deviations.

  As it reads s of the row it edits, moments that are noise *write* s into other rows, of
  a covariance D^2 / 4n_k nats. So means are those of `oracle_leace`, and covariances

      C_k <- (1 - a_k) C_k + a_k C,  a_k = (v / n_k) / |C_k - C|^2  (at most 1)

  with the pooled C, in coordinates that whiten it; v / n_k, the variance of |C_k|^2, is
  measured: it is what the two folds of a class differ by, so heavy tails count.

  Where there are many rows, mean and covariance are the same in every class: no linear
  predictor beats a constant, and no quadratic one (of a squared loss) either; with
  shrinkage "none" exactly, of the rows it was fitted on. It moves rows no further, in
  the mean square, than that takes if classes are normal.

  It does not stop readers of higher moments: a kurtosis, several clusters a class. The
  edit itself depends on s: who knows z and r(z) knows s. Twice is not once. A ridge of
  4 eps D mean variances is added for float32: differences of variance below it stay.

  Args:
    shrinkage: "noise", or "none": moments as they are, as published.

  Returns:
    An eraser of one attribute of classes; it needs the class of the rows it is applied
    to. Without shrinkage it refuses classes of fewer rows than columns.

  Raises:
    BadInput: an unknown shrinkage.

  References:
    Belrose et al. (2023), https://arxiv.org/abs/2306.03819, and the quadratic eraser of
    its code; Agueh and Carlier (2011), "Barycenters in the Wasserstein space"; Álvarez-
    Esteban et al. (2016), "A fixed-point approach to barycenters in Wasserstein space",
    https://arxiv.org/abs/1511.05355; Ledoit and Wolf (2004), "A well-conditioned
    estimator for large-dimensional covariance matrices", for the weight.
  """
  if shrinkage not in SHRINKAGES:
    raise BadInput(f"shrinkage={shrinkage!r}, expected one of {', '.join(SHRINKAGES)}")

  def solve(m_FK: Moments, key: PRNGKeyArray) -> dict[str, Array]:
    return _solve(m_FK, shrinkage)

  def refuse(rows_K: np.ndarray, width: int) -> str:
    few = int(rows_K[rows_K > 0].min())
    if shrinkage != "none" or few >= width:
      return ""
    return (
      f"shrinkage='none': a class has {few} rows for {width} columns: its covariance is "
      "singular; expected at least as many, or shrinkage='noise'"
    )

  return Eraser(
    solve,
    _apply,
    _of_classes,
    jax.vmap(jax.vmap(merge)),
    oracle=True,
    several=False,
    refuse=refuse,
  )


def _of_classes(z_ND: Array, s_NK: Array, mask_N: Array) -> Moments:
  """Moments of z in each fold of each class; leaves lead with `[2, K]`."""
  none_N0 = s_NK[:, :0]

  def one(part_N: Array) -> Moments:
    return jax.lax.map(lambda s_N: moments(z_ND, none_N0, part_N * s_N), s_NK.T)

  return jax.lax.map(one, _slopes.folds(z_ND, mask_N))


def _solve(m_FK: Moments, shrinkage: str) -> dict[str, Array]:
  with jax.default_matmul_precision("highest"):
    m_K = jax.vmap(_slopes.whole, 1)(m_FK)
    K, D = m_K.mean_D.shape
    share_K = m_K.n / jnp.maximum(m_K.n.sum(), 1.0)
    slope_DK, removed = _slopes.slope(jax.vmap(_joint)(m_FK), shrinkage)
    whole = _joint(m_K)
    mean_KD = whole.mean_D + (jnp.eye(K) - whole.mean_M) @ slope_DK.T
    if shrinkage == "none":
      mean_KD = m_K.mean_D
    sd_D = scales(whole)[0]
    square_DD = sd_D[:, None] * sd_D
    cov_KDD = m_K.zz_DD / jnp.maximum(m_K.n, 1.0)[:, None, None] / square_DD
    mean_DD = jnp.einsum("k,kde->de", share_K, cov_KDD)
    ridge = 4 * jnp.finfo(mean_DD.dtype).eps * jnp.trace(mean_DD)
    ridge_DD = jnp.where(ridge > 0, ridge, 1.0) * jnp.eye(D, dtype=mean_DD.dtype)
    cov_KDD, mean_DD = cov_KDD + ridge_DD, mean_DD + ridge_DD
    if shrinkage != "none":
      keep_K = 1 - _noise_share(m_FK, m_K, square_DD, cov_KDD, mean_DD)
      cov_KDD = mean_DD + keep_K[:, None, None] * (cov_KDD - mean_DD)
      removed += D * (keep_K > 0).any()
    root_KDD = jnp.linalg.cholesky(cov_KDD)
    if K == 2:
      step_DD = share_K[0] * jnp.eye(D) + share_K[1] * _transport(*root_KDD)
      centre_DD = step_DD @ cov_KDD[0] @ step_DD
    else:
      centre_DD = _barycentre(root_KDD, share_K, jnp.einsum("k,kde->de", share_K, cov_KDD))
    goal_DD = jnp.linalg.cholesky(centre_DD)
    map_KDD = jax.lax.map(lambda root_DD: _transport(root_DD, goal_DD), root_KDD)
    return {
      "mean_D": whole.mean_D,
      "mean_KD": mean_KD,
      "map_KDD": map_KDD / sd_D[:, None] * sd_D,
      "removed": removed.astype(jnp.int32),
      "dropped": jnp.int32(0),
    }


def _joint(m_K: Moments) -> Moments:
  """Moments of z and the one-hot columns of the class, from those of the classes."""
  n = m_K.n.sum()
  whole = _slopes.whole(m_K)
  share_K = m_K.n / jnp.maximum(n, 1.0)
  zs_DK = (m_K.n[:, None] * (m_K.mean_D - whole.mean_D)).T
  ss_KK = n * (jnp.diag(share_K) - share_K[:, None] * share_K)
  return whole._replace(mean_M=share_K, zs_DM=zs_DK, ss_MM=ss_KK)


def _noise_share(
  m_FK: Moments, m_K: Moments, square_DD: Array, cov_KDD: Array, mean_DD: Array
) -> Float[Array, " k"]:
  """Of |C_k - C|^2 in coordinates that whiten C, what is noise."""
  D = mean_DD.shape[0]
  root_DD = jnp.linalg.cholesky(mean_DD)

  def white(cov_DD: Array) -> Array:
    half_DD = solve_triangular(root_DD, cov_DD, lower=True)
    return solve_triangular(root_DD, half_DD.T, lower=True)

  def apart(m_F: Moments) -> tuple[Array, Array]:
    """n Var |C|^2 of a class by its folds, and how much that is to be trusted."""
    cov_FDD = m_F.zz_DD / jnp.maximum(m_F.n - 1, 1.0)[:, None, None] / square_DD
    weight = m_F.n.prod() / jnp.maximum(m_F.n.sum(), 1.0)
    weight = jnp.where(m_F.n.min() > 1, weight, 0.0)
    return weight * jnp.square(white(cov_FDD[0] - cov_FDD[1])).sum(), weight

  by_class = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), m_FK)
  noise_K, weight_K = jax.lax.map(apart, by_class)
  trust = weight_K.sum()
  normal = float(D * D + D)  # of normal rows; where no class has two folds
  noise = jnp.where(
    trust > 0, (noise_K * weight_K).sum() / jnp.where(trust > 0, trust, 1.0), normal
  )
  far_K = jax.lax.map(lambda cov_DD: jnp.square(white(cov_DD - mean_DD)).sum(), cov_KDD)
  noise_K = noise / jnp.maximum(m_K.n, 1.0)
  return jnp.where(far_K > noise_K, noise_K / jnp.where(far_K > 0, far_K, 1.0), 1.0)


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

    start_ND = jnp.broadcast_to(arrays["mean_D"], z_ND.shape).astype(z_ND.dtype)
    return jax.lax.scan(add, start_ND, (arrays["map_KDD"], s_NK.T))[0]
