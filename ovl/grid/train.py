"""Training a critic by its loss: minibatches, early stopping, the best pass; on device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray

from ovl import rng
from ovl.types import Critic, Params, View


@dataclass(frozen=True)
class Schedule:
  """How critics without a solver of their own are trained.

  Attributes:
    learning_rate: of AdamW.
    weight_decay: of AdamW.
    batch_size: rows a step; the whole probe part where that is at most twice as large.
    epochs: at most this many passes.
    patience: passes without a better stop loss after which a lane is frozen.
    average: decay of the moving average of the weights that is judged on stop and kept;
      0 keeps the weights themselves.
  """

  learning_rate: float = 5e-3
  weight_decay: float = 1e-2
  batch_size: int = 256
  epochs: int = 100
  patience: int = 6
  average: float = 0.0


def train(
  critic: Critic,
  schedule: Schedule,
  probe: View,
  stop: View,
  key: PRNGKeyArray,
  size: Array | None = None,
) -> tuple[Params, Array]:
  """AdamW by `critic.loss`; keeps the parameters of the best pass on the stop part.

  Args:
    critic: what is trained.
    schedule: how.
    probe: the rows it learns from.
    stop: the rows that say when to stop.
    key: of the order and of the loss.
    size: draw from the first so many rows that `mask_N` keeps, as many steps a pass as
      ever. None: passes over all rows.

  Returns:
    The parameters, and whether training ended before its limit.
  """
  N = probe.z_ND.shape[0]
  batch = N if 2 * schedule.batch_size >= N and size is None else schedule.batch_size
  batch = min(batch, N)
  steps = N // batch
  tx = optax.adamw(schedule.learning_rate, weight_decay=schedule.weight_decay)
  key_order, key_loss = rng.stream(key, "order"), rng.stream(key, "loss")

  def step(carry: tuple[Params, ...], inputs: tuple[Array, Array]) -> Any:
    params, opt, smooth = carry
    rows, now = inputs
    z, s, mask = (
      (probe.z_ND, probe.s_N, probe.mask_N)
      if steps == 1 and size is None  # the whole part: order is of no account
      else (probe.z_ND[rows], probe.s_N[rows], probe.mask_N[rows])
    )
    view = probe._replace(z_ND=z, s_N=s, mask_N=mask)
    key_now = rng.at(key_loss, now)
    grads = jax.grad(critic.loss)(params, view, key_now)
    updates, opt = tx.update(grads, opt, params)
    if critic.refresh is not None:  # before the update: it shares the loss's forward pass
      params = critic.refresh(params, view, key_now)
    params = optax.apply_updates(params, updates)
    if schedule.average:
      smooth = optax.incremental_update(params, smooth, 1 - schedule.average)
    return (params, opt, smooth), None

  allowed = None
  if size is not None:  # drawn with replacement: no sort in every pass
    kept_N = (probe.mask_N > 0) & (jnp.cumsum(probe.mask_N) <= size)
    allowed_N, allowed = jnp.argsort(~kept_N), jnp.maximum(kept_N.sum(), 1)

  def order(epoch: Array) -> Array:
    key_now = rng.at(key_order, epoch)
    if allowed is None:
      return jax.random.permutation(key_now, N)[: steps * batch]
    return allowed_N[jax.random.randint(key_now, (steps * batch,), 0, allowed)]

  def one_pass(carry: tuple) -> tuple:
    epoch, params, opt, smooth, best, best_loss, stale = carry
    inputs = (order(epoch).reshape(steps, batch), epoch * steps + jnp.arange(steps))
    (params, opt, smooth), _ = jax.lax.scan(step, (params, opt, smooth), inputs)
    judged = smooth if schedule.average else params
    loss = critic.loss(judged, stop, key_loss)
    better = loss < best_loss - 1e-4
    best = jax.tree.map(lambda new, old: jnp.where(better, new, old), judged, best)
    best_loss = jnp.where(better, loss, best_loss)
    stale = jnp.where(better, 0, stale + 1)
    return epoch + 1, params, opt, smooth, best, best_loss, stale

  def unfinished(carry: tuple) -> Array:
    epoch, stale = carry[0], carry[-1]
    return (epoch < schedule.epochs) & (stale < schedule.patience)

  params = critic.init(key, probe)
  first = critic.loss(params, stop, key_loss)
  smooth = params if schedule.average else ()
  carry = (0, params, tx.init(params), smooth, params, first, jnp.int32(0))
  carry = jax.lax.while_loop(unfinished, one_pass, carry)
  return carry[4], carry[-1] >= schedule.patience
