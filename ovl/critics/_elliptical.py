"""Elliptical copulas: log-ratios in closed form, blind to monotone changes of a column.

Each column becomes its rank among the fitted rows, the ranks become quantiles of a
Student t with nu degrees of freedom (nu = inf: normal), and the joint of all columns a
multivariate t with dispersion R. The columns' own densities cancel in

  log c(z, s) - log c(z) - log c(s) = log t(x; R, nu) - log t(x_z; R_z, nu)
                                     - log t(x_s; R_s, nu).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import gammaln
from jaxtyping import Array, Float, PRNGKeyArray
from scipy import stats

from ovl import kernels
from ovl.critics._statistic import columns, reads
from ovl.types import Critic, Kind, Params, Score, View

_ITERATIONS = 10
_KNOTS = np.linspace(0.0, 6.0, 1201)  # of the table of quantiles


class Fitted(NamedTuple):
  """Ranks' reference, the dispersion, and which of the degrees of freedom was chosen."""

  ordered_NE: Array  # the fitted rows, sorted column by column; masked rows are last
  rows: Array
  dispersion_EE: Array
  choice: Array


class _Choices(NamedTuple):
  """What the stop part chooses from: every degree of freedom with every shrinkage."""

  dof_F: Array
  table_FQ: Array  # asinh of t quantiles at normal quantiles
  shrink_A: Array

  def of(self, choice: Array) -> tuple[Array, Array, Array]:
    """nu, its table and the shrinkage of a choice."""
    f, a = choice // len(self.shrink_A), choice % len(self.shrink_A)
    return self.dof_F[f], self.table_FQ[f], self.shrink_A[a]


def _choices(dof: tuple[float, ...], shrink: tuple[float, ...]) -> _Choices:
  """The tables are smooth, so linear interpolation serves."""
  tail = stats.norm.sf(_KNOTS)
  rows = [_KNOTS if np.isinf(nu) else stats.t.isf(tail, nu) for nu in dof]
  table_FQ = np.arcsinh(np.stack(rows)).astype(np.float32)
  numbers = (jnp.asarray(x, jnp.float32) for x in (dof, shrink))
  dof_F, shrink_A = numbers
  return _Choices(dof_F, jnp.asarray(table_FQ), shrink_A)


# ---- the columns ---------------------------------------------------------------------


def _joined(view: View) -> tuple[Array, Array, int]:
  """z and s side by side, which of their columns exist, and the width of z."""
  s_NM = columns(view)
  there = view.classes_K if s_NM.shape[1] == view.classes_K.shape[0] else jnp.ones(1, bool)
  return (
    jnp.concatenate([view.z_ND, s_NM], 1),
    jnp.concatenate([view.features_D, there]),
    view.z_ND.shape[1],
  )


def _student(scores_NE: Array, table_Q: Array, there_E: Array) -> Array:
  """Normal scores -> those of a t."""
  size = jnp.interp(jnp.abs(scores_NE), _KNOTS.astype(np.float32), table_Q)
  return jnp.sign(scores_NE) * jnp.sinh(size) * there_E


# ---- the multivariate t --------------------------------------------------------------


def _log_t(square_N: Array, log_det: Array, width: Array, nu: Array) -> Array:
  """Log density of a t from its squared Mahalanobis norm; nu may be inf."""
  safe = jnp.where(jnp.isinf(nu), 4.0, nu)
  student_N = (
    gammaln((safe + width) / 2)
    - gammaln(safe / 2)
    - 0.5 * width * jnp.log(safe * jnp.pi)
    - 0.5 * (safe + width) * jnp.log1p(square_N / safe)
  )
  normal_N = -0.5 * (square_N + width * jnp.log(2 * jnp.pi))
  return jnp.where(jnp.isinf(nu), normal_N, student_N) - 0.5 * log_det


def _log_det(root_EE: Array) -> Array:
  return 2 * jnp.log(jnp.diagonal(root_EE)).sum()


def _solve(root_EE: Array, x_NE: Array) -> Array:
  """x L^-T, L lower triangular."""
  return solve_triangular(root_EE, x_NE.T, lower=True).T


def _root(r_EE: Array) -> Array:
  return jnp.linalg.cholesky(r_EE + 1e-5 * jnp.eye(len(r_EE)))


def _correlation(cov_EE: Array, there_E: Array) -> Array:
  sd_E = jnp.sqrt(jnp.maximum(jnp.diagonal(cov_EE), 1e-12))
  alive = there_E[:, None] & there_E
  return jnp.where(alive, cov_EE / jnp.outer(sd_E, sd_E), 0.0) * (
    1 - jnp.eye(len(sd_E))
  ) + jnp.eye(len(sd_E))


def _likelihood(x_NE: Array, r_EE: Array, there_E: Array, nu: Array) -> Array:
  """Log density of the copula: the joint's, less that of every column."""
  root_EE, width = _root(r_EE), there_E.sum()
  square_N = jnp.square(_solve(root_EE, x_NE)).sum(1)
  each_NE = _log_t(jnp.square(x_NE), jnp.float32(0), jnp.float32(1), nu)
  joint_N = _log_t(square_N, _log_det(root_EE), width, nu)
  return joint_N - (each_NE * there_E).sum(1)


def _dispersion(
  x_NE: Array, mask_N: Array, there_E: Array, nu: Array, start_EE: Array
) -> Array:
  """The maximum-likelihood one, by EM from a start."""
  width = there_E.sum()
  safe = jnp.where(jnp.isinf(nu), 1e6, nu)

  def step(_: Array, r_EE: Array) -> Array:
    white_NE = _solve(_root(r_EE), x_NE)
    weight_N = mask_N * (safe + width) / (safe + jnp.square(white_NE).sum(1))
    return _correlation((x_NE * weight_N[:, None]).T @ x_NE, there_E)

  return jax.lax.fori_loop(0, jnp.where(jnp.isinf(nu), 1, _ITERATIONS), step, start_EE)


# ---- the critic ----------------------------------------------------------------------


def _fit(choices: _Choices, train: View, stop: View) -> Fitted:
  x_NE, there_E, _ = _joined(train)
  hidden = jnp.where(train.mask_N[:, None] > 0, x_NE, jnp.inf)
  ordered_NE, rows = jnp.sort(hidden, 0), train.mask_N.sum()
  scores_NE = kernels.normal_scores(ordered_NE, rows, x_NE) * train.mask_N[:, None]
  stop_NE = kernels.normal_scores(ordered_NE, rows, _joined(stop)[0])
  start_EE = _correlation(scores_NE.T @ scores_NE, there_E)
  one_EE = jnp.eye(len(start_EE))

  def one(f: Array) -> tuple[Array, Array]:
    """Of one nu: the dispersion, and the held-out mean at every shrinkage."""
    nu, table_Q = choices.dof_F[f], choices.table_FQ[f]
    x_NE = _student(scores_NE, table_Q, there_E)
    r_EE = _dispersion(x_NE, train.mask_N, there_E, nu, start_EE)
    held_NE = _student(stop_NE, table_Q, there_E)

    def value(a: Array) -> Array:
      each_N = _likelihood(held_NE, (1 - a) * r_EE + a * one_EE, there_E, nu)
      return (each_N * stop.mask_N).sum() / jnp.maximum(stop.mask_N.sum(), 1)

    return r_EE, jax.lax.map(value, choices.shrink_A)

  r_FEE, value_FA = jax.lax.map(one, jnp.arange(len(choices.dof_F)))
  choice = jnp.argmax(value_FA.ravel())
  a = choices.of(choice)[2]
  r_EE = r_FEE[choice // len(choices.shrink_A)]
  return Fitted(ordered_NE, rows, (1 - a) * r_EE + a * one_EE, choice)


def _sides(choices: _Choices, params: Fitted, view: View) -> tuple[Params, Params]:
  """With R = LL' in blocks, |L^-1 x|^2 = |a|^2 + |b - c|^2, a and c of z, b of s."""
  x_NE, there_E, D = _joined(view)
  nu, table_Q, _ = choices.of(params.choice)
  scores_NE = kernels.normal_scores(params.ordered_NE, params.rows, x_NE)
  x_NE = _student(scores_NE, table_Q, there_E)
  root_EE = _root(params.dispersion_EE)
  a_ND = _solve(root_EE[:D, :D], x_NE[:, :D])
  corner_MM = root_EE[D:, D:]
  c_NM = _solve(corner_MM, a_ND @ root_EE[D:, :D].T)
  b_NM = _solve(corner_MM, x_NE[:, D:])
  alone_MM = _root(params.dispersion_EE[D:, D:])
  own_N = jnp.square(_solve(alone_MM, x_NE[:, D:])).sum(1)
  log_s_N = _log_t(own_N, _log_det(alone_MM), there_E[D:].sum(), nu)
  square_N = jnp.square(a_ND).sum(1)
  log_z_N = _log_t(square_N, _log_det(root_EE[:D, :D]), there_E[:D].sum(), nu)
  per_row = jnp.ones(len(x_NE))
  width, log_det = there_E.sum(), _log_det(root_EE)
  of_z = square_N, c_NM, log_z_N, width * per_row, log_det * per_row
  return of_z, (b_NM, log_s_N)


def elliptical(
  name: str, attribute: Kind, dof: tuple[float, ...], shrink: tuple[float, ...]
) -> Critic:
  """A copula critic over a grid of degrees of freedom and shrinkages.

  The dispersion is the maximum-likelihood one for each nu (10 steps of EM from the
  correlation of normal scores), shrunk towards the identity. The copula's likelihood on
  stop chooses: a log-ratio is no proper score, as bad margins raise it.
  """
  reads(name, attribute, ("vector", "continuous"))
  choices = _choices(dof, shrink)

  def fit(key: PRNGKeyArray, train: View, stop: View) -> Params:
    del key
    with jax.default_matmul_precision("highest"):
      return _fit(choices, train, stop)

  def sides(params: Params, view: View) -> tuple[Params, Params]:
    with jax.default_matmul_precision("highest"):
      return _sides(choices, params, view)

  def join(params: Params, of_z: Params, of_s: Params) -> Float[Array, " n"]:
    square_N, c_NM, log_z_N, width_N, log_det_N = of_z
    b_NM, log_s_N = of_s
    square_N = square_N + jnp.square(b_NM - c_NM).sum(1)
    nu = choices.of(params.choice)[0]
    return _log_t(square_N, log_det_N, width_N, nu) - log_z_N - log_s_N

  score = Score(sides, join)

  def value(params: Params, view: View, key: PRNGKeyArray) -> Float[Array, ""]:
    del key
    total = jnp.maximum(view.mask_N.sum(), 1.0)
    return (score(params, view) * view.mask_N).sum() / total

  def init(key: PRNGKeyArray, view: View) -> Params:
    del key
    x_NE, there_E, _ = _joined(view)
    return Fitted(
      jnp.zeros_like(x_NE), view.mask_N.sum(), jnp.eye(len(there_E)), jnp.int32(0)
    )

  return Critic(
    init=init,
    loss=lambda params, view, key: -value(params, view, key),
    value=value,
    logits=None,
    fit=fit,
    uses=frozenset({"audit"}),
    unit="nats",
    bound="lower",
    attribute=attribute,
    score=score,
    normalised=True,
  )
