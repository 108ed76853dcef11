"""What an audit judges: activations that a person brought, or a config's own networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ovl import fit, workdir
from ovl.about import run_id
from ovl.arrays import Arrays
from ovl.audit.settings import Settings
from ovl.judge import cells
from ovl.judge.cells import Column, Frame
from ovl.judge.trial import Trial
from ovl.run import Run
from ovl.subjects import Subject
from ovl.subjects.given import brought
from ovl.subjects.networks import layers, reduced, tapped
from ovl.taps import INPUT
from ovl.types import Attribute, Row


class Material(NamedTuple):
  """What is judged, wherever it came from.

  Attributes:
    subjects: trained nets, untrained twins and the input.
    frame: the rows.
    layers: every tap in depth order.
    seeds: the number of each model.
    attributes: of the whole data set.
    y_N: task codes of the whole data set.
    task_labels: their names; one without a task.
    correct_SN: whether the network got each test row's task right, or None.
    base: what every row of the table has in common.
    title: of the page.
    split: rows of parts that are not judged.
    reduced: tap -> shape and width read, where fewer columns are read than there are.
    notes: of the data.
    warnings: what must not be overlooked.
    lost: of those, networks that came to nothing.
  """

  subjects: list[Subject]
  frame: Frame
  layers: list[str]
  seeds: list[int]
  attributes: Mapping[str, Attribute]
  y_N: np.ndarray
  task_labels: tuple[str, ...]
  correct_SN: np.ndarray | None
  base: Row
  title: str
  split: dict[str, int]
  reduced: dict[str, Any]
  notes: list[str]
  warnings: list[str]
  lost: Sequence[str] = ()

  def trial(self, level: float, seed: int) -> Trial:
    """The rows, and how they are judged."""
    train = self.split.get("train", 0)
    return Trial(self.frame, self.base, self.seeds, level, seed, train)

  def about(self, cols: list[Column]) -> dict[str, Any]:
    """What the page says of it."""
    frame = self.frame
    groups = frame.groups_SN
    sizes = dict(zip(("probe", "stop", "test"), frame.sizes, strict=True))
    alone = "examples" if groups is None else "groups"
    return {
      "title": self.title,
      "dataset": self.base.dataset,
      "task": self.base.task,
      "model": self.base.model or "given activations",
      "num_models": frame.models,
      "unit": "models" if frame.models > 1 else alone,
      "split": self.split | sizes,
      "groups": None if groups is None else len(np.unique(groups)),
      "attributes": {c.name: self._described(c) for c in cols},
      "task_labels": list(self.task_labels),
      "reduced": self.reduced,
      "notes": self.notes,
      "warnings": self.warnings,
      "lost": list(self.lost),
    }

  def _described(self, c: Column) -> dict[str, Any]:
    return {
      "kind": c.kind,
      "classes": len(c.labels) or None,
      "labels": list(c.labels),
      "entropy": c.entropy if np.isfinite(c.entropy) else None,
      "entropy_given_task": c.entropy_given if np.isfinite(c.entropy_given) else None,
      "known": int(self.attributes[c.name].known.sum()),
    }


def from_arrays(given: Arrays, settings: Settings, seed: int) -> Material:
  """Activations that a person brought."""
  its = brought(given, settings.max_width, seed)
  config = {"audit": vars(settings), "seed": seed}
  base = Row(run=run_id(config), dataset="arrays", task="task" if given.task else "")
  return Material(
    its.subjects, its.frame, its.layers, its.seeds, given.attributes, its.y_N,
    its.task_labels, None, base, "Audit of given activations", {}, its.reduced,
    list(given.notes), its.warnings,
  )  # fmt: skip


def from_config(setup: fit.Setup, settings: Settings, run: Run) -> Material:
  """Trains the networks of a config and taps them, their twins and the input."""
  data, train = setup.dataset, run.part(0.0, 0.4, "training: ")
  aim = fit.TASK_ALONE._replace(strict=False)
  nets = setup.train(run.path("nets"), train.progress, aim)
  setup, nets, lost = fit.finite(setup, nets)
  if lost:  # the others need not be as many as the mesh that was asked for divides
    run = replace(run, config=workdir.claimed(run.config))
  frame = cells.frame(setup.part, data.y, len(data.labels), data.groups)
  width = settings.max_width

  def tap(
    subject: str, weights: tuple[Any, Any]
  ) -> tuple[dict[str, np.ndarray], np.ndarray]:
    part = run.part(0.4, 0.45, f"tapping the {subject} networks")
    return tapped(setup, weights, frame, part, width)

  named, correct_SN = tap("trained", (nets.params, nets.state))
  twins, _ = tap("untrained", (nets.first_params, nets.first_state))
  raw = {INPUT: named.pop(INPUT)}
  del twins[INPUT]
  subjects = [Subject("raw", raw), Subject("trained", named), Subject("untrained", twins)]
  base = Row(
    run=run_id(run.config), dataset=data.name, task=" / ".join(data.labels),
    model=run.config["model"]["name"],
  )  # fmt: skip
  return Material(
    subjects, frame, list(layers(setup)), setup.seeds, data.attributes, data.y,
    data.labels, correct_SN, base, f"{data.name}: what the network knows beyond its task",
    {"train": int(setup.part["train"].shape[1])}, reduced(setup, width),
    [data.note] if data.note else [], lost, lost,
  )  # fmt: skip
