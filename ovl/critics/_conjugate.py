"""Softmax and ridge regressions of many label vectors on the same rows, to their minimum.

Nonlinear conjugate gradients, preconditioned by one eigendecomposition of Z'Z for all of
them (of wide rows by its leading part, whose cost grows with N D and not with D^3: the
minimum is the same). An iteration is two matrix products that `vmap` over labels makes
wide, and label vectors leave the batch as they finish.

References:
  Böhning (1992), "Multinomial logistic regression algorithm",
  https://doi.org/10.1007/BF00048682: Z'Z bounds the Hessian of every label vector.
  Nocedal and Wright (2006), "Numerical Optimization", sec. 5.2 (PR+).
  Halko, Martinsson and Tropp (2011), "Finding structure with randomness",
  https://arxiv.org/abs/0909.4061, algorithm 4.4: the leading part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ovl.types import Kind

EXACT = 512  # up to this width all eigenvectors of Z'Z,
LEADING = 256  # and of wider rows so many


class Shared(NamedTuple):
  """What all label vectors use: the rows, and what is known of Z'Z in their columns.

  That is diag(size), and beyond the first of these along the columns of `turn`.
  """

  q_ND: Array
  size_E: Array  # E = D + 1: a diagonal, then the rows that are not padding
  ridge_E: Array  # 0 for the intercept, which is last
  turn_DR: Array  # R = 0 where the diagonal is all
  size_R: Array


class Labels(NamedTuple):
  """One label vector: minimise sum_i A(w q_i) - <w, target> + |w|^2_ridge / 2 + rest.

  The log partition A is logsumexp over classes, or l^2 / 2.
  """

  mask_N: Array
  classes_K: Array
  target_KE: Array
  rest: Array
  w_KE: Array  # where to start


class _Line(NamedTuple):
  """A search direction, and the gradient where it starts."""

  direction_KE: Array
  gradient_KE: Array
  norm: Array
  slope: Array


class _State(NamedTuple):
  w_KE: Array
  l_KN: Array
  line: _Line
  step: Array  # how far along the line w is
  active: Array


def forward(w_KE: Array, q_DN: Array) -> Array:
  """Logits `[K, N]`; the intercept is the last weight."""
  return w_KE[:, :-1] @ q_DN + w_KE[:, -1:]


def backward(l_KN: Array, q_ND: Array) -> Array:
  """Its adjoint: sums of l q' over rows, `[K, E]`."""
  return jnp.append(l_KN @ q_ND, l_KN.sum(1, keepdims=True), 1)


def shared_of(z_ND: Array) -> tuple[Shared, Array | None]:
  """Rows in a basis where Z'Z is easy to invert, and that basis; None: their own.

  All eigenvectors while they are few, else the leading ones of a random start, with one
  eigenvalue for what they leave.
  """
  N, D = z_ND.shape
  rows = jnp.maximum((z_ND != 0).any(1).sum(), 1).astype(z_ND.dtype)
  ridge_E = jnp.ones(D + 1, z_ND.dtype).at[-1].set(0)
  if D <= EXACT:
    size_D, turn_DD = jnp.linalg.eigh(z_ND.T @ z_ND)
    size_E = jnp.append(jnp.maximum(size_D, 0.0), rows)
    none = jnp.zeros((D, 0), z_ND.dtype), jnp.zeros(0, z_ND.dtype)
    return Shared(z_ND @ turn_DD, size_E, ridge_E, *none), turn_DD
  turn_DR = jax.random.normal(jax.random.key(0), (D, min(LEADING, N)), z_ND.dtype)
  for _ in range(2):
    turn_DR = jnp.linalg.qr(z_ND.T @ (z_ND @ turn_DR))[0]
  near_NR = z_ND @ turn_DR
  size_R, mix_RR = jnp.linalg.eigh(near_NR.T @ near_NR)
  rest = jnp.maximum(jnp.square(z_ND).sum() - size_R.sum(), 0.0) / (D - len(size_R))
  size_E = jnp.full(D + 1, rest, z_ND.dtype).at[-1].set(rows)
  return Shared(z_ND, size_E, ridge_E, turn_DR @ mix_RR, jnp.maximum(size_R, 0.0)), None


def _precondition(shared: Shared, curvature: Array, g_KE: Array) -> Array:
  """(curvature Z'Z + ridge)^-1 g, of what is known of Z'Z."""
  _, size_E, ridge_E, turn_DR, size_R = shared
  flat_E = 1 / (curvature * size_E + ridge_E)
  y_KE = g_KE * flat_E
  if not size_R.shape[0]:
    return y_KE
  more_R = 1 / (curvature * size_R + ridge_E[0]) - flat_E[0]
  along_KD = ((g_KE[:, :-1] @ turn_DR) * more_R) @ turn_DR.T
  return y_KE.at[:, :-1].add(along_KD)


# ---- log partitions ------------------------------------------------------------------


class _Partition(NamedTuple):
  """A log partition A of the logits."""

  at: Callable[..., tuple[Array, Array, Array]]  # sum over rows, gradient, mean curvature
  along: Callable[..., Array]  # second derivative along a direction, of that gradient


def _softmax(labels: Labels, l_KN: Array) -> tuple[Array, Array, Array]:
  top_N = l_KN.max(0)
  e_KN = jnp.exp(l_KN - top_N)
  total_N = e_KN.sum(0)
  p_KN = e_KN * (labels.mask_N / total_N)
  free = jnp.maximum(labels.classes_K.sum() - 1, 1)
  curvature = (labels.mask_N.sum() - jnp.square(p_KN).sum()) / free
  return (labels.mask_N * (jnp.log(total_N) + top_N)).sum(), p_KN, curvature


def _softmax_along(labels: Labels, p_KN: Array, d_KN: Array) -> Array:
  pd_KN = p_KN * d_KN
  return (pd_KN * d_KN).sum() - jnp.square(pd_KN.sum(0)).sum()


def _normal(labels: Labels, l_KN: Array) -> tuple[Array, Array, Array]:
  mean_KN = labels.mask_N * l_KN
  return 0.5 * (mean_KN * l_KN).sum(), mean_KN, labels.mask_N.sum()


def _normal_along(labels: Labels, _: Array, d_KN: Array) -> Array:
  return (labels.mask_N * jnp.square(d_KN)).sum()


SOFTMAX = _Partition(_softmax, _softmax_along)
NORMAL = _Partition(_normal, _normal_along)


# ---- iterations ----------------------------------------------------------------------


def _next_line(line: _Line, g_KE: Array, y_KE: Array, norm: Array) -> _Line:
  """Polak-Ribiere, restarted where it would not descend."""
  beta = (norm - (line.gradient_KE * y_KE).sum()) / line.norm
  direction_KE = jnp.maximum(beta, 0.0) * line.direction_KE - y_KE
  slope = (g_KE * direction_KE).sum()
  direction_KE = jnp.where(slope < 0, direction_KE, -y_KE)
  return _Line(direction_KE, g_KE, norm, jnp.where(slope < 0, slope, -norm))


def _advance(
  discrete: bool, tol: float, shared: Shared, q_DN: Array, labels: Labels, state: _State
) -> _State:
  """One iteration: a new line where the last one was not overshot, and a step along it.

  The preconditioner is c Z'Z + ridge, c the mean curvature of the rows as they are now.
  The step along a direction is Newton's, so this is one product with the rows forward
  and one back.
  """
  partition = SOFTMAX if discrete else NORMAL
  q_ND, size_E, ridge_E = shared[:3]
  w_KE, l_KN, line, step, _ = state
  potential, mean_KN, curvature = partition.at(labels, l_KN)
  ridged_KE = ridge_E * w_KE
  linear = (w_KE * (labels.target_KE - 0.5 * ridged_KE)).sum()
  g_KE = backward(mean_KN, q_ND) - labels.target_KE + ridged_KE
  if discrete:
    # It sums to 0 over classes, and nothing curves that way: drop what rounding left.
    classes = jnp.maximum(labels.classes_K.sum(), 1)
    g_KE -= labels.classes_K[:, None] * (g_KE.sum(0) / classes)
  y_KE = _precondition(shared, jnp.maximum(curvature / size_E[-1], 1e-6), g_KE)
  norm = (g_KE * y_KE).sum()
  fresh = _next_line(line, g_KE, y_KE, norm)

  # A Newton step that ended steeper uphill than it began downhill went too far: stay
  # on its line and go back by the secant, which convexity keeps inside the bracket.
  end = (g_KE * line.direction_KE).sum()
  over = end > -line.slope
  back = -step * end / jnp.where(over, end - line.slope, 1.0)
  line = jax.tree.map(lambda old, new: jnp.where(over, old, new), line, fresh)
  d_KN = forward(line.direction_KE, q_DN)
  bent = partition.along(labels, mean_KN, d_KN)
  bent = bent + (ridge_E * jnp.square(line.direction_KE)).sum()
  bent = jnp.maximum(bent, 1e-30 - 1e-3 * line.slope)  # the step is 1000 at most
  t = jnp.where(over, back, -line.slope / bent)
  step = jnp.where(over, step, 0.0) + t

  # Half the squared norm is the gap to the minimum, were the preconditioner exact.
  active = norm > 2 * tol * (potential - linear + labels.rest + 1)
  new = _State(w_KE + t * line.direction_KE, l_KN + t * d_KN, line, step, active)
  return jax.tree.map(lambda old, new: jnp.where(state.active, new, old), state, new)


def solver(attribute: Kind, tol: float, steps: int) -> Callable[..., Array]:
  """`(shared, labels) -> w_KE` at the minimum; under `vmap` over labels one batch.

  Args:
    attribute: "discrete" (softmax) or "continuous" (least squares).
    tol: how near the minimum to stop, as a share of the objective (approximately).
    steps: at most so many iterations.
  """
  discrete = attribute == "discrete"

  def sweep(shared: Shared, labels_A: Labels) -> Array:
    q_DN = shared.q_ND.T  # once: not in every iteration

    def move(labels: Labels, state: _State) -> _State:
      return _advance(discrete, tol, shared, q_DN, labels, state)

    def start(w_KE: Array) -> _State:
      zero_KE = jnp.zeros_like(w_KE)
      line = _Line(zero_KE, zero_KE, jnp.float32(1), jnp.float32(-jnp.inf))
      return _State(w_KE, forward(w_KE, q_DN), line, jnp.float32(0), jnp.array(True))

    def run(i: Array, labels_A: Labels, state_A: _State) -> Array:
      """Until half have finished; then the other half alone."""
      half = len(state_A.active) // 2 if len(state_A.active) > 2 else 0
      i, state_A = jax.lax.while_loop(
        lambda c: (c[0] < steps) & (c[1].active.sum() > half),
        lambda c: (c[0] + 1, jax.vmap(move)(labels_A, c[1])),
        (i, state_A),
      )
      if not half:
        return state_A.w_KE
      late_A = jnp.argsort(~state_A.active)[:half]
      late = jax.tree.map(lambda x: x[late_A], (labels_A, state_A))
      return state_A.w_KE.at[late_A].set(run(i, *late))

    return run(jnp.int32(0), labels_A, jax.vmap(start)(labels_A.w_KE))

  def alone(shared: Shared, labels: Labels) -> Array:
    return sweep(shared, jax.tree.map(lambda x: x[None], labels))[0]

  solve = jax.custom_batching.custom_vmap(alone)

  @solve.def_vmap
  def _(size: int, batched: list, shared: Shared, labels: Labels) -> tuple[Array, bool]:
    if any(batched[0]):  # every lane has a representation of its own
      axes = jax.tree.map(lambda b: 0 if b else None, tuple(batched))
      return jax.vmap(alone, axes)(shared, labels), True
    labels_A = jax.tree.map(
      lambda x, b: x if b else jnp.broadcast_to(x, (size, *x.shape)), labels, batched[1]
    )
    return sweep(shared, labels_A), True

  return solve
