"""Multinomial logistic regression, convex and full-batch, for erasers that need one."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

from ovl.erasers import _affine


class Rows(NamedTuple):
  """What is read, and of whom.

  Attributes:
    z_ND: centred; 0 where masked.
    target_NM: shares of the columns of s: one-hot, or spread over several attributes.
    weight_N: of the mean over rows: 1/n, 0 where masked.
    start_M: the log shares of the columns: the constant reader.
  """

  z_ND: Float[Array, "n d"]
  target_NM: Float[Array, "n m"]
  weight_N: Float[Array, " n"]
  start_M: Float[Array, " m"]


def rows(z_ND: Array, s_NM: Array, mask_N: Array, mean_D: Array) -> Rows:
  """Centred rows and their targets."""
  known_N1 = mask_N[:, None] > 0
  total_N1 = s_NM.sum(1, keepdims=True)
  target_NM = jnp.where(known_N1, s_NM / jnp.where(total_N1 > 0, total_N1, 1.0), 0.0)
  weight_N = mask_N / jnp.maximum(mask_N.sum(), 1.0)
  share_M = weight_N @ target_NM
  # A column nobody has gets a logit no softmax sees.
  start_M = jnp.where(share_M > 0, jnp.log(jnp.where(share_M > 0, share_M, 1.0)), -1e9)
  return Rows(jnp.where(known_N1, z_ND - mean_D, 0.0), target_NM, weight_N, start_M)


def constant(r: Rows) -> Float[Array, ""]:
  """The cross-entropy of the constant reader, nats; in closed form.

  XLA may fold a matrix of literal zeros into a product whose value is then undefined.
  """
  share_M = r.weight_N @ r.target_NM
  return -jnp.where(share_M > 0, share_M * r.start_M, 0.0).sum()


def cross_entropy(w_DM: Array, b_M: Array, r: Rows) -> Float[Array, ""]:
  """Mean of -log q(s|z), nats."""
  log_NM = jax.nn.log_softmax(r.z_ND @ w_DM + b_M)
  return -(r.weight_N[:, None] * r.target_NM * log_NM).sum()


def slope(w_DM: Array, b_M: Array, r: Rows) -> tuple[Array, Array]:
  """The gradient of the cross-entropy in both."""
  p_NM = jax.nn.softmax(r.z_ND @ w_DM + b_M)
  miss_NM = r.weight_N[:, None] * (p_NM - r.target_NM)
  return r.z_ND.T @ miss_NM, miss_NM.sum(0)


def fit(
  r: Rows, zz_DD: Array, n: Array, steps: int, ridge: float = 1e-4
) -> tuple[Float[Array, "d m"], Float[Array, " m"]]:
  """Weights `[D, M]` and intercepts by Nesterov's accelerated gradient.

  In whitened coordinates v = L'w the curvature is at most 1/2 (Böhning, 1992), so that
  steps of 2 converge whatever the columns look like.

  Args:
    r: the rows, in units of the standard deviations that columns had before they were
      projected: against that, what a projection left of them by rounding is nothing.
    zz_DD: their sum of products.
    n: how many there are.
    steps: of the gradient.
    ridge: on the whitened weights, so that classes without overlap have an optimum.
  """
  D = zz_DD.shape[0]
  root_DD = _affine.root(zz_DD, n, jnp.ones_like(r.z_ND, shape=(D,)))

  def back(v_DM: Array) -> Array:
    return solve_triangular(root_DD, v_DM, lower=True, trans="T")

  def step(i: Array, state: tuple) -> tuple:
    v, v_before, b, b_before = state
    speed = (i / (i + 3.0)).astype(v.dtype)
    v_ahead, b_ahead = v + speed * (v - v_before), b + speed * (b - b_before)
    g_DM, g_M = slope(back(v_ahead), b_ahead, r)
    g_DM = solve_triangular(root_DD, g_DM, lower=True)
    return v_ahead - 2 * (g_DM + ridge * v_ahead), v, b_ahead - 2 * g_M, b

  v_DM = jnp.zeros_like(r.z_ND, shape=(D, r.start_M.shape[0]))
  state = (v_DM, v_DM, r.start_M, r.start_M)
  v_DM, _, b_M, _ = jax.lax.fori_loop(0, steps, step, state)
  return back(v_DM), b_M
