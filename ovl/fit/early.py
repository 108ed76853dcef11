"""Early stopping: of every network the epoch that rows it never trains on like best."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from ovl.types import BadInput, Model, Params, TrainState


class Early(NamedTuple):
  """Who judges, and how long is waited; the same for all networks.

  Attributes:
    x_V: inputs that no network trains on; all are looked at at once.
    y_V: their task codes.
    patience: a network is done after so many epochs without a lower loss.
  """

  x_V: Any
  y_V: Any
  patience: int


class Best(NamedTuple):
  """S networks as each was after its best epoch; leaves lead with S.

  Attributes:
    params: of the networks.
    state: likewise.
    loss_S: mean cross-entropy of the rows that judge, nats.
    epoch_S: after how many epochs; 0: as they started.
    waited_S: epochs since then, until it was done.
  """

  params: Params
  state: Params
  loss_S: Array
  epoch_S: Array
  waited_S: Array


def check(early: Early) -> None:
  """Refuses what cannot judge.

  Raises:
    BadInput: no rows, or no patience.
  """
  if early.patience < 1 or not len(early.x_V) or len(early.x_V) != len(early.y_V):
    raise BadInput(
      f"early stopping: patience={early.patience}, {len(early.x_V)} inputs and "
      f"{len(early.y_V)} labels: expected at least one epoch and one row with its label"
    )


def start(state: TrainState) -> Best:
  """Before the first epoch; copies, since a step donates its state."""
  params, rest = jax.tree.map(jnp.copy, (state.params, state.state))
  none_S = 0 * state.step  # lies where the networks lie
  return Best(params, rest, none_S + jnp.inf, none_S, jnp.copy(none_S))


def judge(model: Model) -> Callable[[Best, TrainState, Array, Early], Best]:
  """`(best, state, epochs done, early) -> best`, jitted; `best` is donated.

  As long as a network is not done, a lower loss renews what is kept of it.
  """

  def one(best: Best, state: TrainState, epoch: Array, early: Early) -> Best:
    logits_VC, _, _ = model.apply(state.params, state.state, early.x_V)
    loss_V = optax.softmax_cross_entropy_with_integer_labels(logits_VC, early.y_V)
    loss: Float[Array, ""] = loss_V.mean()
    open_ = best.waited_S < early.patience
    better = open_ & state.alive & (loss < best.loss_S)
    waited = jnp.where(better, 0, best.waited_S + open_)
    now = Best(state.params, state.state, loss, jnp.int32(epoch), waited)
    kept = jax.tree.map(lambda new, old: jnp.where(better, new, old), now, best)
    return kept._replace(waited_S=waited)

  return jax.jit(jax.vmap(one, (0, 0, None, None)), donate_argnums=0)


def over(best: Best, early: Early) -> bool:
  """Whether every network is done."""
  return bool((jax.device_get(best.waited_S) >= early.patience).all())
