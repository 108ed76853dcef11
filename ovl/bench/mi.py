"""Mutual-information methods where the truth is known: `ovl bench mi`."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy import stats as scipy_stats

from ovl import mi
from ovl.load import load, nearest, tasks
from ovl.run import Result, Run
from ovl.types import BadInput, Dataset, Row


class Cell(NamedTuple):
  """One method on one sample of one task."""

  module: str
  task: str
  given: tuple[tuple[str, Any], ...]
  method: str
  size: int
  draw: int

  def dataset(self) -> Dataset:
    """The sample."""
    given = dict(self.given) | {"task": self.task, "n": self.size, "seed": self.draw}
    made: Dataset = load("datasets", self.module, **given)
    return made


def study(run: Run) -> Result:
  """Every method on every task, size and draw; finished cells are not run again.

  Args:
    run: its config has `tasks` ("module", "module:task", settings after "?":
      "mixtures?width=64"), `methods`, `sizes`, `draws` (samples of each task), `mi`
      (settings of `mutual_information`), `seed`.

  Raises:
    BadInput: an unknown task, method or setting.
  """
  cells, settings = _cells(run.config), dict(run.config.get("mi", {}))
  run.begin()
  rows = []
  for number, cell in enumerate(cells):
    said = f"{cell.method} on {cell.task}, sample {cell.draw}"
    run.progress(number / len(cells), said)
    rows += run.rows("cells", repr(cell), make=functools.partial(_measure, cell, settings))
  level = settings.get("level", 0.95)
  rows += _aggregates(rows, level)
  title = "Mutual information where the truth is known"
  return Result(rows, run.about(verb="bench", title=title, level=level))


def _cells(config: Mapping[str, Any]) -> list[Cell]:
  wanted: list[tuple[str, str, tuple[tuple[str, Any], ...]]] = []
  for text in config["tasks"]:
    name, _, query = text.partition("?")
    module, _, task = name.partition(":")
    given = tuple(
      (key, int(value))
      for key, _, value in (q.partition("=") for q in query.split("&") if q)
    )
    known = tasks(module)
    if task and task not in known:
      raise BadInput(f"bench.tasks: {task!r} of {module}: {nearest(task, known)}")
    wanted += [(module, one, given) for one in ([task] if task else known)]
  draws = range(int(config["seed"]), int(config["seed"]) + int(config["draws"]))
  found = []
  for module, task, given in wanted:
    for method in config["methods"]:
      for size in config["sizes"]:
        found += [Cell(module, task, given, method, int(size), draw) for draw in draws]
  # A method may not read every task: said once, before anything is run.
  return [cell for cell in found if _fits(cell)]


def _fits(cell: Cell) -> bool:
  sample = cell._replace(size=200, draw=0).dataset()
  kind = next(iter(sample.attributes.values())).kind
  return cell.method == "auto" or cell.method in mi.reading(kind)


def _measure(cell: Cell, settings: dict[str, Any]) -> list[Row]:
  sample = cell.dataset()
  (name, attribute), *_ = sample.attributes.items()
  truth = float(sample.truth[name])
  clock = time.perf_counter()
  found = mi.mutual_information(
    sample.x, attribute.values, cell.method, groups=sample.groups,
    kind=attribute.kind if attribute.values.ndim == 1 else None,
    **settings | {"seed": cell.draw},
  )  # fmt: skip
  seconds = time.perf_counter() - clock
  assert isinstance(found, mi.Estimate)
  base = Row(
    kind="bench", dataset=cell.module, task=cell.task, attribute=name,
    classes=len(attribute.labels) or None, method=cell.method, seed=cell.draw,
    width=int(np.prod(sample.x.shape[1:])), subject="raw",
    setting=json.dumps(dict(cell.given) | {"n": len(sample.x), "truth": round(truth, 5)}),
    n_train=found.n_train, n_eval=found.n_eval,
  )  # fmt: skip
  covered = float(found.low <= truth <= found.high)
  rows = [
    base._replace(
      metric="information", unit="nats", value=found.nats, low=found.low,
      high=found.high, level=found.level, p=found.p, flag=found.flag,
      bound=found.bound, verdict=found.method, chance=0.0,
    ),
    base._replace(metric="error", unit="nats", value=found.nats - truth, chance=0.0),
    base._replace(metric="coverage", unit="share", value=covered, chance=found.level),
    base._replace(metric="seconds", unit="s", value=seconds),
  ]  # fmt: skip
  if np.isfinite(found.certified_low):
    rows.append(
      base._replace(
        metric="certified_low",
        unit="nats",
        value=found.certified_low,
        level=found.level,
        bound="lower",
      )
    )
  return rows


def _aggregates(rows: list[Row], level: float) -> list[Row]:
  """Over the samples of a task: the mean and its t interval."""
  cells: dict[tuple[Any, ...], list[Row]] = {}
  for row in rows:
    key = (row.dataset, row.task, row.setting, row.method, row.metric)
    cells.setdefault(key, []).append(row)
  found = []
  for mine in cells.values():
    values = np.array([row.value for row in mine], float)
    low = high = None
    if len(values) > 1:
      half = scipy_stats.t.ppf((1 + level) / 2, len(values) - 1) * scipy_stats.sem(values)
      low, high = values.mean() - half, values.mean() + half
    flags = [row.flag for row in mine]
    common = max(set(flags), key=flags.count)
    found.append(
      mine[0]._replace(
        seed=None,
        num_seeds=len(mine),
        value=float(values.mean()),
        low=low,
        high=high,
        level=level,
        p=None,
        flag=common,
        verdict=", ".join(sorted({row.verdict for row in mine} - {""})),
      )
    )
  return found
