"""`ovl unlearn`: penalties x weights x seeds and erasers, judged by fresh attackers."""

from __future__ import annotations

import numpy as np

from ovl import fit
from ovl.about import run_id
from ovl.judge import cells, removal
from ovl.judge.trial import Trial
from ovl.load import settings as settings_of
from ovl.readings import TREES, note, readers
from ovl.run import Result, Run
from ovl.subjects import Subject
from ovl.subjects.networks import layers
from ovl.types import BadInput, Row
from ovl.unlearn.attack import Attack, cases, permuted, raw
from ovl.unlearn.penalised import Studio, points, subjects
from ovl.unlearn.settings import Settings, known


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
  fresh = readers(made.attackers, column.kind, frame, made.schedule, "unlearn.attackers")
  run.begin()
  found = list(points(studio))

  base = Row(
    run=run_id(config), kind="unlearn", dataset=ground.dataset.name,
    task=" / ".join(ground.dataset.labels), model=config["model"]["name"],
  )  # fmt: skip
  attack = Attack(column, fresh, list(layers(ground)), made.max_width)
  train = int(ground.part["train"].shape[1])
  trial = Trial(frame, base, ground.seeds, made.level, ground.seeds[0], train)
  rows = removal.grounds(trial, raw(ground.dataset.x, attack, run.part(0.5, 0.55)))
  loud: list[str] = []
  for number, tap in enumerate(made.taps):
    edges = 0.55 + 0.45 * (np.arange(2) + number) / len(made.taps)
    mine, warned = _judged(found, tap, attack, trial, run.part(*edges))
    rows, loud = rows + mine, loud + [w for w in warned if w not in loud]
  few = note(column, frame) if TREES in made.attackers else ""
  about = run.about(
    verb="unlearn",
    title=f"{ground.dataset.name}: what it takes to forget {made.attribute}",
    dataset=base.dataset, task=base.task, model=base.model, num_models=frame.models,
    level=made.level, readers=made.attackers, warnings=loud,
    notes=[said for said in (ground.dataset.note, few) if said],
    split={"train": train}
    | dict(zip(("probe", "stop", "test"), frame.sizes, strict=True)),
  )  # fmt: skip
  return Result(rows, about)


def _judged(
  found: list[Subject], tap: str, attack: Attack, trial: Trial, run: Run
) -> tuple[list[Row], list[str]]:
  """Attacks every subject at a tap, then concludes."""
  attacked = cases(found, tap, attack, run.part(0.0, 0.9))
  held = permuted(found, tap, attack, run.part(0.9, 0.98))
  run.progress(0.98, "permutation tests")
  return removal.judge(trial, attacked, held)
