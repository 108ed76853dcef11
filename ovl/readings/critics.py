"""Critics of the grid as readers: found by name, fitted to lanes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np

from ovl import grid, rng
from ovl.judge.cells import Column, Frame
from ovl.load import load
from ovl.load import settings as settings_of
from ovl.run import Run
from ovl.types import BadInput, Critic, Found, Kind, Lane

_program = jax.jit(grid.run, static_argnames=("critic", "sizes", "schedule", "mesh"))


def reads(name: str, where: str) -> list[Kind]:
  """The kinds of attributes a critic reads.

  Raises:
    BadInput: no such critic, or it reads neither classes nor quantities.
  """
  found: list[Kind] = []
  kinds: tuple[Kind, ...] = ("discrete", "continuous")
  for kind in kinds:
    try:
      load("critics", name, attribute=kind)
    except BadInput as error:
      refused = error
    else:
      found.append(kind)
  if not found:
    raise BadInput(f"{where}: {refused}")
  return found


def critics(
  names: Iterable[str], kind: Kind, where: str
) -> tuple[dict[str, Critic], dict[str, Critic]]:
  """Critics that predict, and those that are a number of the rows.

  One that does not read this kind of attribute is left to the other kind.

  Raises:
    BadInput: a critic that is no number to report; none predicts this kind.
  """
  read: dict[str, Critic] = {}
  scored: dict[str, Critic] = {}
  for name in names:
    if kind not in reads(name, where):
      continue
    critic = load("critics", name, attribute=kind)
    if "audit" not in critic.uses:
      raise BadInput(f"{where}: {name!r} is a penalty: no number to report")
    if critic.logits is None and critic.score is not None:
      raise BadInput(f"{where}: {name!r} predicts no attribute; it is for `ovl mi`")
    (scored if critic.logits is None else read)[name] = critic
  if not read:
    raise BadInput(
      f"{where}={tuple(names)}: none predicts a {kind} attribute; add one such as 'linear'"
    )
  return read, scored


def schedule(given: Mapping[str, Any], where: str = "schedule") -> grid.Schedule:
  """How critics that learn by their loss are trained."""
  return settings_of(grid.Schedule, given, where)


def fitted(
  critic: Critic, cols: list[Column], lanes: list[Lane], frame: Frame,
  given: Mapping[str, Any], run: Run,
) -> list[Found]:  # fmt: skip
  """What a critic fitted on the probe part says of the others, of every lane.

  Args:
    critic: one that predicts.
    cols: attributes of one kind.
    lanes: the taps.
    frame: the rows.
    given: settings of `ovl.grid.Schedule`.
    run: its config's seed is that of the training.
  """
  task_SNC = np.eye(frame.C, dtype=np.float32)[frame.y_SN]
  key_S = rng.per_seed(int(run.config.get("seed", 0)), frame.models)
  return grid.sweep(
    _program, critic, lanes, labels(cols), task_SNC, key_S, frame.sizes, schedule(given),
    run.mesh(frame.models), run.progress,
  )  # fmt: skip


def labels(cols: list[Column]) -> grid.Labels:
  """Attributes of one kind, padded to the most classes."""
  K = max(c.outputs for c in cols)
  continuous = cols[0].kind == "continuous"
  return grid.Labels(
    np.stack([c.s_SN for c in cols], 1).astype(np.float32 if continuous else np.int32),
    np.stack([c.mask_SN for c in cols], 1).astype(np.float32),
    np.stack([np.arange(K) < c.outputs for c in cols]),
  )
