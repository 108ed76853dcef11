"""The same cells of two runs side by side, with an interval of what they differ by."""

from __future__ import annotations

import pathlib
from typing import NamedTuple

import numpy as np
from scipy import stats as scipy_stats

from ovl import stats
from ovl.about import About
from ovl.report import save
from ovl.report.page import Page, Section
from ovl.report.table import Table, ends, interval, percent, terminal, varied
from ovl.types import BadInput, Row

METRICS = ("share_beyond_task", "task_accuracy")
Key = tuple[str, str, str, str, str]  # subject, setting, layer, attribute, metric


class Side(NamedTuple):
  """One of the two runs.

  Attributes:
    name: what it is called.
    rows: all of them.
    about: what they do not say.
  """

  name: str
  rows: list[Row]
  about: About

  @property
  def cells(self) -> dict[Key, Row]:
    """Aggregate rows that can be compared."""
    return {
      _key(row): row for row in self.rows if row.seed is None and row.metric in METRICS
    }

  @property
  def models(self) -> dict[Key, dict[int, float]]:
    """Value by seed of the models of every cell."""
    found: dict[Key, dict[int, float]] = {}
    for row in self.rows:
      if row.seed is not None and row.value is not None and row.metric in METRICS:
        found.setdefault(_key(row), {})[row.seed] = row.value
    return found


class Difference(NamedTuple):
  """Second minus first, a mean over models.

  Attributes:
    value: None where a side has no models of its own.
    low: of its t interval; None of a single model.
    high: the same.
    models: how many there were: "5 pairs", "5 and 3".
  """

  value: float | None
  low: float | None
  high: float | None
  models: str


def difference(
  first: dict[int, float], second: dict[int, float], paired: bool, level: float
) -> Difference:
  """Mean difference of two sets of models, and its t interval.

  Paired: mean of d_s = second_s - first_s, plus and minus t(S - 1) sd(d) / sqrt(S).
  Not paired: difference of means, plus and minus t(f) sqrt(v), v = v_1 / S_1 + v_2 / S_2
  and f = v^2 / sum((v_i / S_i)^2 / (S_i - 1)).

  Args:
    first: seed -> value.
    second: the same of the other run.
    paired: whether one seed is one model (its data, its start) in both.
    level: two-sided coverage.

  References:
    Welch (1947), Biometrika 34(1-2).
  """
  if paired and (seeds := sorted(first.keys() & second.keys())):
    d_S = np.array([second[seed] - first[seed] for seed in seeds])
    middle, _, low, high = stats.excess(d_S, level)
    return _finite(middle, low, high, f"{len(d_S)} pair{'s' * (len(d_S) > 1)}")
  models = f"{len(first)} and {len(second)}"
  if not first or not second:
    return Difference(None, None, None, models)
  a_S, b_S = np.array(list(first.values())), np.array(list(second.values()))
  middle = float(b_S.mean() - a_S.mean())
  if min(len(a_S), len(b_S)) < 2:
    return Difference(middle, None, None, models)
  parts = np.array([np.var(x_S, ddof=1) / len(x_S) for x_S in (a_S, b_S)])
  error = float(np.sqrt(parts.sum()))
  if error == 0:
    return Difference(middle, middle, middle, models)
  freedom = parts.sum() ** 2 / (parts**2 / (len(a_S) - 1, len(b_S) - 1)).sum()
  half = float(scipy_stats.t.ppf((1 + level) / 2, freedom)) * error
  return Difference(middle, middle - half, middle + half, models)


def _finite(middle: float, low: float, high: float, models: str) -> Difference:
  if np.isnan(low):
    return Difference(middle, None, None, models)
  return Difference(middle, low, high, models)


def table(first: Side, second: Side) -> Table:
  """A line a cell that both runs have.

  Raises:
    BadInput: they have none in common.
  """
  mine, theirs = first.cells, second.cells
  common = [key for key in mine if key in theirs]
  if not common:
    raise BadInput(
      f"{first.name} and {second.name} have no cell in common (subject, setting, layer, "
      "attribute): nothing to compare"
    )
  paired = same(first, second)
  level = max(first.about.level, second.about.level)
  a, b = first.models, second.models
  lines = []
  for key in common:
    subject, setting, layer, attribute, metric = key
    found = difference(a.get(key, {}), b.get(key, {}), paired, level)
    lines.append([
      attribute, layer, subject, varied(setting), metric.replace("_", " "),
      *(interval(row, 3) or row.verdict for row in (mine[key], theirs[key])),
      ends(found.value, found.low, found.high, 3), found.models,
    ])  # fmt: skip
  order = [*filter(None, dict.fromkeys(line[0] for line in lines)), ""]  # "": of the task
  lines.sort(key=lambda line: order.index(line[0]))
  heads = ("attribute", "layer", "subject", "setting", "metric", first.name, second.name)
  alone = [len(mine) - len(common), len(theirs) - len(common)]
  notes = [said(paired, level)]
  if any(alone):
    notes.append(
      f"Not in both, and left out: {alone[0]} cells of {first.name}, {alone[1]} of "
      f"{second.name}."
    )
  return Table((*heads, "difference", "models"), "httttnnnt", lines, notes=notes)


def same(first: Side, second: Side) -> bool:
  """Whether a seed stands for one model in both: of one data set and task, equal seeds."""
  mine, theirs = (
    {(row.dataset, row.task, row.seed) for row in one.rows
     if row.seed is not None and row.metric in METRICS}
    for one in (first, second)
  )  # fmt: skip
  return bool(mine) and mine == theirs and len({place[:2] for place in mine}) == 1


def said(paired: bool, level: float) -> str:
  """What the interval of a difference holds, and what it does not."""
  how = (
    "Both runs name the same data, task and seeds: differences are paired by seed."
    if paired
    else "The runs differ in data, task or seeds: differences are not paired (Welch)."
  )
  return (
    f"Difference: second minus first, a mean over models, with its {percent(level)} t "
    f"interval over models. {how} What another set of models would change is in the "
    "interval. What other test examples would change, where models share theirs, is not; "
    "nor is that many lines were looked at. A single model has no interval, and where a "
    "side has no rows of single models there is no difference."
  )


def write(first: Side, second: Side, directory: pathlib.Path) -> pathlib.Path:
  """Writes `compare.html` and `compare.md`; returns the former's path."""
  title = f"{first.name} and {second.name}"
  facts = [f"{one.name}: {one.about.title}" for one in (first, second)]
  warnings = [f"{one.name}: {w}" for one in (first, second) for w in one.about.warnings]
  section = Section("The same cells side by side", table=table(first, second))
  return save(Page(title, facts, [section], warnings), directory, "compare")


def text(first: Side, second: Side) -> str:
  """The table for a terminal."""
  return terminal(table(first, second))


def _key(row: Row) -> Key:
  return row.subject, row.setting, row.layer, row.attribute, row.metric
