"""From a config: data, model, a split a seed, trained networks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from ovl import mesh, rng
from ovl import split as splitting
from ovl.fit.lanes import TASK_ALONE, Objective
from ovl.fit.rehearse import Asked
from ovl.fit.settings import Settings
from ovl.fit.train import Nets, fit
from ovl.load import load
from ovl.load import settings as settings_of
from ovl.progress import Progress, quiet
from ovl.run import Run
from ovl.types import BadInput, Dataset, Model


class Setup(NamedTuple):
  """What a config's networks stand on.

  Attributes:
    dataset: the examples.
    model: the network.
    part: "train", "probe", "stop", "test" -> rows `[S, N]` of each seed's own split.
    settings: how networks are trained.
    seeds: the number of each network.
    devices: the mesh.
  """

  dataset: Dataset
  model: Model
  part: dict[str, np.ndarray]
  settings: Settings
  seeds: list[int]
  devices: Mesh

  def train(
    self,
    directory: str | os.PathLike[str] | None = None,
    report: Progress = quiet,
    objective: Objective = TASK_ALONE,
    copies: int = 1,
  ) -> Nets:
    """One network a seed and copy, `[S * copies]`, the copies of a seed side by side.

    Copies share initialisation, split and order: a sweep of weights, which
    `objective.weights` holds for every network.
    """
    one = self.asked(objective, copies)
    return fit(
      one.model, one.x_N, one.y_N, one.rows_SN, one.key_S, one.settings, self.devices,
      directory, report, objective,
    )  # fmt: skip

  def asked(
    self, objective: Objective = TASK_ALONE, copies: int = 1, name: str = ""
  ) -> Asked:
    """What `train` would train."""
    lanes = np.repeat(np.arange(len(self.seeds)), copies)
    keys = rng.per_seed(self.seeds[0], len(self.seeds))[lanes]
    return Asked(
      self.model, self.dataset.x, self.dataset.y, self.part["train"][lanes], keys,
      self.settings, objective, name,
    )  # fmt: skip


def finite(setup: Setup, nets: Nets) -> tuple[Setup, Nets, list[str]]:
  """What is left when networks that went to infinity are, and a line on each that is not.

  Raises:
    FloatingPointError: none is left.
  """
  if nets.alive is None or nets.alive.all():
    return setup, nets, []
  keep = np.flatnonzero(nets.alive)
  if not len(keep):
    raise FloatingPointError(
      "no network has a finite loss: lower fit.learning_rate, or look at the inputs"
    )
  lost = [
    f"the network of seed {seed} went to infinity and is left out"
    for seed, alive in zip(setup.seeds, nets.alive, strict=True)
    if not alive
  ]
  host = mesh.get(nets._replace(snapshots=None))
  some: Nets = jax.tree.map(lambda leaf: leaf[keep], host)
  seeds, part = [setup.seeds[s] for s in keep], {n: r[keep] for n, r in setup.part.items()}
  return setup._replace(seeds=seeds, part=part), some, lost


class Study(NamedTuple):
  """Trained networks with the data they came from; see `Setup`."""

  dataset: Dataset
  model: Model
  nets: Nets
  part: dict[str, np.ndarray]
  devices: Mesh


def prepare(config: Mapping[str, Any]) -> Setup:
  """Loads the data and the model of a config and splits per seed.

  Args:
    config: sections seed, seeds, dataset, model, fit, split (others are left alone).

  Raises:
    BadInput: an unknown section, name or setting; too few rows for the split.
  """
  data: Dataset = load("datasets", **config["dataset"])
  model: Model = load("models", classes=len(data.labels), **config["model"])
  seeds, seed = int(config["seeds"]), int(config["seed"])
  if seeds < 1:
    raise BadInput(f"config.seeds={seeds}: expected at least 1")
  part = _parts(data, dict(config.get("split", splitting.SHARES)), seed, seeds)
  settings = settings_of(Settings, config.get("fit", {}), "fit")
  return Setup(
    data, model, part, settings, list(range(seed, seed + seeds)), Run(config).mesh(seeds)
  )


def study(
  config: Mapping[str, Any],
  directory: str | os.PathLike[str] | None = None,
  report: Progress = quiet,
) -> Study:
  """Trains all seeds of a config.

  Args:
    config: see `prepare`.
    directory: of checkpoints, or None.
    report: called along the way.

  Raises:
    BadInput: as `prepare`; a checkpoint that does not fit.
  """
  setup = prepare(config)
  nets = setup.train(directory, report)
  return Study(setup.dataset, setup.model, nets, setup.part, setup.devices)


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
