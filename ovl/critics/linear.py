"""The linear probe: softmax regression, or ridge regression with a Gaussian head.

Many label vectors are read from one representation, so the solver shares: one
eigendecomposition of Z'Z (of wide rows its leading part, whose cost grows with N D and not
with D^3: the minimum is the same) serves all of them and every strength of the ridge, an
iteration is two matrix products that `vmap` over labels makes wide, and label vectors
leave the batch as they finish.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ovl import nn
from ovl.critics._statistic import reads
from ovl.types import Critic, Kind, Params, View

EXACT = 512  # up to this width all eigenvectors of Z'Z,
LEADING = 256  # and of wider rows so many


class _Shared(NamedTuple):
  """What all label vectors use: the rows, and what is known of Z'Z in their columns.

  That is diag(size), and beyond the first of these along the columns of `turn`.
  """

  q_ND: Array
  size_E: Array  # E = D + 1: a diagonal, then the rows that are not padding
  ridge_E: Array  # 0 for the intercept, which is last
  turn_DR: Array  # R = 0 where the diagonal is all
  size_R: Array


class _Lane(NamedTuple):
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

  way_KE: Array
  gradient_KE: Array
  norm: Array
  slope: Array


class _State(NamedTuple):
  w_KE: Array
  l_KN: Array
  line: _Line
  reach: Array  # how far along the line w is
  open: Array


def _forward(w_KE: Array, q_DN: Array) -> Array:
  return w_KE[:, :-1] @ q_DN + w_KE[:, -1:]


def _backward(l_KN: Array, q_ND: Array) -> Array:
  return jnp.append(l_KN @ q_ND, l_KN.sum(1, keepdims=True), 1)


def _straighten(shared: _Shared, bend: Array, g_KE: Array) -> Array:
  """(bend Z'Z + ridge)^-1 g, of what is known of Z'Z."""
  _, size_E, ridge_E, turn_DR, size_R = shared
  flat_E = 1 / (bend * size_E + ridge_E)
  y_KE = g_KE * flat_E
  if not size_R.shape[0]:
    return y_KE
  more_R = 1 / (bend * size_R + ridge_E[0]) - flat_E[0]
  along_KD = ((g_KE[:, :-1] @ turn_DR) * more_R) @ turn_DR.T
  return y_KE.at[:, :-1].add(along_KD)


def _softmax(lane: _Lane, l_KN: Array) -> tuple[Array, Array, Array]:
  """Sum of A over rows, its gradient, and its curvature a class."""
  top_N = l_KN.max(0)
  e_KN = jnp.exp(l_KN - top_N)
  total_N = e_KN.sum(0)
  p_KN = e_KN * (lane.mask_N / total_N)
  free = jnp.maximum(lane.classes_K.sum() - 1, 1)
  bend = (lane.mask_N.sum() - jnp.square(p_KN).sum()) / free
  return (lane.mask_N * (jnp.log(total_N) + top_N)).sum(), p_KN, bend


def _softmax_along(lane: _Lane, p_KN: Array, d_KN: Array) -> Array:
  """Second derivative of A along d."""
  pd_KN = p_KN * d_KN
  return (pd_KN * d_KN).sum() - jnp.square(pd_KN.sum(0)).sum()


def _normal(lane: _Lane, l_KN: Array) -> tuple[Array, Array, Array]:
  mean_KN = lane.mask_N * l_KN
  return 0.5 * (mean_KN * l_KN).sum(), mean_KN, lane.mask_N.sum()


def _normal_along(lane: _Lane, _: Array, d_KN: Array) -> Array:
  return (lane.mask_N * jnp.square(d_KN)).sum()


def _solver(attribute: Kind, tol: float, steps: int) -> Callable[..., Array]:
  """`(shared, lane) -> w_KE`: conjugate gradients, preconditioned by c Z'Z + ridge.

  That is diagonal here for every c: c is the mean curvature of the rows as they are
  now. The step along a direction is Newton's, so an iteration is one product with the
  rows forward and one back.
  """
  discrete = attribute == "discrete"
  potential_of = _softmax if discrete else _normal
  along = _softmax_along if discrete else _normal_along

  def step(shared: _Shared, q_DN: Array, lane: _Lane, state: _State) -> _State:
    q_ND, size_E, ridge_E = shared[:3]
    w_KE, l_KN, line, reach, _ = state
    potential, mean_KN, bend = potential_of(lane, l_KN)
    ridged_KE = ridge_E * w_KE
    linear = (w_KE * (lane.target_KE - 0.5 * ridged_KE)).sum()
    g_KE = _backward(mean_KN, q_ND) - lane.target_KE + ridged_KE
    if discrete:
      # It sums to 0 over classes, and nothing curves that way: drop what rounding left.
      classes = jnp.maximum(lane.classes_K.sum(), 1)
      g_KE -= lane.classes_K[:, None] * (g_KE.sum(0) / classes)
    y_KE = _straighten(shared, jnp.maximum(bend / size_E[-1], 1e-6), g_KE)
    norm = (g_KE * y_KE).sum()

    # Polak-Ribiere, restarted where it would not descend.
    beta = (norm - (line.gradient_KE * y_KE).sum()) / line.norm
    way_KE = jnp.maximum(beta, 0.0) * line.way_KE - y_KE
    slope = (g_KE * way_KE).sum()
    way_KE = jnp.where(slope < 0, way_KE, -y_KE)
    fresh = _Line(way_KE, g_KE, norm, jnp.where(slope < 0, slope, -norm))

    # A Newton step that ended steeper uphill than it began downhill went too far: stay
    # on its line and go back by the secant, which convexity keeps inside the bracket.
    end = (g_KE * line.way_KE).sum()
    over = end > -line.slope
    back = -reach * end / jnp.where(over, end - line.slope, 1.0)
    line = jax.tree.map(lambda old, new: jnp.where(over, old, new), line, fresh)
    d_KN = _forward(line.way_KE, q_DN)
    curve = along(lane, mean_KN, d_KN) + (ridge_E * jnp.square(line.way_KE)).sum()
    curve = jnp.maximum(curve, 1e-30 - 1e-3 * line.slope)  # t is 1000 at most
    t = jnp.where(over, back, -line.slope / curve)
    reach = jnp.where(over, reach, 0.0) + t

    # Half the squared norm is the gap to the minimum, were the preconditioner exact.
    going = norm > 2 * tol * (potential - linear + lane.rest + 1)
    new = _State(w_KE + t * line.way_KE, l_KN + t * d_KN, line, reach, going)
    return jax.tree.map(lambda old, new: jnp.where(state.open, new, old), state, new)

  def sweep(shared: _Shared, lanes_A: _Lane) -> Array:
    q_DN = shared.q_ND.T  # once: not in every iteration
    move = jax.vmap(step, (None, None, 0, 0))

    def start(w_KE: Array) -> _State:
      zero_KE = jnp.zeros_like(w_KE)
      line = _Line(zero_KE, zero_KE, jnp.float32(1), jnp.float32(-jnp.inf))
      return _State(w_KE, _forward(w_KE, q_DN), line, jnp.float32(0), jnp.array(True))

    def run(i: Array, lanes_A: _Lane, state_A: _State) -> Array:
      """Until half have finished; then the other half alone."""
      half = len(state_A.open) // 2 if len(state_A.open) > 2 else 0
      i, state_A = jax.lax.while_loop(
        lambda c: (c[0] < steps) & (c[1].open.sum() > half),
        lambda c: (c[0] + 1, move(shared, q_DN, lanes_A, c[1])),
        (i, state_A),
      )
      if not half:
        return state_A.w_KE
      late_A = jnp.argsort(~state_A.open)[:half]
      late = jax.tree.map(lambda x: x[late_A], (lanes_A, state_A))
      return state_A.w_KE.at[late_A].set(run(i, *late))

    return run(jnp.int32(0), lanes_A, jax.vmap(start)(lanes_A.w_KE))

  def alone(shared: _Shared, lane: _Lane) -> Array:
    return sweep(shared, jax.tree.map(lambda x: x[None], lane))[0]

  solve = jax.custom_batching.custom_vmap(alone)

  @solve.def_vmap
  def _(size: int, batched: list, shared: _Shared, lane: _Lane) -> tuple[Array, bool]:
    if any(batched[0]):  # every lane has a representation of its own
      axes = jax.tree.map(lambda b: 0 if b else None, tuple(batched))
      return jax.vmap(alone, axes)(shared, lane), True
    lanes_A = jax.tree.map(
      lambda x, b: x if b else jnp.broadcast_to(x, (size, *x.shape)), lane, batched[1]
    )
    return sweep(shared, lanes_A), True

  return solve


def _shared(z_ND: Array) -> tuple[_Shared, Array | None]:
  """Rows in a basis where Z'Z is easy to invert, and that basis; None: their own.

  All eigenvectors while they are few, else the leading ones of a random start, with one
  eigenvalue for what they leave.
  """
  N, D = z_ND.shape
  rows = jnp.maximum((z_ND != 0).any(1).sum(), 1).astype(z_ND.dtype)
  ridge_E = jnp.ones(D + 1).at[-1].set(0)
  if D <= EXACT:
    size_D, turn_DD = jnp.linalg.eigh(z_ND.T @ z_ND)
    size_E = jnp.append(jnp.maximum(size_D, 0.0), rows)
    none = jnp.zeros((D, 0)), jnp.zeros(0)
    return _Shared(z_ND @ turn_DD, size_E, ridge_E, *none), turn_DD
  turn_DR = jax.random.normal(jax.random.key(0), (D, min(LEADING, N)))
  for _ in range(2):
    turn_DR = jnp.linalg.qr(z_ND.T @ (z_ND @ turn_DR))[0]
  near_NR = z_ND @ turn_DR
  size_R, mix_RR = jnp.linalg.eigh(near_NR.T @ near_NR)
  rest = jnp.maximum(jnp.square(z_ND).sum() - size_R.sum(), 0.0) / (D - len(size_R))
  size_E = jnp.full(D + 1, rest).at[-1].set(rows)
  return _Shared(z_ND, size_E, ridge_E, turn_DR @ mix_RR, jnp.maximum(size_R, 0.0)), None


def critic(
  attribute: Kind = "discrete",
  l2: float | Sequence[float] = (10_000.0, 1000.0, 100.0, 10.0, 1.0),
  tol: float = 1e-4,
  steps: int = 200,
) -> Critic:
  r"""The linear probe at its minimum, its ridge chosen on the stop part.

  Discrete: softmax regression, the minimum of

  .. math:: \sum_i m_i CE(softmax(z_i W + b), s_i) + \frac{\lambda}{2} |W|^2,

  scikit-learn's `LogisticRegression(C=1/l2)`; of two classes its `C=2/l2`, as there one
  weight vector stands for the difference of two. Continuous: ridge regression,
  :math:`\sum_i m_i (s_i - z_i w - b)^2 / 2 + \lambda |w|^2 / 2`, with a normal density
  of one scale: that of the residuals on train or stop, whichever is larger. The
  intercept is not penalised. H(S) minus the cross-entropy on rows that were not
  trained on is a lower bound on I(Z; S).

  Args:
    attribute: "discrete" or "continuous".
    l2: strength λ of the ridge; of several, the one with the lowest cross-entropy on
      `stop` is kept. Strong ones matter where rows are fewer than columns.
    tol: how near the minimum to stop, as a share of the objective (approximately).
    steps: at most so many iterations for each strength.

  Returns:
    A critic in nats, a lower bound; its params are `(w_DK, b_K)`, 0 where padded.
    `fit` expects columns of about mean 0 and scale 1: others cost iterations.

  References:
    Barber and Agakov (2003), "The IM Algorithm", eq. 3.
    Böhning (1992), "Multinomial logistic regression algorithm",
    https://doi.org/10.1007/BF00048682: Z'Z bounds the Hessian of every label vector.
    Nocedal and Wright (2006), "Numerical Optimization", sec. 5.2 (PR+).
    Halko, Martinsson and Tropp (2011), "Finding structure with randomness",
    https://arxiv.org/abs/0909.4061, algorithm 4.4: the leading part.
  """
  reads("linear", attribute, ("discrete", "continuous"))
  strengths = sorted(map(float, l2 if isinstance(l2, Sequence) else [l2]), reverse=True)
  solve = _solver(attribute, tol, steps)

  def init(key: PRNGKeyArray, view: View) -> Params:
    del key
    width, outputs = view.z_ND.shape[1], view.classes_K.shape[0]
    return jnp.zeros((width, outputs)), jnp.zeros(outputs)

  def logits(params: Params, view: View) -> Float[Array, "n k"]:
    w_DK, b_K = params
    return nn.mask_logits(view.z_ND @ w_DK + b_K, view.classes_K)

  def error(params: Params, view: View) -> Float[Array, ""]:
    return nn.cross_entropy(logits(params, view), view, attribute)

  def loss(params: Params, view: View, key: PRNGKeyArray) -> Float[Array, ""]:
    del key
    ridge = 0.5 * strengths[-1] * jnp.square(params[0]).sum()
    return error(params, view) + ridge / jnp.maximum(view.mask_N.sum(), 1.0)

  def value(params: Params, view: View, key: PRNGKeyArray) -> Float[Array, ""]:
    del key
    return nn.entropy(view, attribute) - error(params, view)

  def begin(view: View, q_ND: Array) -> _Lane:
    """The label vector against q, and weights that ignore z."""
    mask_N, classes_K = view.mask_N, view.classes_K
    if attribute == "discrete":
      t_KN = (jnp.arange(len(classes_K))[:, None] == view.s_N) * mask_N
      # Half a row more for each class keeps one that is absent from train finite.
      prior_K = jnp.log(t_KN.sum(1) + 0.5)
      b_K = jnp.where(classes_K, prior_K - prior_K.max(), nn.NEG)
      rest = jnp.float32(0)
    else:
      t_KN = jnp.where(mask_N > 0, view.s_N, 0.0)[None]
      b_K, rest = jnp.zeros(1), 0.5 * jnp.square(t_KN).sum()
    target_KE = _backward(t_KN, q_ND)
    w_KE = jnp.zeros_like(target_KE).at[:, -1].set(b_K)
    return _Lane(mask_N, classes_K, target_KE, rest, w_KE)

  def finish(w_KE: Array, turn_DD: Array | None, train: View, stop: View) -> Params:
    """Back to the columns of z; padding is exactly 0."""
    w_DK = w_KE[:, :-1].T if turn_DD is None else turn_DD @ w_KE[:, :-1].T
    w_DK *= train.features_D[:, None]
    b_K = w_KE[:, -1]
    if attribute == "discrete":
      return w_DK * train.classes_K, jnp.where(train.classes_K, b_K, 0.0)

    def variance(view: View) -> Array:
      known_N = view.mask_N > 0
      miss_N = jnp.where(known_N, view.s_N - (view.z_ND @ w_DK + b_K)[:, 0], 0.0)
      return jnp.square(miss_N).sum() / jnp.maximum(known_N.sum(), 1)

    # Held-out residuals keep the density honest where train is fitted too well.
    worst = jnp.maximum(variance(train), variance(stop))
    log_scale = 0.5 * jnp.log(jnp.maximum(worst, 1e-8))
    return jnp.pad(w_DK, ((0, 0), (0, 1))), jnp.append(b_K, log_scale)

  def fit(key: PRNGKeyArray, train: View, stop: View) -> Params:
    with jax.default_matmul_precision("highest"):
      # Of z alone, so unbatched under a vmap over label vectors.
      shared, turn_DD = _shared(train.z_ND)
      lane = begin(train, shared.q_ND)

      def one(carry: tuple, strength: Array) -> tuple[tuple, None]:
        w_KE, best, lowest = carry
        now = shared._replace(ridge_E=strength * shared.ridge_E)
        w_KE = solve(now, lane._replace(w_KE=w_KE))
        params = finish(w_KE, turn_DD, train, stop)
        held_out = error(params, stop)
        better = held_out < lowest
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), params, best)
        return (w_KE, best, jnp.minimum(held_out, lowest)), None

      # From strong to weak: each strength starts where the one before it ended.
      carry = (lane.w_KE, init(key, train), jnp.float32(jnp.inf))
      return jax.lax.scan(one, carry, jnp.asarray(strengths, jnp.float32))[0][1]

  return Critic(
    init=init,
    loss=loss,
    value=value,
    logits=logits,
    fit=fit,
    uses=frozenset({"monitor", "audit"}),
    unit="nats",
    bound="lower",
    attribute=attribute,
  )
