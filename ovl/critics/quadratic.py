"""Quadratic discriminant: a normal density a class, its covariance shrunk on stop."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, PRNGKeyArray

from ovl import nn
from ovl.critics._statistic import reads
from ovl.types import Critic, Kind, Params, View


def critic(
  attribute: Kind = "discrete",
  diagonal: tuple[float, ...] = (0.0, 0.3, 0.7, 1.0),
  pooled: tuple[float, ...] = (0.0, 0.5, 1.0),
) -> Critic:
  r"""I(Z;S) >= H(S) - E[-log q(s|z)], q the posterior of normal classes.

  .. math:: \Sigma_k = (1-b) D_a(S_k) + b D_a(\bar S), \quad
     D_a(S) = (1-a) S + a\, diag(S)

  a, b are those with the lowest cross-entropy on `stop`: (0, 0) is QDA, b = 1 LDA,
  a = 1 naive Bayes. A generative q scored on fresh rows is still a lower bound.

  Args:
    attribute: "discrete".
    diagonal: shares a of the diagonal.
    pooled: shares b of the covariance pooled over classes.

  Returns:
    A critic in nats, a lower bound on rows it was not trained on.

  References:
    Friedman (1989), "Regularized Discriminant Analysis", JASA 84(405), eq. 16-18.
  """
  reads("quadratic", attribute, ("discrete",))
  grid = jnp.asarray(list(itertools.product(diagonal, pooled)), jnp.float32)

  def init(key: PRNGKeyArray, view: View) -> Params:
    del key
    K, D = view.classes_K.shape[0], view.z_ND.shape[1]
    root_KDD = jnp.broadcast_to(jnp.eye(D), (K, D, D))
    return jnp.zeros((K, D)), root_KDD, jnp.zeros(K)

  def logits(params: Params, view: View) -> Float[Array, "n k"]:
    def one(mean_D: Array, root_DD: Array, offset: Array) -> Array:
      white_DN = solve_triangular(root_DD, (view.z_ND - mean_D).T, lower=True)
      return offset - 0.5 * jnp.square(white_DN).sum(0)

    with jax.default_matmul_precision("highest"):
      return nn.mask_logits(jax.vmap(one, (0, 0, 0), 1)(*params), view.classes_K)

  def error(params: Params, view: View) -> Float[Array, ""]:
    return nn.cross_entropy(logits(params, view), view, attribute)

  def fit(key: PRNGKeyArray, train: View, stop: View) -> Params:
    del key
    with jax.default_matmul_precision("highest"):
      mean_KD, each_KDD, pooled_DD, prior_K = _moments(train)

      def shrunk(ab: Array) -> Params:
        a, b = ab
        cov_KDD = (1 - b) * each_KDD + b * pooled_DD
        cov_KDD = jnp.where(
          jnp.eye(cov_KDD.shape[-1], dtype=bool), cov_KDD, (1 - a) * cov_KDD
        )
        root_KDD, log_det_K = _roots(cov_KDD, train.features_D)
        return mean_KD, root_KDD, prior_K - 0.5 * log_det_K

      cost_G = jax.lax.map(lambda ab: error(shrunk(ab), stop), grid)
      return shrunk(grid[jnp.argmin(jnp.where(jnp.isnan(cost_G), jnp.inf, cost_G))])

  def loss(params: Params, view: View, key: PRNGKeyArray) -> Float[Array, ""]:
    del key
    return error(params, view)

  def value(params: Params, view: View, key: PRNGKeyArray) -> Float[Array, ""]:
    del key
    return nn.entropy(view, attribute) - error(params, view)

  return Critic(
    init=init,
    loss=loss,
    value=value,
    logits=logits,
    fit=fit,
    uses=frozenset({"audit"}),
    unit="nats",
    bound="lower",
    attribute=attribute,
  )


def _moments(train: View) -> tuple[Array, Array, Array, Array]:
  """Means and covariances of the classes, that of all, and log shares."""
  K = train.classes_K.shape[0]
  hot_NK = (train.s_N[:, None] == jnp.arange(K)) * train.mask_N[:, None]
  count_K = hot_NK.sum(0)
  mean_KD = (hot_NK.T @ train.z_ND) / jnp.maximum(count_K, 1)[:, None]

  def scatter(w_N: Array, mean_D: Array) -> Array:
    c_ND = (train.z_ND - mean_D) * w_N[:, None]
    return c_ND.T @ (train.z_ND - mean_D)

  sum_KDD = jax.lax.map(lambda x: scatter(*x), (hot_NK.T, mean_KD))
  pooled_DD = sum_KDD.sum(0) / jnp.maximum(count_K.sum(), 1)
  # One row's worth of the pooled covariance keeps a class without rows finite.
  each_KDD = (sum_KDD + pooled_DD) / (count_K + 1)[:, None, None]
  prior_K = jnp.log((count_K + 0.5) / (count_K.sum() + 0.5 * K))
  return mean_KD, each_KDD, pooled_DD, prior_K


def _roots(cov_KDD: Array, features_D: Array) -> tuple[Array, Array]:
  """Cholesky roots of covariances and their log determinants; padding has variance 1."""
  size_K = jnp.trace(cov_KDD, axis1=1, axis2=2) / jnp.maximum(features_D.sum(), 1)
  floor_K = 1e-5 * size_K + 1e-8
  gap_D = jnp.where(features_D, 0.0, 1.0)
  add_KD = floor_K[:, None] + gap_D
  root_KDD = jnp.linalg.cholesky(cov_KDD + jax.vmap(jnp.diag)(add_KD))
  return root_KDD, 2 * jnp.log(jnp.diagonal(root_KDD, axis1=1, axis2=2)).sum(1)
