"""Trains S networks at once: one jitted step holds all seeds."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Key, PRNGKeyArray

from ovl import checkpoint, mesh, rng, step
from ovl.types import BadInput, Model, TrainState

Report = Callable[[float, str], None]  # share done, what is said beside it


def quiet(share: float, said: str) -> None:
  """Reports to nobody."""


@dataclass(frozen=True)
class Settings:
  """How the networks are trained.

  Attributes:
    epochs: passes over the train part.
    batch_size: examples a step and seed.
    learning_rate: peak of a cosine schedule, or the first of steps.
    optimiser: "adam", or "sgd" with momentum .9.
    weight_decay: added to the gradient of every parameter.
    milestones: epochs at which the rate falls to a tenth; none: a cosine to 0.
    checkpoint: parameters to use in place of training: an Orbax folder that holds
      `{"params": ..., "state": ...}` with a leading seed axis.
    save_every: epochs between checkpoints of an unfinished run.
  """

  epochs: int = 60
  batch_size: int = 128
  learning_rate: float = 3e-3
  optimiser: str = "adam"
  weight_decay: float = 0.0
  milestones: tuple[int, ...] = ()
  checkpoint: str = ""
  save_every: int = 20

  def __post_init__(self) -> None:
    """Refuses what cannot train."""
    for name in ("epochs", "batch_size", "learning_rate", "save_every"):
      if getattr(self, name) <= 0:
        raise BadInput(f"fit.{name}={getattr(self, name)}: expected above 0")
    if self.optimiser not in ("adam", "sgd"):
      raise BadInput(f"fit.optimiser={self.optimiser!r}: expected adam or sgd")
    if self.weight_decay < 0:
      raise BadInput(f"fit.weight_decay={self.weight_decay}: expected at least 0")


class Nets(NamedTuple):
  """S networks, stacked on the leading axis of every leaf, and how they did.

  Attributes:
    params: trained parameters.
    state: trained model state.
    first_params: the same networks before their first step.
    first_state: likewise.
    alive: `[S]` False where a loss or gradient was not finite: that one stands still
      since; None of given parameters.
    read: "term/tap" -> `[S]` moving average of what critics read while training.
  """

  params: Any
  state: Any
  first_params: Any
  first_state: Any
  alive: np.ndarray | None = None
  read: Mapping[str, np.ndarray] = MappingProxyType({})


class Aims(NamedTuple):
  """What is asked of a training besides the task.

  Attributes:
    plan: monitors, penalties, mitigations; `steps` is filled in.
    weights: name of a penalty or mitigation -> weight `[S]` of each network.
    attributes: name -> values `[N]` and mask `[N]`.
    rates: name -> share of each group in the train part.
    strict: a network whose loss is not finite is an error; else it stands still, and the
      others go on.
  """

  plan: step.Plan = step.Plan()
  weights: Mapping[str, np.ndarray] = MappingProxyType({})
  attributes: Mapping[str, tuple[np.ndarray, np.ndarray]] = MappingProxyType({})
  rates: Mapping[str, np.ndarray] = MappingProxyType({})
  strict: bool = True


NOTHING_ELSE = Aims()


def optimiser(settings: Settings, steps: int, epochs: int) -> optax.GradientTransformation:
  """Adam or SGD; the rate falls by a cosine, or to a tenth at each milestone."""
  rate = optax.cosine_decay_schedule(settings.learning_rate, max(steps, 1))
  if settings.milestones:
    at = {m * steps // epochs: 0.1 for m in settings.milestones}
    rate = optax.piecewise_constant_schedule(settings.learning_rate, at)
  tx = optax.adam(rate) if settings.optimiser == "adam" else optax.sgd(rate, momentum=0.9)
  if settings.weight_decay:
    return optax.chain(optax.add_decayed_weights(settings.weight_decay), tx)
  return tx


def make_program(
  model: Model,
  tx: optax.GradientTransformation,
  batch_size: int,
  plan: step.Plan = NOTHING_ELSE.plan,
  active: frozenset[str] | None = None,
  grid: Mesh | None = None,
) -> Callable[..., tuple[TrainState, step.Metrics]]:
  """The program of one step for all networks, as the trainer jits it.

  Args:
    model: the network.
    tx: its optimiser.
    batch_size: B.
    plan: what is computed besides the task.
    active: the terms of the plan that take part.
    grid: the mesh: rows of a batch are spread over "data".

  Returns:
    `(state_S, data, order_SN, weights_S, key_S) -> (state_S, metrics_S)`, `data` a
    `step.Batch` of all N rows; the batch is row `step` of each network's own order.
  """
  one = step.make_step(model, tx, plan, active)

  def all_seeds(
    state: TrainState,
    data: step.Batch,
    order_SN: Array,
    weights: Mapping[str, Array],
    key_S: Key[Array, " s"],
  ) -> tuple[TrainState, step.Metrics]:
    def seed(
      state: TrainState, order_N: Array, weights: Mapping[str, Array], key: PRNGKeyArray
    ) -> Any:
      start = (state.step % (order_N.shape[0] // batch_size)) * batch_size
      rows_B = jax.lax.dynamic_slice_in_dim(order_N, start, batch_size)
      if grid is not None:
        rows_B = jax.lax.with_sharding_constraint(rows_B, mesh.sharding(grid, "data"))
      x_B, y_B, attributes = jax.tree.map(lambda leaf: leaf[rows_B], data.rows)
      batch = step.Batch(x_B, y_B, attributes, data.rates)
      return one(state, batch, weights, key)

    return jax.vmap(seed, spmd_axis_name="seed")(state, order_SN, weights, key_S)

  return all_seeds


def fit(
  model: Model,
  x_N: np.ndarray,
  y_N: np.ndarray,
  rows_SN: np.ndarray,
  key_S: Key[Array, " s"],
  settings: Settings,
  grid: Mesh,
  directory: str | os.PathLike[str] | None = None,
  report: Report = quiet,
  aims: Aims = NOTHING_ELSE,
) -> Nets:
  """Trains one network a seed on its own rows, in its own order.

  Networks that share a key share initialisation and order: a sweep of weights.

  Args:
    model: the network.
    x_N: inputs of the whole data set.
    y_N: task codes.
    rows_SN: which rows each seed trains on.
    key_S: one root key a seed.
    settings: see `Settings`.
    grid: the mesh; seeds over "seed", the rows of a batch over "data".
    directory: where to save and from where to resume, or None.
    report: called between epochs.
    aims: penalties, monitors and mitigations, and their weights.

  Returns:
    The trained networks and their untrained twins.

  Raises:
    BadInput: a batch larger than the train part; a checkpoint that does not fit.
    FloatingPointError: a loss is not finite, where `aims.strict`; names seeds and step.
  """
  N = rows_SN.shape[1]
  if settings.batch_size > N:
    raise BadInput(f"fit.batch_size={settings.batch_size}: the train part has {N} rows")
  epoch_steps = N // settings.batch_size
  key_S = mesh.put(key_S, grid, "seed")
  plan = aims.plan._replace(steps=settings.epochs * epoch_steps)
  init, program, shuffle = _programs(model, settings, epoch_steps, grid, plan)
  host = (x_N, y_N, dict(aims.attributes), dict(aims.rates))
  data = step.Batch(*jax.tree.map(jnp.asarray, host))
  few = jax.tree.map(lambda leaf: leaf[: min(2, len(x_N))], data.rows)
  state = init(key_S, step.Batch(few[0], few[1], few[2], data.rates))
  # The step donates its state, so the twins are copies.
  first = jax.tree.map(jnp.copy, (state.params, state.state))
  if settings.checkpoint:
    given = checkpoint.restore(settings.checkpoint, {"params": first[0], "state": first[1]})
    return Nets(given["params"], given["state"], first[0], first[1])
  done = 0
  if directory is not None and (saved := checkpoint.latest(directory)) is not None:
    state, done = checkpoint.restore(directory, state, saved), saved

  data = mesh.put(data, grid)
  rows = mesh.put(jnp.asarray(rows_SN), grid, "seed")
  weights = mesh.put({n: jnp.asarray(w) for n, w in aims.weights.items()}, grid, "seed")
  for epoch in range(done // epoch_steps, settings.epochs):
    order = shuffle(key_S, rows, epoch)
    losses = []
    for now in range(epoch * epoch_steps, (epoch + 1) * epoch_steps):
      run = program(step.active(plan, now))
      state, metrics = run(state, data, order, weights, key_S)
      losses.append((metrics["loss"], metrics["alive"]))
    # Read once an epoch: the host must not wait for every step.
    loss_TS, alive_TS = (
      np.stack(each) for each in zip(*jax.device_get(losses), strict=True)
    )
    if aims.strict:
      _check_alive(alive_TS, epoch * epoch_steps)
    last = epoch + 1 == settings.epochs or not alive_TS[-1].any()
    if directory is not None and (last or (epoch + 1) % settings.save_every == 0):
      checkpoint.save(directory, (epoch + 1) * epoch_steps, state)
    if not alive_TS[-1].any():
      break
    report((epoch + 1) / settings.epochs, f"loss {loss_TS[:, alive_TS[-1]].mean():.3f}")
  alive, read = jax.device_get((state.alive, state.read))
  return Nets(state.params, state.state, first[0], first[1], alive, read)


@functools.lru_cache(maxsize=8)
def _programs(
  model: Model, settings: Settings, epoch_steps: int, grid: Mesh, plan: step.Plan
) -> tuple[Callable[..., TrainState], Callable[..., Any], Callable[..., Array]]:
  """Initialisation, step and data order of all seeds, compiled once a model and plan."""
  tx = optimiser(settings, settings.epochs * epoch_steps, settings.epochs)
  born = mesh.sharding(grid, "seed")

  def init(key_S: Key[Array, " s"], some: step.Batch) -> TrainState:
    return jax.vmap(lambda key: step.init(model, tx, key, some, plan))(key_S)

  @functools.cache
  def program(active: frozenset[str]) -> Callable[..., Any]:
    one = make_program(model, tx, settings.batch_size, plan, active, grid)
    return jax.jit(one, donate_argnums=0, out_shardings=born)

  return (
    jax.jit(init, out_shardings=born),
    program,
    jax.jit(functools.partial(_order, rows=epoch_steps * settings.batch_size)),
  )


def _order(key_S: Key[Array, " s"], rows_SN: Array, epoch: Array, rows: int) -> Array:
  def one(key: PRNGKeyArray, rows_N: Array) -> Array:
    key = rng.at(rng.stream(key, "order"), epoch)
    return jax.random.permutation(key, rows_N)[:rows]

  return jax.vmap(one)(key_S, rows_SN)


def _check_alive(alive_TS: np.ndarray, first_step: int) -> None:
  ended = ~alive_TS[-1]
  if ended.any():
    step_ = first_step + int(np.argmin(alive_TS.all(1)))
    seeds = np.flatnonzero(ended).tolist()
    raise FloatingPointError(
      f"the loss of seed {seeds} is not finite from step {step_}: lower "
      "fit.learning_rate, or look at the inputs"
    )
