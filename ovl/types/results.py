"""What engines and programs hand on: lanes, findings, training states, rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Int

from ovl.types.base import Params


class Lane(NamedTuple):
  """One tap of all models; rows are `probe | stop | test`.

  Attributes:
    subject: "trained", "untrained", "raw", "permuted", or a penalty or eraser.
    layer: the tap.
    depth: its place among the layers of the network, 0 first; of the input -1.
    z_SND: activations, or what `np.asarray` reads.
    setting: compact JSON of what was swept, where something was.
    step: of training, where subjects are snapshots of it.
  """

  subject: str
  layer: str
  depth: int
  z_SND: np.ndarray
  setting: str = ""
  step: int | None = None


class Found(NamedTuple):
  """What one critic says of one lane's rows that it was not trained on.

  Attributes:
    stop: outputs `[S, V, A, N_stop, K]`; variants: alone, with the task label.
    test: outputs `[S, V, A, N_test, K]`.
    converged: `[S, V, A]` whether training ended before its limit.
  """

  stop: np.ndarray
  test: np.ndarray
  converged: np.ndarray


class TrainState(NamedTuple):
  """What a training step carries. No key: randomness is `rng.at(stream, step)`.

  Attributes:
    step: how many were taken.
    params: of the network.
    state: of the network.
    opt: of its optimiser.
    critics: term -> tap -> parameters and optimiser state.
    tasks: mitigation -> what it carries.
    alive: False since a loss or gradient was not finite: nothing has moved since.
    read: "term/tap" -> moving average of what the critic read.
  """

  step: Int[Array, ""]
  params: Params
  state: Params
  opt: Params
  critics: Params
  tasks: Params
  alive: Bool[Array, ""]
  read: dict[str, Array]


class Row(NamedTuple):
  """One reported number. `docs/rows.md` says what each column holds."""

  run: str = ""
  kind: str = "audit"
  dataset: str = ""
  task: str = ""
  model: str = ""
  subject: str = ""
  setting: str = ""
  step: int | None = None
  layer: str = ""
  layer_index: int | None = None
  width: int | None = None
  attribute: str = ""
  classes: int | None = None
  method: str = ""
  bound: str = ""
  seed: int | None = None
  num_seeds: int | None = None
  fold: int | None = None
  metric: str = ""
  unit: str = ""
  value: float | None = None
  low: float | None = None
  high: float | None = None
  level: float | None = None
  p: float | None = None
  flag: str = ""
  n_train: int | None = None
  n_eval: int | None = None
  chance: float | None = None
  verdict: str = ""
