"""How many examples it takes: spurious scores over doses, each against untouched twins."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ovl import stats
from ovl.memorise import nulls, scores
from ovl.memorise.lanes import Case, World
from ovl.memorise.outputs import AS_IT_IS, Outputs, gather
from ovl.memorise.settings import Settings
from ovl.run import Run
from ovl.types import Row

APART = 1_000_000  # between the seeds of networks and those of the null run
PLAIN: Mapping[str, float] = {}
METRICS = (
  "spurious_score", "spurious_score_others", "m_shift", "spurious_accuracy",
  "task_accuracy", "legacy_rejected",
)  # fmt: skip


class Cell(NamedTuple):
  """One pattern at one dose under one mitigation, S networks.

  Attributes:
    pattern: its name.
    dose: how many examples carry it; 0: none.
    weights: of the mitigation, () where there is none.
    null: networks of other seeds, none planted: what the test says of nothing.
    by_metric: metric -> `[S]`.
    alive: `[S]`.
  """

  pattern: str
  dose: int
  weights: tuple[tuple[str, float], ...]
  null: bool
  by_metric: dict[str, np.ndarray]
  alive: np.ndarray

  @property
  def subject(self) -> str:
    """Of rows."""
    return "null" if self.null else "planted" if self.dose else "unplanted"

  @property
  def setting(self) -> str:
    """Of rows."""
    return json.dumps({"dose": self.dose} | dict(self.weights))


class _Plan(NamedTuple):
  """The networks of a study, and which of them belong together."""

  cases: list[Case]
  groups: list[tuple[str, int, tuple[tuple[str, float], ...], bool, list[int]]]


def _plan(made: Settings, seeds: Sequence[int]) -> _Plan:
  """Unplanted networks serve every pattern; a network's three seeds are one number."""
  nothing = {name: 0.0 for name in sorted(made.mitigations)}
  tried: list[tuple[tuple[str, float], ...]] = [()]
  for name, each in sorted(made.mitigations.items()):
    tried += [((name, float(weight)),) for weight in each]
  cases: list[Case] = []
  groups = []

  def add(pattern: str, dose: int, weights: Any, apart: int = 0) -> list[int]:
    start = len(cases)
    mine = nothing | dict(weights)
    cases.extend(Case(pattern if dose else "", dose, s + apart, s, s, mine) for s in seeds)
    return list(range(start, len(cases)))

  for weights in tried:
    untouched = add("", 0, weights)
    apart = add("", 0, weights, APART) if not weights else []
    for pattern in made.patterns:
      groups.append((pattern, 0, weights, False, untouched))
      if apart:
        groups.append((pattern, 0, weights, True, apart))
      for dose in made.planted:
        groups.append((pattern, dose, weights, False, add(pattern, dose, weights)))
  return _Plan(cases, groups)


def cells(run: Run, world: World, made: Settings, seeds: Sequence[int]) -> list[Cell]:
  """Trains all networks of the study and scores them."""
  plan = _plan(made, seeds)
  readings = [AS_IT_IS, *((name, None) for name in made.patterns)]
  found = gather(run, world, plan.cases, readings, made.lanes)
  return [
    Cell(
      pattern, dose, weights, null,
      _scored(found, at, 1 + made.patterns.index(pattern), world, made), found.alive[at],
    )
    for pattern, dose, weights, null, at in plan.groups
  ]  # fmt: skip


def _scored(
  found: Outputs, at: list[int], p: int, world: World, made: Settings
) -> dict[str, np.ndarray]:
  c, u = (np.exp(found.said[at, i].astype(np.float64)) for i in (0, p))
  others = world.y_M != made.target
  hit = scores.spurious_score(c, u, made.target, made.threshold)
  moved = scores.shift(c, u, made.target)
  p_S = scores.legacy_pvalue(u, c, made.target)
  values = (
    hit.mean(1), hit[:, others].mean(1), moved.mean(1),
    scores.correct(u, world.y_M)[:, others].mean(1),
    scores.correct(c, world.y_M).mean(1), (p_S <= 0.05).astype(float),
  )  # fmt: skip
  return dict(zip(METRICS, values, strict=True))


# ---- rows --------------------------------------------------------------------------------


def rows(
  found: Sequence[Cell], base: Row, seeds: Sequence[int], made: Settings
) -> list[Row]:
  """Every number of a study of doses, models first, then what they say together."""
  out = [row for cell in found for row in _of_models(cell, base, seeds)]
  twins = {(c.pattern, c.weights): c for c in found if not c.dose and not c.null}
  chance = {k: c.by_metric["spurious_score"][c.alive].mean() for k, c in twins.items()}
  for cell in found:
    own = chance[cell.pattern, cell.weights]
    out += _together(cell, base, made.level, float(own))
  tested = [cell for cell in found if cell.dose or cell.null]
  differences = [_difference(c, twins[c.pattern, c.weights], made.level) for c in tested]
  p = np.array(
    [d.p if c.dose else np.nan for c, d in zip(tested, differences, strict=True)]
  )
  adjusted = stats.holm(p)
  sure: dict[tuple[str, Any], list[int]] = {}
  for cell, d, p_family in zip(tested, differences, adjusted, strict=True):
    p_said = float(d.p if cell.null else p_family)
    learnt = p_said <= 1 - made.level and d.low > 0
    if cell.dose:
      here = sure.setdefault((cell.pattern, cell.weights), [])
      here += [cell.dose] if learnt else []
    out.append(
      _base(cell, base)._replace(
        metric="excess_spurious_score", value=d.mean, low=d.low, high=d.high,
        level=made.level, p=p_said, num_seeds=int(_both(cell, twins).sum()),
        verdict="memorised" if learnt else "no evidence",
      )
    )  # fmt: skip
  for (pattern, weights), doses in sure.items():
    cell = twins[pattern, weights]
    out.append(
      _base(cell, base)._replace(
        subject="planted", setting=json.dumps(dict(weights)), metric="least_dose",
        unit="examples", value=min(doses) if doses else None,
        verdict="memorised" if doses else "no evidence", num_seeds=len(seeds),
      )
    )  # fmt: skip
  return out + list(_mitigated(found, twins, base, made.level))


def _base(cell: Cell, base: Row) -> Row:
  return base._replace(subject=cell.subject, setting=cell.setting, attribute=cell.pattern)


def _of_models(cell: Cell, base: Row, seeds: Sequence[int]) -> Iterator[Row]:
  for s, seed in enumerate(seeds):
    for metric in METRICS:
      value = float(cell.by_metric[metric][s]) if cell.alive[s] else None
      flag = "" if cell.alive[s] else "diverged"
      yield _base(cell, base)._replace(
        seed=seed + APART * cell.null, metric=metric, value=value, flag=flag
      )


def _together(cell: Cell, base: Row, level: float, chance: float) -> Iterator[Row]:
  for metric in METRICS:
    value, _, low, high = stats.excess(cell.by_metric[metric][cell.alive], level)
    kept = int(cell.alive.sum())
    if metric == "legacy_rejected":
      count = int(cell.by_metric[metric][cell.alive].sum())
      low, high = nulls.share_interval(count, kept, level)
    yield _base(cell, base)._replace(
      metric=metric, value=value, low=low, high=high, level=level, num_seeds=kept,
      chance=chance if metric == "spurious_score" else None,
    )  # fmt: skip


def _both(cell: Cell, twins: Mapping[Any, Cell]) -> np.ndarray:
  return cell.alive & twins[cell.pattern, cell.weights].alive


def _difference(
  cell: Cell, twin: Cell, level: float, metric: str = "spurious_score"
) -> nulls.Difference:
  both = cell.alive & twin.alive
  return nulls.paired(cell.by_metric[metric][both], twin.by_metric[metric][both], level)


def _mitigated(
  found: Sequence[Cell], twins: Mapping[Any, Cell], base: Row, level: float
) -> Iterator[Row]:
  """What a mitigation takes off the excess score, and what off the accuracy."""
  plain = {(c.pattern, c.dose): c for c in found if not c.weights and not c.null}
  tried = [cell for cell in found if cell.weights and cell.dose]
  out = []
  for cell in tried:
    without, twin = plain[cell.pattern, cell.dose], twins[cell.pattern, cell.weights]
    bare = plain[cell.pattern, 0]
    every = cell.alive & without.alive & twin.alive & bare.alive
    score = lambda c, on=every: c.by_metric["spurious_score"][on]  # noqa: E731
    gain = nulls.paired(score(without) - score(bare), score(cell) - score(twin), level)
    cost = _difference(without, cell, level, "task_accuracy")
    out.append((cell, int(every.sum()), gain, cost))
  adjusted = stats.holm(np.array([gain.p for _, _, gain, _ in out]))
  for (cell, kept, gain, cost), p in zip(out, adjusted, strict=True):
    for metric, d, p_said in (("removed_score", gain, p), ("task_cost", cost, None)):
      yield _base(cell, base)._replace(
        metric=metric, value=d.mean, low=d.low, high=d.high, level=level,
        p=None if p_said is None else float(p_said), num_seeds=kept,
      )  # fmt: skip
