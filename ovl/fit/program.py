"""The program of one step for all networks; compiled once a model, plan and settings."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Key, PRNGKeyArray

from ovl import mesh, rng, step
from ovl.fit import early, precision
from ovl.fit.lanes import RATE, TASK_ALONE, Own, Transform, batch, keyed
from ovl.fit.settings import Settings
from ovl.types import Model, Params, TrainState

MOMENTUM = 0.9  # of SGD


def schedule(settings: Settings, steps: int) -> optax.Schedule:
  """The rate at every step: a cosine to 0, or a tenth from each milestone on."""
  if settings.milestones:
    at = {m * steps // settings.epochs: 0.1 for m in settings.milestones}
    return optax.piecewise_constant_schedule(settings.learning_rate, at)
  return optax.cosine_decay_schedule(settings.learning_rate, max(steps, 1))


def optimiser(settings: Settings, steps: int) -> optax.GradientTransformation:
  """Adam or SGD, at the scheduled rate."""
  rate = schedule(settings, steps)
  adam = settings.optimiser == "adam"
  tx = optax.adam(rate) if adam else optax.sgd(rate, momentum=MOMENTUM)
  if settings.weight_decay:
    tx = optax.chain(optax.add_decayed_weights(settings.weight_decay), tx)
  return tx


def at_own_rate(tx: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
  """The same optimiser, its last word times the lane's own factor, where it has one."""

  def update(
    grads: Params, state: Params, params: Params = None, *, weights: Any, **_: Any
  ) -> tuple[Params, Params]:
    updates, state = tx.update(grads, state, params)
    factor = weights.get(RATE)
    return (updates if factor is None else optax.tree.scale(factor, updates)), state

  return optax.GradientTransformationExtraArgs(tx.init, update)


def make_program(
  model: Model,
  tx: optax.GradientTransformation,
  batch_size: int,
  plan: step.Plan = TASK_ALONE.plan,
  active: frozenset[str] | None = None,
  grid: Mesh | None = None,
  transform: Transform | None = None,
  streamed: bool = False,
  shape: tuple[int, ...] = (),
) -> Callable[..., tuple[TrainState, step.Metrics]]:
  """The program of one step for all networks, as the trainer jits it.

  Args:
    model: the network.
    tx: its optimiser.
    batch_size: B.
    plan: what is computed besides the task.
    active: the terms of the plan that take part.
    grid: the mesh: rows of a batch are spread over "data".
    transform: of every batch.
    streamed: each call is handed its own rows.
    shape: of an input, where `data` holds inputs as rows of numbers.

  Returns:
    `(state_S, data, order_SN, own_S, key_S) -> (state_S, metrics_S)`, `data` a
    `step.Batch` of all N rows; the batch is row `step` of each network's own order.
    Streamed, `data` is that batch, leaves `[S, B, ...]`, and `order_SB` its places.
  """
  one = step.make_step(model, tx, plan, active)
  apart = grid is not None and grid.shape["seed"] > 1

  def lane(
    state: TrainState, data: step.Batch, order_N: Array, mine: Own, key: PRNGKeyArray
  ) -> Any:
    rows_B = order_N
    if not streamed:
      start = (state.step % (order_N.shape[0] // batch_size)) * batch_size
      rows_B = jax.lax.dynamic_slice_in_dim(order_N, start, batch_size)
    if grid is not None:
      where = mesh.sharding(grid, "data")
      rows_B = jax.lax.with_sharding_constraint(rows_B, where.spec if apart else where)
    if not streamed:
      x_B, y_B, attributes = jax.tree.map(lambda leaf: leaf[rows_B], data.rows)
      if shape:
        # Else XLA lays the whole data set out as the first layer likes it, every step.
        x_B = jax.lax.optimization_barrier(x_B).reshape(-1, *shape)
      data = step.Batch(x_B, y_B, attributes, data.rates)
    seen = batch(data, rows_B, mine, transform, keyed(key, state.step))
    return one(state, seen, mine.weights, key)

  rows = step.Batch(0, 0, 0, None) if streamed else None  # type: ignore[arg-type]
  every = jax.vmap(lane, (0, rows, 0, 0, 0), spmd_axis_name=None if apart else "seed")
  if not apart:
    return every
  # Every device runs its own networks: whatever a layer does, none talk over "seed".
  mine, of_all = PartitionSpec("seed"), PartitionSpec()
  data = step.Batch(mine, mine, mine, of_all) if streamed else of_all  # type: ignore[arg-type]
  return jax.shard_map(
    every, mesh=grid, in_specs=(mine, data, mine, mine, mine), out_specs=mine,
    axis_names={"seed"}, check_vma=False,
  )  # fmt: skip


class Programs(NamedTuple):
  """Compiled once a model and plan, all networks at once.

  Attributes:
    init: `(key_S, some rows) -> state_S`.
    step: names of the terms that take part -> the program; its state is donated.
    order: `(key_S, rows_SN, epoch) -> order_SN`.
    judge: see `ovl.fit.early.judge`.
  """

  init: Callable[..., TrainState]
  step: Callable[..., Any]
  order: Callable[..., Array]
  judge: Callable[..., early.Best]


@functools.lru_cache(maxsize=8)
def programs(
  model: Model,
  settings: Settings,
  epoch_steps: int,
  grid: Mesh,
  plan: step.Plan,
  transform: Transform | None,
  streamed: bool = False,
  shape: tuple[int, ...] = (),
) -> Programs:
  """Initialisation, step and data order of all networks."""
  model = precision.of(model, settings.precision)
  tx = at_own_rate(optimiser(settings, settings.epochs * epoch_steps))
  born = mesh.sharding(grid, "seed")

  def init(key_S: Key[Array, " s"], some: step.Batch) -> TrainState:
    return jax.vmap(lambda key: step.init(model, tx, key, some, plan))(key_S)

  @functools.cache
  def one(active: frozenset[str]) -> Callable[..., Any]:
    made = make_program(
      model, tx, settings.batch_size, plan, active, grid, transform, streamed, shape
    )
    return jax.jit(made, donate_argnums=0, out_shardings=born)

  order = functools.partial(_order, rows=epoch_steps * settings.batch_size)
  started = jax.jit(init, out_shardings=born)
  return Programs(started, one, jax.jit(order), early.judge(model))


def _order(key_S: Key[Array, " s"], rows_SN: Array, epoch: Array, rows: int) -> Array:
  def one(key: PRNGKeyArray, rows_N: Array) -> Array:
    key = rng.at(rng.stream(key, "order"), epoch)
    return jax.random.permutation(key, rows_N)[:rows]

  return jax.vmap(one)(key_S, rows_SN)


@functools.partial(jax.jit, donate_argnums=0)
def keep(kept: Params, now: Params, place: Array) -> Params:
  """Writes the networks as they are into one place of the snapshots."""
  return jax.tree.map(lambda into, leaf: into.at[place].set(leaf), kept, now)


def room(now: Params, T: int) -> Params:
  """Empty snapshots `[T, S, ...]`."""
  return jax.tree.map(lambda leaf: jnp.zeros((T, *leaf.shape), leaf.dtype), now)
