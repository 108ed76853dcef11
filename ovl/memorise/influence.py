"""What a training example did to a network: gradients along training, and features.

A network is one flat vector of parameters.

References:
  Pruthi et al. (2020), https://arxiv.org/abs/2002.08484 (TracIn);
  Park et al. (2023), https://arxiv.org/abs/2303.14186 (TRAK).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PRNGKeyArray

from ovl.types import BadInput, Model, Params

# ---- gradients of examples ---------------------------------------------------------------


def _loss(model: Model, params: Params, state: Params, x_1: Array, y: Array) -> Array:
  logits_1C, _, _ = model.apply(params, state, x_1[None])
  return optax.softmax_cross_entropy_with_integer_labels(logits_1C[0], y)


def _odds(model: Model, params: Params, state: Params, x_1: Array, y: Array) -> Array:
  """log p / (1 - p) of the true class."""
  logits_1C, _, _ = model.apply(params, state, x_1[None])
  log_C = jax.nn.log_softmax(logits_1C[0])
  rest_C = jnp.where(jnp.arange(len(log_C)) == y, -jnp.inf, log_C)
  return log_C[y] - jax.nn.logsumexp(rest_C)


@functools.lru_cache(maxsize=8)
def _gradients(model: Model, of: Literal["loss", "odds"]) -> Callable[..., Array]:
  """`(params, state, x_B, y_B) -> [B, d]`."""
  fun = {"loss": _loss, "odds": _odds}[of]

  def one(params: Params, state: Params, x_1: Array, y: Array) -> Array:
    grads = jax.grad(functools.partial(fun, model))(params, state, x_1, y)
    return ravel_pytree(grads)[0]

  return jax.jit(jax.vmap(one, (None, None, 0, 0)))


@functools.lru_cache(maxsize=8)
def _squares(model: Model) -> Callable[..., Array]:
  """`(params_T, state_T, x_B, y_B) -> [T, B]` squared lengths of gradients."""

  def one(params: Params, state: Params, x_1: Array, y: Array) -> Array:
    grads = jax.grad(functools.partial(_loss, model))(params, state, x_1, y)
    return optax.tree.norm(grads, squared=True)

  rows = jax.vmap(one, (None, None, 0, 0))
  return jax.jit(jax.vmap(rows, (0, 0, None, None)))


def self_influence(
  model: Model,
  snapshots: tuple[Params, Params],
  x_N: np.ndarray,
  y_N: np.ndarray,
  rates_T: np.ndarray | None = None,
  chunk: int = 256,
) -> np.ndarray:
  r"""TracIn of every example on itself, :math:`\sum_t \eta_t |\nabla\ell(z; \theta_t)|^2`.

  Args:
    model: the network.
    snapshots: parameters and state `[T, ...]` along one training.
    x_N: inputs.
    y_N: classes.
    rates_T: step sizes; None: all 1, as some published code has it.
    chunk: examples at once.

  Returns:
    `[N]`.
  """
  run, (params_T, state_T) = _squares(model), snapshots
  parts = [
    np.asarray(run(params_T, state_T, x_N[at : at + chunk], y_N[at : at + chunk]))
    for at in range(0, len(x_N), chunk)
  ]
  square_TN = np.concatenate(parts, 1).astype(np.float64)
  return square_TN.sum(0) if rates_T is None else np.asarray(rates_T) @ square_TN


def tracin(
  model: Model,
  snapshots: tuple[Params, Params],
  train: tuple[np.ndarray, np.ndarray],
  test: tuple[np.ndarray, np.ndarray],
  rates_T: np.ndarray,
  chunk: int = 256,
) -> np.ndarray:
  r"""TracIn, :math:`\sum_t \eta_t \nabla\ell(z_n) \cdot \nabla\ell(z_m)`, `[N, M]`.

  Args:
    model: the network.
    snapshots: parameters and state `[T, ...]` along one training.
    train: inputs and classes of N training examples.
    test: of M test examples.
    rates_T: step sizes.
    chunk: training examples at once.
  """
  run = _gradients(model, "loss")
  (x_N, y_N), out = train, np.zeros((len(train[0]), len(test[0])))
  for t, rate in enumerate(rates_T):
    here = jax.tree.map(lambda leaf, t=t: leaf[t], snapshots)
    of_test = run(*here, *test)
    rows = [
      np.asarray(run(*here, x_N[at : at + chunk], y_N[at : at + chunk]) @ of_test.T)
      for at in range(0, len(x_N), chunk)
    ]
    out += float(rate) * np.concatenate(rows)
  return out


# ---- TRAK --------------------------------------------------------------------------------

BLOCK = 4096


def project(vector_BD: Array, key: PRNGKeyArray, width: int) -> Array:
  """Random signs, `[B, width]` over sqrt(width): drawn block by block from the key."""
  out = jnp.zeros((len(vector_BD), width))
  for number, at in enumerate(range(0, vector_BD.shape[1], BLOCK)):
    part = vector_BD[:, at : at + BLOCK]
    mine = jax.random.fold_in(key, number)
    out += part @ jax.random.rademacher(mine, (part.shape[1], width), jnp.float32)
  return out / jnp.sqrt(width)


@functools.lru_cache(maxsize=8)
def _features(model: Model, width: int) -> Callable[..., tuple[Array, Array]]:
  """`(params, state, x_B, y_B, key)` -> projected gradients of the log odds, 1 - p."""
  gradients = _gradients(model, "odds")

  def run(params: Params, state: Params, x_B: Array, y_B: Array, key: Any) -> Any:
    logits_BC, _, _ = model.apply(params, state, x_B)
    p_B = jnp.take_along_axis(jax.nn.softmax(logits_BC), y_B[:, None], 1)[:, 0]
    return project(gradients(params, state, x_B, y_B), key, width), 1 - p_B

  return jax.jit(run)


def trak(
  model: Model,
  nets: tuple[Params, Params],
  train: tuple[np.ndarray, np.ndarray],
  test: tuple[np.ndarray, np.ndarray],
  width: int = 256,
  seed: int = 0,
  chunk: int = 512,
) -> np.ndarray:
  r"""Attribution of test outputs to training examples, `[M, N]`, over S networks.

  .. math:: \tau(z) = \frac1S \sum_s \phi_s(z)^T (\Phi_s^T \Phi_s)^{-1} \Phi_s^T \cdot
            \frac1S \sum_s Q_s

  phi: projected gradients of log p / (1 - p), each network with a projection of its own;
  Q = 1 - p of the training examples.

  Args:
    model: the network.
    nets: parameters and state `[S, ...]`.
    train: inputs and classes of N training examples.
    test: of M test examples.
    width: of the projection; below N.
    seed: of it.
    chunk: examples at once.

  Raises:
    BadInput: fewer training examples than the projection is wide.
  """
  if len(train[0]) < width:
    raise BadInput(f"width={width}: expected at most the {len(train[0])} training examples")
  S = len(jax.tree.leaves(nets)[0])
  tau, q = np.zeros((len(test[0]), len(train[0]))), np.zeros(len(train[0]))
  for s in range(S):
    here = jax.tree.map(lambda leaf, s=s: leaf[s], nets)
    run = functools.partial(_features(model, width), *here)
    key = jax.random.fold_in(jax.random.key(seed), s)
    phi_NW, q_N = _in_chunks(run, train, key, chunk)
    phi_MW, _ = _in_chunks(run, test, key, chunk)
    # Least squares, not normal equations: dead inputs make the Gram matrix singular.
    tau += phi_MW @ np.linalg.pinv(phi_NW, rcond=1e-6) / S
    q += q_N / S
  return tau * q


def trak_self(
  model: Model,
  net: tuple[Params, Params],
  x_N: np.ndarray,
  y_N: np.ndarray,
  width: int = 256,
  seed: int = 0,
  chunk: int = 256,
) -> np.ndarray:
  """TRAK of every example on itself in one network, `[N]`: no N x N matrix is made.

  Args:
    model: the network.
    net: its parameters and state.
    x_N: inputs.
    y_N: classes.
    width: of the projections, at most N.
    seed: of them.
    chunk: examples at once.
  """
  run = functools.partial(_features(model, width), *net)
  key = jax.random.fold_in(jax.random.key(seed), 0)
  phi_NW, q_N = _in_chunks(run, (x_N, y_N), key, chunk)
  return np.einsum("nw,wn->n", phi_NW, np.linalg.pinv(phi_NW, rcond=1e-6)) * q_N


def _in_chunks(
  run: Callable[..., Any], rows: tuple[np.ndarray, np.ndarray], key: Any, chunk: int
) -> list[np.ndarray]:
  x_N, y_N = rows
  parts = [
    run(x_N[at : at + chunk], y_N[at : at + chunk], key) for at in range(0, len(x_N), chunk)
  ]
  return [np.concatenate(each).astype(np.float64) for each in zip(*parts, strict=True)]
