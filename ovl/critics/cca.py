"""Canonical correlations: I(Z;S) were the two jointly normal, with a log-ratio a row."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ovl import kernels
from ovl.critics._statistic import columns, reads
from ovl.types import Critic, Kind, Params, Score, View


def _whitener(x_ND: Array, n: Array, tol: float) -> Array:
  """W with (XW)'XW / n the identity on what varies and 0 on the rest."""
  size_D, turn_DD = jnp.linalg.eigh(x_ND.T @ x_ND / n)
  keep_D = size_D > tol * jnp.maximum(size_D[-1], 1e-30)
  return turn_DD * jnp.where(keep_D, jnp.where(keep_D, size_D, 1.0) ** -0.5, 0.0)


def critic(attribute: Kind = "continuous", tol: float = 1e-5) -> Critic:
  r"""-1/2 sum log(1 - r_j^2) over canonical correlations r, as a mean over rows.

  The score of a row is the log-ratio of the normal densities that `fit` found,

  .. math:: \log \frac{N(z, s)}{N(z) N(s)} = \sum_j -\tfrac12 \log(1 - r_j^2)
            + \frac{2 r_j a_j b_j - r_j^2 (a_j^2 + b_j^2)}{2 (1 - r_j^2)}

  with a and b the canonical variates. On the rows of the fit its mean is the closed
  form; on fresh rows it is a lower bound where S is normal, as scores of one quantity
  are. Of a vector it is an estimate: where S is not normal it may lie above I(Z;S).

  Args:
    attribute: "continuous" or "vector".
    tol: directions with less than this share of the largest variance (of standardised
      columns) are dropped: float32 does not resolve them.

  Returns:
    A critic in nats; its params are `(mean_z_D, to_a_DJ, mean_s_M, to_b_MJ, r_J)`.

  References:
    Kay (1992), "Feature discovery under contextual supervision using mutual
    information", IJCNN: canonical correlations and I.
    Barber and Agakov (2003), "The IM Algorithm", eq. 3: the bound.
  """
  reads("cca", attribute, ("continuous", "vector"))

  def init(key: PRNGKeyArray, view: View) -> Params:
    del key
    d, m = view.z_ND.shape[1], columns(view).shape[1]
    j = min(d, m)
    return jnp.zeros(d), jnp.zeros((d, j)), jnp.zeros(m), jnp.zeros((m, j)), jnp.zeros(j)

  def fit(key: PRNGKeyArray, train: View, stop: View) -> Params:
    del key, stop
    n = jnp.maximum(train.mask_N.sum(), 1.0)

    def block(x_ND: Array) -> tuple[Array, Array, Array]:
      mean_D, scale_D = kernels.moments(x_ND, train.mask_N)
      x_ND = kernels.standardised(x_ND, train.mask_N)
      white_DD = _whitener(x_ND, n, tol)
      return mean_D, white_DD / scale_D[:, None], x_ND @ white_DD

    with jax.default_matmul_precision("highest"):
      mean_z_D, white_DD, u_ND = block(train.z_ND)
      mean_s_M, white_MM, v_NM = block(columns(train))
      left_DJ, r_J, right_JM = jnp.linalg.svd(u_ND.T @ v_NM / n, full_matrices=False)
      r_J = jnp.minimum(r_J, 1 - 1e-6)
      return mean_z_D, white_DD @ left_DJ, mean_s_M, white_MM @ right_JM.T, r_J

  def sides(params: Params, view: View) -> tuple[Array, Array]:
    mean_z_D, to_a_DJ, mean_s_M, to_b_MJ, _ = params
    with jax.default_matmul_precision("highest"):
      return (view.z_ND - mean_z_D) @ to_a_DJ, (columns(view) - mean_s_M) @ to_b_MJ

  def join(params: Params, a_NJ: Array, b_NJ: Array) -> Float[Array, " n"]:
    r_J = params[-1]
    rest_J = 1 - jnp.square(r_J)
    bend_NJ = 2 * r_J * a_NJ * b_NJ - jnp.square(r_J) * (a_NJ**2 + b_NJ**2)
    return (0.5 * bend_NJ / rest_J - 0.5 * jnp.log(rest_J)).sum(1)

  score = Score(sides, join)

  def value(params: Params, view: View, key: PRNGKeyArray) -> Float[Array, ""]:
    del key
    score_N = jnp.where(view.mask_N > 0, score(params, view), 0.0)
    return score_N.sum() / jnp.maximum(view.mask_N.sum(), 1.0)

  return Critic(
    init=init,
    loss=lambda params, view, key: -value(params, view, key),
    value=value,
    logits=None,
    fit=fit,
    uses=frozenset({"audit"}),
    unit="nats",
    bound="lower" if attribute == "continuous" else "estimate",
    attribute=attribute,
    score=score,
    normalised=True,
  )
