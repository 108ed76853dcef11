"""`ovl unlearn`: penalties x weights x seeds and erasers, judged by fresh attackers."""

from __future__ import annotations

import numpy as np

from ovl import fit, grid, probes
from ovl.about import run_id
from ovl.judge import cells, removal
from ovl.load import settings as settings_of
from ovl.run import Result, Run
from ovl.types import BadInput, Row
from ovl.unlearn import trees
from ovl.unlearn.attack import Attack, cases, permuted, raw
from ovl.unlearn.points import Point, Studio, points, subjects
from ovl.unlearn.settings import TREES, Settings, known


def study(run: Run) -> Result:
  """Trains, erases, attacks and concludes.

  Args:
    run: its config has the sections of `ovl.fit`, and "unlearn".

  Raises:
    BadInput: anything a person can mend.
    FloatingPointError: every network without a penalty diverged.
  """
  config = run.config
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
  studio = Studio(ground, frame, made, run)
  subjects(studio)
  fresh = [name for name in made.attackers if name != TREES]
  probes.critics(fresh, column.kind, "unlearn.attackers")
  settings_of(grid.Schedule, made.schedule, "unlearn.schedule")
  run.begin()
  found = list(points(studio))

  base = Row(
    run=run_id(config), kind="unlearn", dataset=ground.dataset.name,
    task=" / ".join(ground.dataset.labels), model=config["model"]["name"],
  )  # fmt: skip
  attack = Attack(column, frame, made, run)
  study = removal.Study(frame, base, ground.seeds, made.level, ground.seeds[0])
  rows, loud = _judged(found, ground.dataset.x, attack, study, run)
  note = trees.note(column, frame) if TREES in made.attackers else ""
  about = run.about(
    verb="unlearn",
    title=f"{ground.dataset.name}: what it takes to forget {made.attribute}",
    dataset=base.dataset, task=base.task, model=base.model, num_models=frame.models,
    level=made.level, readers=made.attackers, warnings=loud,
    notes=[said for said in (ground.dataset.note, note) if said],
    split={"train": int(ground.part["train"].shape[1])}
    | dict(zip(("probe", "stop", "test"), frame.sizes, strict=True)),
  )  # fmt: skip
  return Result(rows, about)


def _judged(
  found: list[Point], x_N: np.ndarray, attack: Attack, study: removal.Study, run: Run
) -> tuple[list[Row], list[str]]:
  """Attacks every point at every tap, then concludes."""
  made = attack.made
  rows = removal.grounds(raw(x_N, attack, run.part(0.5, 0.55)), study)
  loud: list[str] = []
  for number, tap in enumerate(made.taps):
    start, mid, end = 0.55 + 0.45 * (number + np.array([0, 0.9, 0.98])) / len(made.taps)
    attacked = cases(found, tap, attack, run.part(start, mid))
    held = permuted(found, tap, attack, run.part(mid, end))
    run.progress(float(end), "permutation tests")
    mine, warned = removal.conclude(attacked, held, study)
    rows, loud = rows + mine, loud + [w for w in warned if w not in loud]
  return rows, loud
