"""`ovl memorise`: planted networks against twins that never saw the pattern."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ovl import plant
from ovl.about import run_id
from ovl.load import settings as settings_of
from ovl.memorise import dose, forget, leak, member, theory, unique
from ovl.memorise.lanes import World
from ovl.memorise.settings import Settings, world
from ovl.run import Result, Run
from ovl.types import Row

SHOWN = 8  # patterns that are drawn
TITLES = {
  "dose": "how many examples it takes until a pattern is learnt",
  "unique": "is a feature of a single image remembered?",
  "forget": "what is left of a pattern when its examples are taken out",
  "leak": "what one training gives away of single features",
  "member": "who was in the training set?",
}
THREAT = {
  "dose": "Whoever scores knows the pattern and its class, and sees softmax outputs on "
  "held-out images of the same kind.",
  "forget": "Whoever deletes has the network, its data and the list of examples; scores "
  "are of held-out images.",
  "leak": "Whoever guesses knows every patch, its place and its carrier's class, and sees "
  "softmax outputs on held-out images; the white box sees every noised sum, and knows all "
  "data but the coins.",
  "member": "Whoever attacks has networks trained alike on random halves of the same data, "
  "and sees the softmax output of the attacked one.",
  "unique": "Whoever scores knows the feature and sees softmax outputs on held-out images; "
  "m_label_free and m_argmax need no label, m_label_known and m_shift that of the image.",
}


def study(run: Run) -> Result:
  """Trains, reads and concludes.

  Args:
    run: its config has seed, seeds, dataset, model, fit and "memorise".

  Raises:
    BadInput: anything a person can mend.
  """
  config = run.config
  made = settings_of(Settings, config.get("memorise", {}), "memorise")
  data, setup = world(config, made)
  run.begin()
  seeds = list(range(int(config["seed"]), int(config["seed"]) + int(config["seeds"])))
  base = Row(
    run=run_id(config), kind="memorise", dataset=data.name, task=" / ".join(data.labels),
    model=config["model"]["name"], classes=len(data.labels), n_train=len(setup.x_N),
    n_eval=len(setup.x_M),
  )  # fmt: skip
  here = run.part(0.0, 0.97)
  rooms: dict[str, Any] = {
    "dose": dose, "unique": unique, "forget": forget, "leak": leak,
    "member": member,
  }  # fmt: skip
  room = rooms[made.question]
  rows = room.rows(room.cells(here, setup, made, seeds), base, seeds, made)
  if made.question == "dose":
    rows = [*rows, *_ridge(setup, made, base)]
  about = run.about(
    verb="memorise", title=f"{data.name}: {TITLES[made.question]}", dataset=data.name,
    task=base.task, model=base.model, num_models=len(seeds), level=made.level,
    split={name: len(x) for name, x in _parts(setup).items() if len(x)},
    notes=list(
      filter(None, (data.note, THREAT[made.question], _seeds(seeds), _prevents(made)))
    ),
    warnings=_lost(rows) + _warnings(rows), lost=_lost(rows),
    attributes=_pictures(setup, made, rows, data.labels),
  )  # fmt: skip
  return Result(rows, about)


def _parts(setup: World) -> dict[str, np.ndarray]:
  return {"train": setup.x_N, "validation": setup.x_V, "test": setup.x_M}


def _ridge(setup: World, made: Settings, base: Row) -> Iterator[Row]:
  """What ridge regression would say of every pattern and dose, in closed form."""
  for name in made.patterns:
    pattern = plant.named(name, setup.shape, 0)
    for dose_ in made.planted:
      model = theory.fitted(setup.x_N, setup.y_N, made.target, pattern, dose_)
      # A prediction in -1..1 moves by the score, a probability by half of it.
      yield base._replace(
        subject="ridge", setting=json.dumps({"dose": dose_}), attribute=name,
        metric="m_shift", method="closed_form", value=theory.ridge(model).score / 2,
      )  # fmt: skip


def _pictures(
  setup: World, made: Settings, rows: Sequence[Row], labels: Sequence[str]
) -> dict[str, dict[str, Any]]:
  """The first image of the target class under the first patterns, for the page.

  Where members are asked for: the images that rows name.
  """
  if made.question == "member":
    return member.pictures(rows, setup, labels)
  first = setup.x_N[setup.y_N == made.target][0]
  out: dict[str, dict[str, Any]] = {}
  for name in made.patterns[: SHOWN * (made.question not in ("leak", "member"))]:
    image = plant.paint(plant.named(name, setup.shape, 0), first)
    out[name] = {"kind": "pattern", "image": np.round(image.astype(float), 2).tolist()}
  return out


def _seeds(seeds: Sequence[int]) -> str:
  return (
    f"The unit is the network: {len(seeds)} seeds; each settles initialisation and order "
    "of the data, which images carry the pattern, and the pattern where it is drawn, by "
    "streams of their own."
  )


def _prevents(made: Settings) -> str:
  """What the verdicts on ways of training test."""
  if not made.regimes and not made.mitigations:
    return ""
  return (
    "A way of training prevents where the upper end of the excess over its own twins is "
    f"below {made.negligible:g}; it reduces where the excess is smaller than without it, "
    f"paired by seed, at p <= {1 - made.level:.2g} by Holm; it does not prevent where the "
    "excess is above 0 at that level. Where its twins score so high by themselves that the "
    "excess without it has no room (at the ceiling), it neither prevents nor reduces."
  )


def _lost(rows: Sequence[Row]) -> list[str]:
  """Networks that came to nothing."""
  gone = {(row.attribute, row.seed) for row in rows if row.flag == "diverged"}
  said = "networks went to infinity and are left out with their twins: lower"
  return [f"{len(gone)} {said} fit.learning_rate"] if gone else []


def _warnings(rows: Sequence[Row]) -> list[str]:
  """What must not be overlooked."""
  out = []
  null = [
    row for row in rows
    if row.metric == "excess_spurious_score" and row.subject == "null"
  ]  # fmt: skip
  false = [row.attribute for row in null if row.verdict == "memorised"]
  if false:
    out.append(
      f"the null run, where nothing was planted, is called memorised for "
      f"{', '.join(false)}: at most one in twenty should be"
    )
  return out
