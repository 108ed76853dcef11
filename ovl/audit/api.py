"""What does each layer know of each attribute, beyond the task it was trained for?"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ovl import fit, readings
from ovl.arrays import arrays, read
from ovl.audit.material import Material, from_arrays, from_config
from ovl.audit.settings import Settings
from ovl.judge import cells
from ovl.judge.cells import Column, Scored
from ovl.judge.conclude import Evidence, arranged, conclude
from ovl.judge.rows import Statistic, both, task_accuracy
from ovl.judge.trial import Trial
from ovl.load import settings as settings_of
from ovl.progress import Progress, quiet
from ovl.run import Result, Run
from ovl.subjects.released import released
from ovl.types import BadInput, Kind, Lane, Row

KINDS: tuple[Kind, ...] = ("discrete", "continuous")


def audit(
  taps: Mapping[str, Any],
  attributes: Mapping[str, Any],
  *,
  task: Any = None,
  groups: Any = None,
  untrained: Mapping[str, Any] | None = None,
  split: Any = None,
  ids: Any = None,
  seeds: Sequence[int] | np.ndarray | None = None,
  continuous: Iterable[str] = (),
  discrete: Iterable[str] = (),
  channels: str = "auto",
  mask: Any = None,
  lengths: Any = None,
  pool: str | Iterable[str] = (),
  seed: int = 0,
  progress: Progress = quiet,
  **settings: Any,
) -> Result:
  """Audits activations of any model, from any framework.

  Args:
    taps: name -> `[N, ...]` (or `[S, N, ...]` with `seeds`), in depth order, of rows the
      network was not trained on (or say so in `split`).
    attributes: name -> `[N]` integers, text or floats, or a table of such columns; nan,
      None, "" and "NA" are unknown. More than 20 distinct whole numbers are a quantity,
      unless they are codes 0..K-1 or 1..K without a gap.
    task: `[N]` what the network was trained for; None: nothing is entailed.
    groups: `[N]` person, writer, ...: kept on one side of every split.
    untrained: the same taps of the same networks before training.
    split: `[N]` of "train", "probe", "stop", "test"; default a fresh 40/10/50 per model.
    ids: `[N]` identities of the rows.
    seeds: one number a model where taps have a leading axis of models.
    continuous: attributes to take as quantities whatever their type.
    discrete: attributes to take as classes whatever their type.
    channels: where maps have them: "first", "last" or "auto": as their shape tells.
    mask: `[N, T]` of 0 and 1, or name -> such: which positions of `[N, T, D]` are real.
    lengths: `[N]` how many positions are real, in place of a mask.
    pool: of "mean", "last", "first" real position, each a tap of its own.
    seed: of splits and critics.
    progress: called with the share done and a word.
    **settings: of `Settings`: critics, max_width, level, schedule.

  Returns:
    A `Result`: `.rows`, `.table()`, `.report(directory)`. What was read in one of two
    ways, and rows that are copies of others, are warned of.

  Raises:
    BadInput: in one to four lines what came, where, and what fits.

  References:
    Song and Shmatikov (2020), Overlearning Reveals Sensitive Attributes,
    https://arxiv.org/abs/1905.11742, section 3 (inference from representations).
  """
  given = arrays(
    taps, attributes, untrained=untrained, task=task, groups=groups, split=split,
    ids=ids, seeds=seeds, continuous=continuous, discrete=discrete, channels=channels,
    mask=mask, lengths=lengths, pool=pool,
  )  # fmt: skip
  for doubt in given.doubts:
    warnings.warn(doubt, stacklevel=2)
  made, seed = make_settings(settings), int(seed)
  config = {"audit": asdict(made), "seed": seed}
  return judged(from_arrays(given, made, seed), made, Run(config, progress=progress))


def make_settings(given: Mapping[str, Any]) -> Settings:
  """Builds `Settings`; one critic may be given by its bare name."""
  critics = given.get("critics")
  bare = {"critics": (critics,)} if isinstance(critics, str) else {}
  made = settings_of(Settings, dict(given) | bare, "audit")
  for name in made.critics:
    if name != readings.TREES:
      readings.reads(name, "audit.critics")
  return made


def study(run: Run) -> Result:
  """`ovl audit`: networks of a config, or with a "path" given activations.

  Args:
    run: its config has the sections of `ovl.fit` and "audit"; with a "path" of it only
      "audit", "seed" and "read", what `arrays.read` takes beside the path.

  Raises:
    BadInput: anything a person can mend.
  """
  config = run.config
  settings, seed = make_settings(config.get("audit", {})), int(config.get("seed", 0))
  if not config.get("path"):
    setup = fit.prepare(config)
    run.begin()
    return judged(from_config(setup, settings, run), settings, run)
  given = read(config["path"], **config.get("read", {}))
  for sentence in given.said():
    run.say(sentence)
  run.begin()
  return judged(from_arrays(given, settings, seed), settings, run)


def judged(material: Material, settings: Settings, run: Run) -> Result:
  """Reads every cell, tests it and concludes.

  Args:
    material: what is judged.
    settings: how.
    run: its config's seed is that of critics and permutations.

  Raises:
    BadInput: no attribute has enough examples.
  """
  seed = int(run.config.get("seed", 0))
  trial = material.trial(settings.level, seed)
  subjects, bound = released(material.subjects, settings.release, seed)
  lanes = [lane for one in subjects for lane in one.lanes(material.layers)]
  cols = _columns(material)
  measured: list[Scored] = []
  statistics: list[Statistic] = []
  for kind in KINDS:
    if mine := [c for c in cols if c.kind == kind and not c.state]:
      some, more = _read(lanes, mine, material, settings, run.part(0.0, 0.9))
      measured, statistics = measured + some, statistics + more
  run.progress(0.9, "permutation tests")
  evidence = Evidence(cols, lanes, measured, statistics, bound)
  rows = conclude(trial, evidence)
  if material.correct_SN is not None:
    row = trial.row(subject="trained")
    rows += both([task_accuracy(trial, row, material.correct_SN)], trial)
  about = run.about(
    verb="audit",
    readers=settings.critics,
    level=settings.level,
    cells=len(evidence.tested),
    permutations=evidence.draws(trial),
    **material.about(cols),
  )
  return Result([*arranged(rows), *_narrowed(trial, material, lanes)], about)


def _columns(material: Material) -> list[Column]:
  """Every attribute; BadInput where none can be judged."""
  frame = material.frame
  cols = [
    cells.column(name, attribute, material.y_N, frame)
    for name, attribute in material.attributes.items()
  ]
  if not any(cells.enough(c, frame) for c in cols):
    said = ", ".join(f"{c.name} ({c.state})" for c in cols)
    raise BadInput(
      f"attributes: none has enough examples: {said}\n"
      f"expected {cells.MIN_ROWS} labelled rows in the probe and in the test part, "
      f"{cells.MIN_CLASS} of them in a second class"
    )
  return cols


def _read(
  lanes: list[Lane], cols: list[Column], material: Material, settings: Settings, run: Run
) -> tuple[list[Scored], list[Statistic]]:
  """Every reader on every lane, for attributes of one kind; then the control."""
  frame, kind = material.frame, cols[0].kind
  asked = readings.readers(
    settings.critics, kind, frame, settings.schedule, "audit.critics"
  )
  found = asked.read(lanes, cols, run.part(0.0, 0.8))
  # The shuffled control is refit, so only by a critic that is cheap to fit.
  control = readings.shuffled(cols, frame)
  held = [lane._replace(subject="permuted") for lane in lanes if lane.subject == "trained"]
  measured = found.all(frame)
  if control:
    again = asked.read(held, control, run.part(0.8, 0.95), [asked.cheapest])
    measured += again.all(frame, beyond=True)
  more = readings.statistics(asked.statistics, cols, lanes, frame, run.part(0.95, 1.0))
  return measured, more


def _narrowed(trial: Trial, material: Material, lanes: list[Lane]) -> list[Row]:
  """Of every tap of which fewer columns were read than there are: how many there are."""
  return [
    trial.row(
      lane, metric="columns", num_seeds=trial.frame.models,
      value=float(np.prod(material.reduced[lane.layer][0])),
    )
    for lane in lanes
    if lane.subject == "trained" and lane.layer in material.reduced
  ]  # fmt: skip
