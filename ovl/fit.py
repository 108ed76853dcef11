"""Trains S networks at once: one jitted step holds all seeds."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Key, PRNGKeyArray

from ovl import checkpoint, mesh, rng, step
from ovl import split as splitting
from ovl.load import load, nearest
from ovl.load import settings as settings_of
from ovl.types import BadInput, Dataset, Model, TrainState

Report = Callable[[float, str], None]  # share done, what is said beside it


@dataclass(frozen=True)
class Settings:
  """How the networks are trained.

  Attributes:
    epochs: passes over the train part.
    batch_size: examples a step and seed.
    learning_rate: peak of a cosine schedule, Adam.
    checkpoint: parameters to use in place of training: an Orbax folder that holds
      `{"params": ..., "state": ...}` with a leading seed axis.
    save_every: epochs between checkpoints of an unfinished run.
  """

  epochs: int = 60
  batch_size: int = 128
  learning_rate: float = 3e-3
  checkpoint: str = ""
  save_every: int = 20

  def __post_init__(self) -> None:
    """Refuses what cannot train."""
    for name in ("epochs", "batch_size", "learning_rate", "save_every"):
      if getattr(self, name) <= 0:
        raise BadInput(f"fit.{name}={getattr(self, name)}: expected above 0")


class Nets(NamedTuple):
  """S networks, stacked on the leading axis of every leaf, and how they did.

  Attributes:
    params: trained parameters.
    state: trained model state.
    first_params: the same networks before their first step.
    first_state: likewise.
  """

  params: Any
  state: Any
  first_params: Any
  first_state: Any


def optimiser(settings: Settings, steps: int) -> optax.GradientTransformation:
  """Adam under a cosine schedule to 0."""
  return optax.adam(optax.cosine_decay_schedule(settings.learning_rate, max(steps, 1)))


def make_program(
  model: Model, tx: optax.GradientTransformation, batch_size: int
) -> Callable[..., tuple[TrainState, step.Metrics]]:
  """The program of one step for all seeds, as the trainer jits it.

  Args:
    model: the network.
    tx: its optimiser.
    batch_size: B.

  Returns:
    `(state_S, x_N, y_N, order_SN, key_S) -> (state_S, metrics_S)`; the batch is row
    `step` of each seed's own order.
  """
  one = step.make_step(model, tx)

  def all_seeds(
    state: TrainState, x_N: Array, y_N: Array, order_SN: Array, key_S: Key[Array, " s"]
  ) -> tuple[TrainState, step.Metrics]:
    def seed(state: TrainState, order_N: Array, key: PRNGKeyArray) -> Any:
      start = (state.step % (order_N.shape[0] // batch_size)) * batch_size
      rows_B = jax.lax.dynamic_slice_in_dim(order_N, start, batch_size)
      return one(state, x_N[rows_B], y_N[rows_B], key)

    return jax.vmap(seed)(state, order_SN, key_S)

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
  report: Report = lambda share, said: None,
) -> Nets:
  """Trains one network a seed on its own rows, in its own order.

  Args:
    model: the network.
    x_N: inputs of the whole data set.
    y_N: task codes.
    rows_SN: which rows each seed trains on.
    key_S: one root key a seed.
    settings: see `Settings`.
    grid: the mesh; seeds over "seed", inputs replicated.
    directory: where to save and from where to resume, or None.
    report: called between epochs.

  Returns:
    The trained networks and their untrained twins.

  Raises:
    BadInput: a batch larger than the train part; a checkpoint that does not fit.
    FloatingPointError: a loss that is not finite; names seeds and step.
  """
  N = rows_SN.shape[1]
  if settings.batch_size > N:
    raise BadInput(f"fit.batch_size={settings.batch_size}: the train part has {N} rows")
  epoch_steps = N // settings.batch_size
  key_S = mesh.put(key_S, grid, "seed")
  first = jnp.asarray(x_N[: min(2, len(x_N))])
  init, program, shuffle = _programs(model, settings, epoch_steps, grid)
  state = init(key_S, first)
  # The step donates its state, so the twins are copies.
  twins = jax.tree.map(jnp.copy, (state.params, state.state))
  if settings.checkpoint:
    given = checkpoint.restore(settings.checkpoint, {"params": twins[0], "state": twins[1]})
    return Nets(given["params"], given["state"], *twins)
  done = 0
  if directory is not None and (saved := checkpoint.latest(directory)) is not None:
    state, done = checkpoint.restore(directory, state, saved), saved

  x, y = mesh.put((jnp.asarray(x_N), jnp.asarray(y_N)), grid)
  rows = mesh.put(jnp.asarray(rows_SN), grid, "seed")
  for epoch in range(done // epoch_steps, settings.epochs):
    order = shuffle(key_S, rows, epoch)
    losses = []
    for _ in range(epoch_steps):
      state, metrics = program(state, x, y, order, key_S)
      losses.append(metrics["loss"])
    # Read once an epoch: the host must not wait for every step.
    loss_TS = np.stack(jax.device_get(losses))
    _check_finite(loss_TS, epoch * epoch_steps)
    last = epoch + 1 == settings.epochs
    if directory is not None and (last or (epoch + 1) % settings.save_every == 0):
      checkpoint.save(directory, (epoch + 1) * epoch_steps, state)
    report((epoch + 1) / settings.epochs, f"loss {loss_TS.mean():.3f}")
  return Nets(state.params, state.state, *twins)


@functools.lru_cache(maxsize=8)
def _programs(
  model: Model, settings: Settings, epoch_steps: int, grid: Mesh
) -> tuple[Callable[..., TrainState], Callable[..., Any], Callable[..., Array]]:
  """Initialisation, step and data order of all seeds, compiled once a model."""
  tx = optimiser(settings, settings.epochs * epoch_steps)
  born = mesh.sharding(grid, "seed")

  def init(key_S: Key[Array, " s"], x_B: Array) -> TrainState:
    return jax.vmap(lambda key: step.init(model, tx, key, x_B))(key_S)

  return (
    jax.jit(init, out_shardings=born),
    jax.jit(
      make_program(model, tx, settings.batch_size), donate_argnums=0, out_shardings=born
    ),
    jax.jit(functools.partial(_order, rows=epoch_steps * settings.batch_size)),
  )


def _order(key_S: Key[Array, " s"], rows_SN: Array, epoch: Array, rows: int) -> Array:
  def one(key: PRNGKeyArray, rows_N: Array) -> Array:
    key = rng.at(rng.stream(key, "order"), epoch)
    return jax.random.permutation(key, rows_N)[:rows]

  return jax.vmap(one)(key_S, rows_SN)


def _check_finite(loss_TS: np.ndarray, first_step: int) -> None:
  bad = ~np.isfinite(loss_TS)
  if bad.any():
    step_ = first_step + int(np.argmax(bad.any(1)))
    seeds = np.flatnonzero(bad.any(0)).tolist()
    raise FloatingPointError(
      f"the loss of seed {seeds} is not finite from step {step_}: lower "
      "fit.learning_rate, or look at the inputs"
    )


# ---- from a config ---------------------------------------------------------------------

SECTIONS = ("seed", "seeds", "dataset", "model", "fit", "split", "audit")


class Study(NamedTuple):
  """Trained networks with the data they came from.

  Attributes:
    dataset: the examples.
    model: the network.
    nets: S of them.
    part: "train", "probe", "stop", "test" -> rows `[S, N]` of each seed's own split.
    devices: the mesh.
  """

  dataset: Dataset
  model: Model
  nets: Nets
  part: dict[str, np.ndarray]
  devices: Mesh


def study(
  config: Mapping[str, Any],
  directory: str | os.PathLike[str] | None = None,
  report: Report = lambda share, said: None,
) -> Study:
  """Loads the data and the model of a config, splits per seed, trains all seeds.

  Args:
    config: sections seed, seeds, dataset, model, fit, split (others are left alone).
    directory: of checkpoints, or None.
    report: called along the way.

  Raises:
    BadInput: an unknown section, name or setting; too few rows for the split.
  """
  for key in config:
    if key not in SECTIONS:
      raise BadInput(f"config.{key} is unknown: {nearest(key, list(SECTIONS))}")
  data: Dataset = load("datasets", **config["dataset"])
  model: Model = load("models", classes=len(data.labels), **config["model"])
  seeds, seed = int(config["seeds"]), int(config["seed"])
  if seeds < 1:
    raise BadInput(f"config.seeds={seeds}: expected at least 1")
  part = _parts(data, dict(config.get("split", splitting.SHARES)), seed, seeds)
  devices = mesh.make(seeds)
  settings = settings_of(Settings, config.get("fit", {}), "fit")
  nets = fit(
    model,
    data.x,
    data.y,
    part["train"],
    rng.per_seed(seed, seeds),
    settings,
    devices,
    directory,
    report,
  )
  return Study(data, model, nets, part, devices)


def _parts(
  data: Dataset, shares: dict[str, float], seed: int, seeds: int
) -> dict[str, np.ndarray]:
  if set(shares) != set(splitting.SHARES):
    raise BadInput(
      f"config.split has {sorted(shares)}; expected {sorted(splitting.SHARES)}"
    )
  if data.split is not None:
    fixed = {name: np.flatnonzero(data.split == name) for name in shares}
    order = [np.random.default_rng([seed, s]) for s in range(seeds)]
    return splitting.stack(
      [{n: g.permutation(rows) for n, rows in fixed.items()} for g in order]
    )
  ordered = {name: shares[name] for name in splitting.SHARES}
  return splitting.stack(
    [splitting.split(data.y, data.groups, ordered, seed + s) for s in range(seeds)]
  )
