"""A verb from outside: how few labelled rows does it take to read one attribute?

ovl tests/fewshot.py --config=...
"""

import json
import sys
from dataclasses import dataclass

import numpy as np

from ovl import fit
from ovl.about import run_id
from ovl.judge import cells, reference, rows
from ovl.judge.trial import Trial
from ovl.load import nearest
from ovl.load import settings as settings_of
from ovl.readings import readers
from ovl.report import Section, Table
from ovl.report.table import interval
from ovl.run import Result, Verb
from ovl.subjects import Subject
from ovl.subjects.networks import layers, tapped
from ovl.types import BadInput, Row


@dataclass(frozen=True)
class Settings:
  """What is read, from how many rows."""

  attribute: str = "identity"
  tap: str = "fc1"
  sizes: tuple[int, ...] = (40, 80)
  level: float = 0.95

  def __post_init__(self):
    """Refuses what cannot be meant."""
    if not self.sizes or min(self.sizes) < cells.MIN_ROWS:
      raise BadInput(f"fewshot.sizes={self.sizes}: expected at least {cells.MIN_ROWS}")


def study(run):
  """Trains, taps, reads from ever more rows."""
  made = settings_of(Settings, run.config.get("fewshot", {}), "fewshot")
  setup = fit.prepare(run.config)
  data, there = setup.dataset, layers(setup)
  for where, name, known in (
    ("tap", made.tap, list(there)), ("attribute", made.attribute, list(data.attributes)),
  ):  # fmt: skip
    if name not in known:
      raise BadInput(f"fewshot.{where}={name!r}: {nearest(name, known)}")
  whole = cells.frame(setup.part, data.y, len(data.labels), data.groups)
  if max(made.sizes) > whole.sizes[0]:
    raise BadInput(f"fewshot.sizes={made.sizes}: the probe part has {whole.sizes[0]} rows")
  run.begin()
  nets = setup.train(run.path("nets"), run.part(0.0, 0.5, "training: ").progress)
  named, _ = tapped(setup, (nets.params, nets.state), whole, run)
  base = Row(run=run_id(run.config), kind="fewshot", dataset=data.name)
  out = []
  for number, size in enumerate(made.sizes):
    part = run.part(*(0.5 + 0.5 * (np.arange(2) + number) / len(made.sizes)))
    trial = Trial(_first(whole, size), base, setup.seeds, made.level)
    taps = {made.tap: _rows(named[made.tap], whole, size)}
    subject = Subject("trained", taps, json.dumps({"rows": size}))
    out += _read(subject, made, data, trial, list(there), part)
  about = run.about(
    verb=__file__, title=f"{data.name}: rows it takes to read {made.attribute}",
    num_models=whole.models, level=made.level, dataset=data.name,
  )  # fmt: skip
  return Result(out, about)


def _read(subject, made, data, trial, there, run):
  attribute = data.attributes[made.attribute]
  column = cells.column(made.attribute, attribute, data.y, trial.frame)
  fresh = readers(["linear"], column.kind, trial.frame, {}, "fewshot")
  cell = fresh.read(subject.lanes(there), [column], run).scored(0, 0, trial.frame)
  majority = reference.by_labels(column, trial.frame, use_task=False)
  alone, beyond = rows.of_scored(trial, cell, majority, None)
  return rows.both([*alone, *([] if beyond is None else [beyond])], trial)


def _first(frame, size):
  """The same rows with fewer to learn from."""
  return frame._replace(
    rows_SN=_rows(frame.rows_SN, frame, size), y_SN=_rows(frame.y_SN, frame, size),
    sizes=(size, *frame.sizes[1:]),
    groups_SN=None if frame.groups_SN is None else _rows(frame.groups_SN, frame, size),
  )  # fmt: skip


def _rows(x_SN, frame, size):
  return np.concatenate([x_SN[:, :size], x_SN[:, frame.sizes[0] :]], 1)


# ---- the report ----------------------------------------------------------------------


def terminal(rows, about):
  """A line a number of rows."""
  found = {}
  for row in rows:
    if row.seed is None:
      found.setdefault(row.setting, {})[row.metric] = row
  lines = [
    (f"{json.loads(setting)['rows']}", interval(by.get("share_beyond_task")),
     interval(by["accuracy"]), str(by["accuracy"].num_seeds))
    for setting, by in found.items()
    if "accuracy" in by
  ]  # fmt: skip
  heads = ("rows", "share beyond the task", "accuracy", "models")
  return Table(heads, "nnnn", lines, caption=about.title)


def sections(rows, about):
  """The same table on a page."""
  question = "How few labelled rows does an attacker need?"
  return [
    Section("The question", [question], lead=True),
    Section("By the number of rows", table=terminal(rows, about)),
  ]


VERB = Verb(
  said="how few labelled rows does it take to read one attribute?",
  study=study,
  page=sys.modules[__name__],
  config="digits",
  settings={"fewshot": Settings},
)
