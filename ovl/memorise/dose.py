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
from ovl.memorise.regimes import Found, verdict
from ovl.memorise.settings import Settings
from ovl.run import Run
from ovl.types import Row

APART = 1_000_000  # between the seeds of networks and those of the null run
Way = tuple[tuple[str, Any], ...]  # (name, weight) of a mitigation, ("regime", name), or ()
METRICS = (
  "spurious_score", "spurious_score_others", "m_shift", "spurious_accuracy",
  "task_accuracy", "legacy_rejected",
)  # fmt: skip


class Cell(NamedTuple):
  """One pattern at one dose under one way of training, S networks.

  Attributes:
    pattern: its name.
    dose: how many examples carry it; 0: none.
    way: of training, () as it is.
    null: networks of other seeds, none planted: what the test says of nothing.
    by_metric: metric -> `[S]`.
    alive: `[S]`.
  """

  pattern: str
  dose: int
  way: Way
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
    return json.dumps({"dose": self.dose} | dict(self.way))


class _Plan(NamedTuple):
  """The networks of a study, and which of them belong together."""

  cases: list[Case]
  groups: list[tuple[str, int, Way, bool, list[int]]]


def _plan(made: Settings, seeds: Sequence[int], regime: str) -> _Plan:
  """Unplanted networks serve every pattern; a network's three seeds are one number."""
  nothing = {name: 0.0 for name in sorted(made.mitigations)}
  tried: list[Way] = [()]
  for name, each in sorted(made.mitigations.items()):
    tried += [((name, float(weight)),) for weight in each]
  if regime:  # a program of its own, which has its own weights
    nothing, tried = {}, [(("regime", regime),)]
  cases: list[Case] = []
  groups = []

  def add(pattern: str, dose: int, way: Way, apart: int = 0) -> list[int]:
    start, mine = len(cases), nothing | ({} if regime else dict(way))
    cases.extend(Case(pattern if dose else "", dose, s + apart, s, s, mine) for s in seeds)
    return list(range(start, len(cases)))

  for way in tried:
    untouched = add("", 0, way)
    apart = add("", 0, way, APART) if not way else []
    for pattern in made.patterns:
      groups.append((pattern, 0, way, False, untouched))
      if apart:
        groups.append((pattern, 0, way, True, apart))
      for dose in made.planted:
        groups.append((pattern, dose, way, False, add(pattern, dose, way)))
  return _Plan(cases, groups)


def cells(run: Run, world: World, made: Settings, seeds: Sequence[int]) -> list[Cell]:
  """Trains all networks of the study and scores them, a program a regime."""
  worlds, out = {"": world, **world.regimes}, []
  readings = [AS_IT_IS, *((name, None) for name in made.patterns)]
  for number, (regime, mine) in enumerate(worlds.items()):
    low, high = number / len(worlds), (number + 1) / len(worlds)
    here = run.part(low, high, f"{regime}: " if regime else "")
    plan = _plan(made, seeds, regime)
    kept = [regime] if regime else []
    found = gather(here, mine, plan.cases, readings, made.lanes, *kept)
    out += [
      Cell(
        pattern, dose, way, null,
        _scored(found, at, 1 + made.patterns.index(pattern), world, made), found.alive[at],
      )
      for pattern, dose, way, null, at in plan.groups
    ]  # fmt: skip
  return out


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
  twins = {(c.pattern, c.way): c for c in found if not c.dose and not c.null}
  chance = {k: c.by_metric["spurious_score"][c.alive].mean() for k, c in twins.items()}
  for cell in found:
    own = chance[cell.pattern, cell.way]
    out += _together(cell, base, made.level, float(own))
  tested = [cell for cell in found if cell.dose or cell.null]
  differences = [_difference(c, twins[c.pattern, c.way], made.level) for c in tested]
  p = np.array(
    [d.p if c.dose else np.nan for c, d in zip(tested, differences, strict=True)]
  )
  adjusted = stats.holm(p)
  sure: dict[tuple[str, Way], list[int]] = {}
  left: dict[tuple[str, int, Way], tuple[nulls.Difference, bool]] = {}
  for cell, d, p_family in zip(tested, differences, adjusted, strict=True):
    p_said = float(d.p if cell.null else p_family)
    learnt = p_said <= 1 - made.level and d.low > 0
    if cell.dose:
      here = sure.setdefault((cell.pattern, cell.way), [])
      here += [cell.dose] if learnt else []
      left[cell.pattern, cell.dose, cell.way] = d, learnt
    out.append(
      _base(cell, base)._replace(
        metric="excess_spurious_score", value=d.mean, low=d.low, high=d.high,
        level=made.level, p=p_said, num_seeds=int(_both(cell, twins).sum()),
        verdict="memorised" if learnt else "no evidence",
      )
    )  # fmt: skip
  for (pattern, way), doses in sure.items():
    cell = twins[pattern, way]
    out.append(
      _base(cell, base)._replace(
        subject="planted", setting=json.dumps(dict(way)), metric="least_dose",
        unit="examples", value=min(doses) if doses else None,
        verdict="memorised" if doses else "no evidence", num_seeds=len(seeds),
      )
    )  # fmt: skip
  return out + list(_prevented(found, twins, left, base, made))


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
  return cell.alive & twins[cell.pattern, cell.way].alive


def _difference(
  cell: Cell, twin: Cell, level: float, metric: str = "spurious_score"
) -> nulls.Difference:
  both = cell.alive & twin.alive
  return nulls.paired(cell.by_metric[metric][both], twin.by_metric[metric][both], level)


def _prevented(
  found: Sequence[Cell],
  twins: Mapping[Any, Cell],
  left: Mapping[tuple[str, int, Way], tuple[nulls.Difference, bool]],
  base: Row,
  made: Settings,
) -> Iterator[Row]:
  """What a way of training takes off the excess score, and what off the accuracy."""
  plain = {(c.pattern, c.dose): c for c in found if not c.way and not c.null}
  tried = [cell for cell in found if cell.way and cell.dose]
  out = []
  for cell in tried:
    without, twin = plain[cell.pattern, cell.dose], twins[cell.pattern, cell.way]
    bare = plain[cell.pattern, 0]
    every = cell.alive & without.alive & twin.alive & bare.alive
    score = lambda c, on=every: c.by_metric["spurious_score"][on]  # noqa: E731
    gain = nulls.paired(score(without) - score(bare), score(cell) - score(twin), made.level)
    cost = _difference(without, cell, made.level, "task_accuracy")
    out.append((cell, int(every.sum()), gain, cost))
  adjusted = stats.holm(np.array([gain.p for _, _, gain, _ in out]))
  for (cell, kept, gain, cost), p in zip(out, adjusted, strict=True):
    less = float(p) <= 1 - made.level and gain.low > 0
    untouched = twins[cell.pattern, cell.way]
    said = Found(
      *left[cell.pattern, cell.dose, ()], *left[cell.pattern, cell.dose, cell.way], less,
      float(untouched.by_metric["spurious_score"][untouched.alive].mean()),
    )  # fmt: skip
    word, flag = verdict(said, made.negligible), "at_ceiling" * said.at_ceiling
    mine = _base(cell, base)._replace(level=made.level, num_seeds=kept)
    yield mine._replace(
      metric="removed_score", value=gain.mean, low=gain.low, high=gain.high, p=float(p),
      verdict=word, flag=flag,
    )  # fmt: skip
    yield mine._replace(metric="task_cost", value=cost.mean, low=cost.low, high=cost.high)
