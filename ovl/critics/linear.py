"""The linear probe: softmax regression, or ridge regression with a Gaussian head."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ovl import nn
from ovl.critics._conjugate import Labels, backward, shared_of, solver
from ovl.critics._statistic import reads
from ovl.types import Critic, Kind, Params, View


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
    Those of the solver: `ovl/critics/_conjugate.py`.
  """
  reads("linear", attribute, ("discrete", "continuous"))
  strengths = sorted(map(float, l2 if isinstance(l2, Sequence) else [l2]), reverse=True)
  solve = solver(attribute, tol, steps)

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

  def fit(key: PRNGKeyArray, train: View, stop: View) -> Params:
    with jax.default_matmul_precision("highest"):
      # Of z alone, so unbatched under a vmap over label vectors.
      shared, turn_DD = shared_of(train.z_ND)
      labels = _begin(attribute, train, shared.q_ND)

      def one(carry: tuple, strength: Array) -> tuple[tuple, None]:
        w_KE, best, lowest = carry
        now = shared._replace(ridge_E=strength * shared.ridge_E)
        w_KE = solve(now, labels._replace(w_KE=w_KE))
        params = _finish(attribute, w_KE, turn_DD, (train, stop))
        held_out = error(params, stop)
        better = held_out < lowest
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), params, best)
        return (w_KE, best, jnp.minimum(held_out, lowest)), None

      # From strong to weak: each strength starts where the one before it ended.
      carry = (labels.w_KE, init(key, train), jnp.float32(jnp.inf))
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


def _begin(attribute: Kind, view: View, q_ND: Array) -> Labels:
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
  target_KE = backward(t_KN, q_ND)
  w_KE = jnp.zeros_like(target_KE).at[:, -1].set(b_K)
  return Labels(mask_N, classes_K, target_KE, rest, w_KE)


def _finish(
  attribute: Kind, w_KE: Array, turn_DD: Array | None, parts: tuple[View, View]
) -> Params:
  """Back to the columns of z; padding is exactly 0."""
  train, _ = parts
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
  worst = jnp.maximum(*map(variance, parts))
  log_scale = 0.5 * jnp.log(jnp.maximum(worst, 1e-8))
  return jnp.pad(w_DK, ((0, 0), (0, 1))), jnp.append(b_K, log_scale)
