r"""Patches of DP-SGD by whoever sees all: the noised sums, and everything but the coins.

Of full batches and plain SGD the networks before and after a step give away its noised
sum. What is known of it is taken off; what is left is

.. math:: r_t = \sum_j b_j\, d_{jt} + \sigma C\, N(0, I)

with :math:`b_j` the coin of patch j and :math:`d_{jt}` what it moves the sum by: the
clipped gradient of its image, less that of the clean one where the coin decides the patch
alone. All steps together are a linear model of the coins with known noise; its best linear
guess, :math:`(G + 4 \sigma^2 C^2 I)^{-1} (c - G 1 / 2)` with :math:`G = \sum_t D_t D_t'`
and :math:`c = \sum_t D_t r_t`, is the score. The coins are used nowhere.

References:
  Nasr et al. (2023), https://arxiv.org/abs/2302.07956 (white-box audits);
  Steinke, Nasr and Jagielski (2023), https://arxiv.org/abs/2305.08846, section 6.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from ovl import fit, plant
from ovl.fit.program import MOMENTUM
from ovl.memorise.lanes import World
from ovl.memorise.settings import Settings
from ovl.types import Model, Params


def able(world: World, made: Settings) -> bool:
  """Whether every step's noised sum can be read from the networks around it."""
  settings = world.settings
  return (
    made.noise > 0
    and settings.optimiser == "sgd"
    and settings.batch_size == len(world.x_N)
    and not settings.weight_decay
    and not world.plan.tasks
  )


def score(
  world: World,
  nets: fit.Nets,
  patterns: plant.Pattern,
  carrier_Sm: np.ndarray,
  made: Settings,
) -> np.ndarray:
  """How likely each patch was in, `[S, m]`, of S trainings.

  Args:
    world: data and model.
    nets: with the networks after every step as snapshots.
    patterns: m of every training, leaves `[S, m, H, W, C]`.
    carrier_Sm: the image that may carry each.
    made: clip, noise and what the coin decides.
  """
  N, T = len(world.x_N), world.settings.epochs
  rate_T = np.array([fit.schedule(world.settings, T)(t) for t in range(T)], np.float64)
  x_N, y_N = jnp.asarray(world.x_N), jnp.asarray(world.y_N)
  add = _adder(world.model, made.coin == "image")
  out = []
  for s, carrier_m in enumerate(carrier_Sm):
    first = jax.tree.map(lambda leaf, s=s: leaf[s], nets.first_params)
    later = jax.tree.map(lambda leaf, s=s: leaf[:, s], nets.snapshots[0])
    whole = jax.tree.map(lambda a, b: np.concatenate([a[None], b]), first, later)
    mine = jax.tree.map(lambda leaf, s=s: leaf[s], patterns)
    x_m = plant.paint(mine, world.x_N[carrier_m])
    carriers = jnp.asarray(carrier_m), jnp.asarray(x_m, jnp.float32)
    m = len(carrier_m)
    G, c = jnp.zeros((m, m)), jnp.zeros(m)
    for t, sum_P in enumerate(noised_sums(whole, rate_T, N)):
      params = jax.tree.map(lambda leaf, t=t: leaf[t], whole)
      state = jax.tree.map(lambda leaf, s=s: leaf[s], nets.first_state)
      G, c = add((G, c), (params, state), (x_N, y_N), carriers, sum_P, made.clip_at)
    gram, along = np.asarray(G, np.float64), np.asarray(c, np.float64)
    noise = np.square(made.noise * made.clip_at)
    out.append(np.linalg.solve(gram + 4 * noise * np.eye(m), along - gram.sum(1) / 2))
  return np.stack(out)


def noised_sums(params_T1: Params, rate_T: np.ndarray, N: int) -> np.ndarray:
  """The sums `[T, P]` that T steps of SGD with momentum were told, from T + 1 networks.

  Args:
    params_T1: leaves `[T + 1, ...]`.
    rate_T: of the steps.
    N: rows of a batch, which the sum was divided by.
  """
  leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(params_T1)]
  flat = np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], 1)
  trace_TP = -np.diff(flat, axis=0) / rate_T[:, None]
  before = np.concatenate([np.zeros_like(trace_TP[:1]), trace_TP[:-1]])
  return ((trace_TP - MOMENTUM * before) * N).astype(np.float32)


@functools.lru_cache(maxsize=8)
def _adder(model: Model, image: bool) -> Callable[..., tuple[Array, Array]]:
  """One step more in G and c."""

  def clipped(nets: Any, clip: Array, x_1: Array, y: Array) -> Array:
    def loss(params: Params) -> Array:
      logits_1C, _, _ = model.apply(params, nets[1], x_1[None])
      return optax.softmax_cross_entropy_with_integer_labels(logits_1C[0], y)

    g_P = ravel_pytree(jax.grad(loss)(nets[0]))[0]
    return g_P * jnp.minimum(1.0, clip / jnp.maximum(jnp.linalg.norm(g_P), 1e-12))

  def add(
    so_far: tuple[Array, Array], nets: Any, data: Any, carriers: Any, sum_P: Any, clip: Any
  ) -> tuple[Array, Array]:
    (x_N, y_N), (at_m, x_m), (G, c) = data, carriers, so_far
    each = jax.vmap(clipped, (None, None, 0, 0))
    g_NP, d_mP = each(nets, clip, x_N, y_N), each(nets, clip, x_m, y_N[at_m])
    known_P = g_NP.sum(0)
    if image:
      known_P -= g_NP[at_m].sum(0)
    else:
      d_mP -= g_NP[at_m]
    dot = functools.partial(jnp.matmul, precision="highest")
    return G + dot(d_mP, d_mP.T), c + dot(d_mP, sum_P - known_P)

  return jax.jit(add, donate_argnums=0)
