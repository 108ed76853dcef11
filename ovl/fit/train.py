"""Trains S networks at once: one jitted step holds all seeds."""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Key

from ovl import checkpoint, mesh, processes, progress, step
from ovl.fit import chunks, early, lanes, program, rehearse, source
from ovl.fit.lanes import TASK_ALONE, Objective
from ovl.fit.settings import Settings
from ovl.progress import Progress, nth, quiet
from ovl.types import BadInput, Model, TrainState


class Nets(NamedTuple):
  """S networks, stacked on the leading axis of every leaf, and how they did.

  Attributes:
    params: trained parameters; where training is stopped early, each network's best.
    state: trained model state, likewise.
    first_params: the same networks before their first step.
    first_state: likewise.
    alive: `[S]` False where a loss or gradient was not finite: that one stands still
      since; None of given parameters.
    read: "term/tap" -> `[S]` moving average of what critics read while training.
    snapshots: `(params, state)` after each of `Objective.snapshots`, leaves `[T, S, ...]`.
    opt: state of the optimiser after the last step; None of given parameters.
    epochs: `[S]` after which epoch each was best; None where nothing is stopped early.
  """

  params: Any
  state: Any
  first_params: Any
  first_state: Any
  alive: np.ndarray | None = None
  read: Mapping[str, np.ndarray] = MappingProxyType({})
  snapshots: Any = None
  opt: Any = None
  epochs: np.ndarray | None = None


def fit(
  model: Model,
  x_N: np.ndarray,
  y_N: np.ndarray,
  rows_SN: np.ndarray,
  key_S: Key[Array, " s"],
  settings: Settings,
  grid: Mesh,
  directory: str | os.PathLike[str] | None = None,
  report: Progress = quiet,
  objective: Objective = TASK_ALONE,
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
    objective: penalties, monitors and mitigations, their weights, and what else differs
      between networks.

  Returns:
    The trained networks and their untrained twins.

  Raises:
    BadInput: a batch larger than the train part; a checkpoint that does not fit; lanes
      of another number than networks.
    FloatingPointError: a loss is not finite, where `objective.strict`; says whose.
  """
  asked = rehearse.Asked(model, x_N, y_N, rows_SN, key_S, settings, objective)
  if settings.batch_size > rows_SN.shape[1]:
    raise BadInput(
      f"fit.batch_size={settings.batch_size}: the train part has {rows_SN.shape[1]} rows"
    )
  rehearse.announce(lambda: [asked])
  S, most = len(rows_SN), chunks.most(asked, grid)
  if most >= S:
    return _together(asked, grid, directory, report)
  parts = []
  for number, at in enumerate(chunks.places(S, most)):
    home = None if directory is None else pathlib.Path(directory) / f"lanes-{at.start}"
    mine = nth(report, number, -(-S // most), f"{most} of {S} networks at once: ")
    nets = _together(chunks.taken(asked, at), grid, home, mine)
    parts.append(mesh.get(nets))
  joined: Nets = chunks.joined(parts)
  return joined


def _together(
  asked: rehearse.Asked,
  grid: Mesh,
  directory: str | os.PathLike[str] | None,
  report: Progress,
) -> Nets:
  """All of them as lanes of one program."""
  model, x_N, y_N, rows_SN, key_S, settings, objective, _ = asked
  epoch_steps = rows_SN.shape[1] // settings.batch_size
  steps = settings.epochs * epoch_steps
  plan = objective.plan._replace(steps=steps)
  host = (x_N, y_N, dict(objective.attributes))
  data = source.source(host, objective.rates, grid, settings.stream, settings.batch_size)
  made = program.programs(
    model, settings, epoch_steps, grid, plan, objective.transform, data.whole is None,
    x_N.shape[1:] if x_N.ndim > 2 else (),
  )  # fmt: skip
  key_S = mesh.put(key_S, grid, "seed")
  few = jax.tree.map(lambda leaf: np.asarray(leaf[: min(2, len(x_N))]), host)
  some: Any = mesh.put((*few, dict(objective.rates)), grid)
  state = made.init(key_S, step.Batch(*some))
  lanes.check(objective, state, len(x_N), steps)
  state = _started(state, objective.lanes.start, grid)
  # The step donates its state, so the twins are copies.
  first = jax.tree.map(jnp.copy, (state.params, state.state))
  if settings.checkpoint:
    given = checkpoint.restore(settings.checkpoint, {"params": first[0], "state": first[1]})
    return Nets(given["params"], given["state"], first[0], first[1])
  everything = (
    data,
    mesh.put(rows_SN, grid, "seed"),
    mesh.put(lanes.own(objective), grid, "seed"),
    key_S,
  )
  state, kept = _loop(state, everything, made, settings, objective, directory, report)
  alive, read = mesh.get((state.alive, state.read))
  best: early.Best | None = kept.get("best")
  nets = state if best is None else best
  return Nets(
    nets.params, nets.state, first[0], first[1], alive, read, kept.get("snapshots"),
    state.opt, None if best is None else mesh.get(best.epoch_S),
  )  # fmt: skip


def _loop(
  state: TrainState,
  everything: tuple[Any, ...],
  made: program.Programs,
  settings: Settings,
  objective: Objective,
  directory: str | os.PathLike[str] | None,
  report: Progress,
) -> tuple[TrainState, dict[str, Any]]:
  """Epoch after epoch, from where it was left; the last state, and what was kept."""
  data, rows_SN, own_S, key_S = everything
  grid = rows_SN.sharding.mesh
  epoch_steps = rows_SN.shape[1] // settings.batch_size
  plan = objective.plan._replace(steps=settings.epochs * epoch_steps)
  kept, done = _room(state, objective), 0
  if directory is not None and (
    found := checkpoint.last_good(directory, {"state": state, **kept})
  ):
    kept, done = found
    state = kept.pop("state")
  judges = mesh.put(objective.early, grid)
  with checkpoint.Saver(directory, settings.keep) as saver:
    for epoch in range(done // epoch_steps, settings.epochs):
      if _over(kept, objective):
        break
      order = data.order(made.order(key_S, rows_SN, mesh.put(np.int32(epoch), grid)))
      first, losses, began = max(done, epoch * epoch_steps), [], time.monotonic()
      for now in range(first, (epoch + 1) * epoch_steps):
        if processes.stopping():
          saver.save(now, {"state": state, **kept})
          raise processes.Stopped
        run = made.step(step.active(plan, now))
        at = (now - epoch * epoch_steps) * settings.batch_size
        # To the devices goes what is put there by name, and nothing else.
        with jax.transfer_guard_host_to_device("disallow"):
          rows = data.at(order, at, settings.batch_size)
          state, metrics = run(state, *rows, own_S, key_S)
          if now + 1 in objective.snapshots:
            place = mesh.put(np.int32(objective.snapshots.index(now + 1)), grid)
            nets = state.params, state.state
            kept["snapshots"] = program.keep(kept["snapshots"], nets, place)
        losses.append((metrics["loss"], metrics["alive"]))
      if "best" in kept:
        past = mesh.put(np.int32(epoch + 1), grid)
        kept["best"] = made.judge(kept["best"], state, past, judges)
      # Read once an epoch: the host must not wait for every step.
      loss_TS, alive_TS = (np.stack(each) for each in zip(*mesh.get(losses), strict=True))
      if objective.strict:
        _check_alive(alive_TS, first)
      last = epoch + 1 == settings.epochs or not alive_TS[-1].any()
      if last or _over(kept, objective) or (epoch + 1) % settings.save_every == 0:
        saver.save((epoch + 1) * epoch_steps, {"state": state, **kept})
      if not alive_TS[-1].any():
        break
      progress.measured((epoch + 1) * epoch_steps, {"loss": loss_TS.mean(0)})
      rate = len(losses) / (time.monotonic() - began)
      loss = loss_TS[:, alive_TS[-1]].mean()
      try:
        report((epoch + 1) / settings.epochs, f"loss {loss:.3f}, {rate:,.0f} steps/s")
      except processes.Stopped:  # who is told how far it is may have been asked to stop
        saver.save((epoch + 1) * epoch_steps, {"state": state, **kept})
        raise
  return state, kept


def _started(state: TrainState, start: lanes.Start | None, grid: Mesh) -> TrainState:
  """The state before the first step, where networks do not start afresh."""
  if start is None:
    return state
  given = state._replace(
    params=start.params,
    state=state.state if start.state is None else start.state,
    opt=state.opt if start.opt is None else start.opt,
  )
  mine, its = (
    [(jax.tree_util.keystr(p), np.shape(x)) for p, x in leaves]
    for leaves in map(jax.tree_util.tree_leaves_with_path, (state, given))
  )
  for one, other in zip(mine, its, strict=False):
    if one != other:
      raise BadInput(f"lanes.start does not fit the model: {other}, expected {one}")
  # The step donates what it is given; these are the caller's.
  return mesh.put(jax.tree.map(jnp.array, given), grid, "seed")


def _room(state: TrainState, objective: Objective) -> dict[str, Any]:
  """What is kept besides the state: snapshots, and every network's best."""
  kept: dict[str, Any] = {}
  if objective.snapshots:
    nets = state.params, state.state
    kept["snapshots"] = program.room(nets, len(objective.snapshots))
  if objective.early is not None:
    kept["best"] = early.start(state)
  return kept


def _over(kept: Mapping[str, Any], objective: Objective) -> bool:
  """Whether every network is done; where snapshots were asked for, all are made."""
  if objective.early is None or objective.snapshots:
    return False
  return early.over(kept["best"], objective.early)


def _check_alive(alive_TS: np.ndarray, first_step: int) -> None:
  ended = ~alive_TS[-1]
  if ended.any():
    step_ = first_step + int(np.argmin(alive_TS.all(1)))
    seeds = np.flatnonzero(ended).tolist()
    raise FloatingPointError(
      f"the loss of seed {seeds} is not finite from step {step_}: lower "
      "fit.learning_rate, or look at the inputs"
    )
