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
from ovl.unlearn.penalised import Context, points, subjects, trainings
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
  setup = fit.prepare(config)
  if setup.settings.checkpoint and (made.penalties or made.monitors):
    what = "penalties" if made.penalties else "monitors"
    raise BadInput(
      f"fit.checkpoint={setup.settings.checkpoint!r}: given networks are not trained, so "
      f"unlearn.{what} would do nothing; expected erasers alone, or no checkpoint"
    )
  attribute = known(made.attribute, setup.dataset.attributes)
  frame = cells.frame(
    setup.part, setup.dataset.y, len(setup.dataset.labels), setup.dataset.groups
  )
  column = cells.column(made.attribute, attribute, setup.dataset.y, frame)
  if column.state:
    raise BadInput(f"unlearn.attribute={made.attribute!r}: {column.state}")
  context = Context(setup, frame, made, run)
  subjects(context)
  fresh = readers(made.attackers, column.kind, frame, made.schedule, "unlearn.attackers")
  fit.announce(lambda: trainings(context))
  run.begin()
  found = list(points(context))

  base = Row(
    run=run_id(config), kind="unlearn", dataset=setup.dataset.name,
    task=" / ".join(setup.dataset.labels), model=config["model"]["name"],
  )  # fmt: skip
  attack = Attack(column, fresh, list(layers(setup)), made.max_width)
  train = int(setup.part["train"].shape[1])
  trial = Trial(frame, base, setup.seeds, made.level, setup.seeds[0], train)
  rows = removal.grounds(trial, raw(setup.dataset.x, attack, run.part(0.5, 0.55)))
  warned: list[str] = []
  for number, tap in enumerate(made.taps):
    edges = 0.55 + 0.45 * (np.arange(2) + number) / len(made.taps)
    mine, more = _judged(found, tap, attack, trial, run.part(*edges))
    rows, warned = rows + mine, warned + [said for said in more if said not in warned]
  few = note(column, frame) if TREES in made.attackers else ""
  lost = [
    f"{one.name} {one.setting}: the network of seed {seed} went to infinity"
    for one in found
    if one.alive_S is not None
    for seed, alive in zip(setup.seeds, one.alive_S, strict=True)
    if not alive
  ]
  about = run.about(
    verb="unlearn",
    title=f"{setup.dataset.name}: what it takes to forget {made.attribute}",
    dataset=base.dataset, task=base.task, model=base.model, num_models=frame.models,
    level=made.level, readers=made.attackers, warnings=warned, lost=lost,
    notes=[said for said in (setup.dataset.note, few) if said],
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
