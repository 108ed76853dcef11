"""One pure train step; the program vmaps it over seeds and jits the whole once."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ovl import rng
from ovl.types import Model, TrainState

Metrics = dict[str, Array]
Step = Callable[..., tuple[TrainState, Metrics]]


def init(
  model: Model, tx: optax.GradientTransformation, key: PRNGKeyArray, x_B: Array
) -> TrainState:
  """The state of one seed before its first step."""
  params, state = model.init(rng.stream(key, "init"), x_B)
  return TrainState(jnp.zeros((), jnp.int32), params, state, tx.init(params))


def make_step(model: Model, tx: optax.GradientTransformation) -> Step:
  """Makes the train step of one seed.

  Args:
    model: logits and taps.
    tx: the optimiser of the network.

  Returns:
    `step(state, x_B, y_B, key) -> (state, metrics)`, pure and un-jitted; `metrics` holds
    the mean cross-entropy `loss` (nats) and `accuracy` of the batch before the update.
  """

  def step(
    state: TrainState, x_B: Array, y_B: Int[Array, " b"], key: PRNGKeyArray
  ) -> tuple[TrainState, Metrics]:
    key_model = rng.at(rng.stream(key, "model"), state.step)

    def main_loss(params: object) -> tuple[Float[Array, ""], tuple[Array, object]]:
      logits_BC, _, new = model.apply(params, state.state, x_B, key=key_model, train=True)
      loss_B = optax.softmax_cross_entropy_with_integer_labels(logits_BC, y_B)
      return loss_B.mean(), (logits_BC, new)

    (loss, (logits_BC, new)), grads = jax.value_and_grad(main_loss, has_aux=True)(
      state.params
    )
    updates, opt = tx.update(grads, state.opt, state.params)
    params = optax.apply_updates(state.params, updates)
    accuracy = (logits_BC.argmax(-1) == y_B).mean()
    return (
      TrainState(state.step + 1, params, new, opt),
      {"loss": loss, "accuracy": accuracy},
    )

  return step
