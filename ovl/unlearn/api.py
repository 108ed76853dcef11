"""`ovl unlearn`: penalties x weights x seeds and erasers, judged by fresh attackers."""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ovl import fit, grid, probes, report, results
from ovl.judge import cells, removal
from ovl.load import settings as settings_of
from ovl.types import BadInput, Row
from ovl.unlearn import trees
from ovl.unlearn.attack import Attack, cases, permuted, raw
from ovl.unlearn.points import Point, Studio, points, subjects
from ovl.unlearn.settings import TREES, Settings, known

Progress = Callable[[float, str], None]


class Unlearning(NamedTuple):
  """The result: rows, and what a report says beside them."""

  rows: list[Row]
  meta: dict[str, Any]

  def table(self) -> str:
    """A short table: what each subject left, and what it cost."""
    return report.removal_table(self.rows)

  def report(self, directory: str | os.PathLike[str]) -> pathlib.Path:
    """Writes rows, `plots/front.*` and `report.html`; returns its path."""
    path = pathlib.Path(directory)
    results.write(self.rows, path)
    return report.write_removal(self.rows, self.meta, path)


def run(
  config: Mapping[str, Any],
  directory: pathlib.Path,
  progress: Progress = fit.quiet,
) -> tuple[Unlearning, pathlib.Path]:
  """Trains, erases, attacks and concludes; resumes what an earlier call left unfinished.

  Args:
    config: of the experiment: sections of `fit.prepare`, and `unlearn`.
    directory: the workdir.
    progress: called along the way.

  Returns:
    The result and the report's path.

  Raises:
    BadInput: anything a person can mend.
    FloatingPointError: every network without a penalty diverged.
  """
  started = time.time()
  made = settings_of(Settings, config.get("unlearn", {}), "unlearn")
  ground = fit.prepare(config)
  if ground.settings.checkpoint and (made.penalties or made.monitors):
    what = "penalties" if made.penalties else "monitors"
    raise BadInput(
      f"fit.checkpoint={ground.settings.checkpoint!r}: given networks are not trained, so "
      f"unlearn.{what} would do nothing; expected erasers alone, or no checkpoint"
    )
  attribute = known(made.attribute, ground.dataset.attributes)
  frame = cells.frame(
    ground.part, ground.dataset.y, len(ground.dataset.labels), ground.dataset.groups
  )
  column = cells.column(made.attribute, attribute, ground.dataset.y, frame)
  if column.state:
    raise BadInput(f"unlearn.attribute={made.attribute!r}: {column.state}")
  cache = directory / "checkpoints"
  studio = Studio(ground, frame, made, cache / "nets", progress)
  subjects(studio)
  fresh = [name for name in made.attackers if name != TREES]
  probes.critics(fresh, column.kind, "unlearn.attackers")
  settings_of(grid.Schedule, made.schedule, "unlearn.schedule")
  if moved := results.claim(directory, dict(config)):
    progress(0.0, moved)
  results.record(directory, "running", started)
  found = list(points(studio))

  base = Row(
    run=results.run_id(config), kind="unlearn", dataset=ground.dataset.name,
    task=" / ".join(ground.dataset.labels), model=config["model"]["name"],
  )  # fmt: skip
  attack = Attack(column, frame, made, ground.seeds[0], cache / "attackers")
  study = removal.Study(frame, base, ground.seeds, made.level, ground.seeds[0])
  rows, loud = _judged(found, ground.dataset.x, attack, study, progress)
  meta = {
    "title": f"{ground.dataset.name}: what it takes to forget {made.attribute}",
    "note": ground.dataset.note,
    "loud": loud,
    "wall_s": time.time() - started,
    "config": dict(config),
    "versions": results.versions(),
    "devices": results.devices(),
    "git": results.commit(),
    "entropy": column.entropy,
    "trees": trees.note(column, frame) if TREES in made.attackers else "",
    "num_models": frame.models,
    "split": {"train": int(ground.part["train"].shape[1])}
    | dict(zip(("probe", "stop", "test"), frame.sizes, strict=True)),
  }
  result = Unlearning(rows, meta)
  page = result.report(directory)
  results.record(directory, "complete", started, loud=loud)
  progress(1.0, "judged")
  return result, page


def _judged(
  found: list[Point], x_N: np.ndarray, attack: Attack, study: removal.Study,
  progress: Progress,
) -> tuple[list[Row], list[str]]:  # fmt: skip
  """Attacks every point at every tap, then concludes."""
  made = attack.made
  rows = removal.grounds(raw(x_N, attack, _within(progress, 0.5, 0.55)), study)
  loud: list[str] = []
  for number, tap in enumerate(made.taps):
    edges = 0.55 + 0.45 * (number + np.array([0, 0.9, 0.98])) / len(made.taps)
    attacked = cases(found, tap, attack, _within(progress, *edges[:2]))
    held = permuted(found, tap, attack, _within(progress, *edges[1:]))
    progress(float(edges[2]), "permutation tests")
    mine, warned = removal.conclude(attacked, held, study)
    rows, loud = rows + mine, loud + [w for w in warned if w not in loud]
  return rows, loud


def _within(progress: Progress, low: float, high: float) -> Progress:
  return lambda share, said: progress(float(low + share * (high - low)), said)
