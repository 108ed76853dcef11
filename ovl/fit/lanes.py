"""What differs between networks trained side by side, and the batch each of them sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from ovl import rng, step
from ovl.fit import early
from ovl.types import BadInput, Params, TrainState

# `(given, batch, key) -> batch`: pure, inside the program; `given` is a lane's own.
Transform = Callable[[Any, step.Batch, PRNGKeyArray], step.Batch]
RATE = "learning_rate"  # in the weights: a lane's factor of the schedule


class Start(NamedTuple):
  """Where networks start from in place of their initialisation; leaves lead with S.

  Attributes:
    params: of the networks.
    state: likewise; None: as initialised.
    opt: of the optimiser; None: a fresh one, its schedule from the beginning.
  """

  params: Params
  state: Params = None
  opt: Params = None


class Lanes(NamedTuple):
  """What may differ between networks besides keys and weights; arrays lead with S.

  The data lie once in device memory; a lane has masks and codes of rows, not rows.

  Attributes:
    mask: `[S, N]` weight of every row of the data set in the loss; 0: not seen.
    targets: `[S, N]` task codes in place of the data set's.
    given: a pytree, what `Objective.transform` is given.
    start: where they start from.
  """

  mask: np.ndarray | None = None
  targets: np.ndarray | None = None
  given: Any = None
  start: Start | None = None


class Objective(NamedTuple):
  """What is asked of a training besides the task.

  Attributes:
    plan: monitors, penalties, mitigations; `steps` is filled in.
    weights: name of a penalty or mitigation -> weight `[S]` of each network; also
      "learning_rate": each network's factor of the learning rate, and "clip", "noise".
    attributes: name -> values `[N]` and mask `[N]`.
    rates: name -> share of each group in the train part.
    strict: a network whose loss is not finite is an error; else it stands still, and the
      others go on.
    lanes: what else differs between networks.
    transform: of every batch, before anything else: planting, augmentation.
    snapshots: numbers of steps after which the networks are kept.
    early: rows that judge and a patience: of every network its best epoch is returned.
  """

  plan: step.Plan = step.Plan()
  weights: Mapping[str, np.ndarray] = MappingProxyType({})
  attributes: Mapping[str, tuple[np.ndarray, np.ndarray]] = MappingProxyType({})
  rates: Mapping[str, np.ndarray] = MappingProxyType({})
  strict: bool = True
  lanes: Lanes = Lanes()
  transform: Transform | None = None
  snapshots: tuple[int, ...] = ()
  early: early.Early | None = None


TASK_ALONE = Objective()


class Own(NamedTuple):
  """Of one network, inside the program; None where it has nothing of its own."""

  weights: Mapping[str, Any]
  mask_N: Any = None
  y_N: Any = None
  given: Any = None


def own(objective: Objective) -> Own:
  """Everything of its own of every network, `[S, ...]`, on the host."""
  lanes = objective.lanes
  mask = None if lanes.mask is None else np.asarray(lanes.mask, np.float32)
  targets = None if lanes.targets is None else np.asarray(lanes.targets, np.int32)
  return Own(dict(objective.weights), mask, targets, lanes.given)


def check(objective: Objective, state: TrainState, N: int, steps: int) -> None:
  """Refuses what does not fit the networks of a state, and N rows.

  Raises:
    BadInput: names what does not fit.
  """
  S = len(state.step)
  shapes = {"lanes.mask": objective.lanes.mask, "lanes.targets": objective.lanes.targets}
  for name, value in shapes.items():
    if value is not None and np.shape(value) != (S, N):
      raise BadInput(f"{name} has shape {np.shape(value)}: expected {(S, N)}")
  if objective.lanes.mask is not None and jax.tree.leaves(state.state):
    raise BadInput(
      "this model has batch statistics, which see every row of a batch: no row can be "
      "masked out of a network's training"
    )
  rest = (dict(objective.weights), objective.lanes.given, objective.lanes.start)
  for path, leaf in jax.tree_util.tree_leaves_with_path(rest):
    if np.shape(leaf)[:1] != (S,):
      name = jax.tree_util.keystr(path[1:], simple=True, separator=".")
      raise BadInput(f"{name} of the lanes leads with {np.shape(leaf)[:1]}: expected {S}")
  beyond = [t for t in objective.snapshots if not 0 < t <= steps]
  if beyond:
    raise BadInput(f"snapshots={objective.snapshots}: expected steps in 1..{steps}")
  if objective.early is not None:
    early.check(objective.early)


def batch(
  data: step.Batch,
  rows_B: Array,
  mine: Own,
  transform: Transform | None,
  key: Any,
) -> step.Batch:
  """What one network sees of the rows: its own codes, weights and inputs.

  A row of weight 0 has no say in the loss nor in what critics see.

  Args:
    data: these rows of the data set.
    rows_B: their places in the data set.
    mine: of this network.
    transform: of the batch.
    key: of the transform.
  """
  x_B, y_B, attributes = data.rows
  weight_B = None if mine.mask_N is None else mine.mask_N[rows_B]
  if mine.y_N is not None:
    y_B = mine.y_N[rows_B]
  if weight_B is not None:
    there_B = (weight_B > 0).astype(jnp.float32)
    attributes = {n: (s_B, m_B * there_B) for n, (s_B, m_B) in attributes.items()}
  made = step.Batch(x_B, y_B, attributes, data.rates, rows_B, weight_B)
  return made if transform is None else transform(mine.given, made, key)


def keyed(key: PRNGKeyArray, now: Array) -> PRNGKeyArray:
  """Of the transform at a step."""
  return rng.at(rng.stream(key, "transform"), now)
