"""One image, one feature: M scores against twins without it, exposure among letters.

Every seed trains one network a feature, each with that feature on the same single image,
and one twin without. The feature planted is one of L; the others are its references, so
that the rank of a network's own feature among all is uniform where planting did nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ovl import stats
from ovl.memorise import nulls, scores
from ovl.memorise.lanes import Case, World
from ovl.memorise.outputs import AS_IT_IS, Outputs, Reading, gather
from ovl.memorise.settings import Settings
from ovl.run import Run
from ovl.types import BadInput, Row

METRICS = (
  "m_label_free", "m_label_known", "m_shift", "m_shift_label_free", "m_argmax",
  "task_accuracy", "legacy_rejected",
)  # fmt: skip
TESTED = METRICS[:5]
EXPOSED = {"exposure_bits": "m_shift", "exposure_bits_label_free": "m_label_free"}
ALL = ""  # the attribute of rows over all features


class Cell(NamedTuple):
  """One feature: S networks that saw it on one image, and their twins.

  Attributes:
    pattern: its name.
    planted: metric -> `[S]`.
    unplanted: metric -> `[S]` of the twins, under the same feature.
    exposures: metric -> ranks of the feature among all.
    alive: `[S]` both of a pair.
  """

  pattern: str
  planted: dict[str, np.ndarray]
  unplanted: dict[str, np.ndarray]
  exposures: dict[str, nulls.Exposure]
  alive: np.ndarray


def cells(run: Run, world: World, made: Settings, seeds: Sequence[int]) -> list[Cell]:
  """Trains a network a feature and seed, and a twin a seed; scores all.

  Raises:
    BadInput: a single feature, which has no rank.
  """
  L, S = len(made.patterns), len(seeds)
  if L < 2:
    raise BadInput("memorise.patterns: a rank among features needs at least 2")
  cases = [Case("", 0, s, s, s) for s in seeds]
  cases += [Case(name, 1, s, s, s) for name in made.patterns for s in seeds]
  readings: list[Reading] = [AS_IT_IS, *((name, None) for name in made.patterns)]
  readings += [("random", 10_000 + i) for i in range(made.references)]
  found = gather(run, world, cases, readings, made.lanes)
  twins = np.arange(S)
  out = []
  for number, name in enumerate(made.patterns):
    mine = S * (number + 1) + twins
    statistics = {
      metric: np.stack(
        [_scored(found, mine, p, L, world, made)[metric] for p in range(L)], 1
      )
      for metric in EXPOSED.values()
    }
    out.append(
      Cell(
        name,
        _scored(found, mine, number, L, world, made),
        _scored(found, twins, number, L, world, made),
        {
          metric: nulls.exposure(
            statistics[of][:, number], np.delete(statistics[of], number, 1)
          )
          for metric, of in EXPOSED.items()
        },
        found.alive[mine] & found.alive[twins],
      )
    )
  return out


def _scored(
  found: Outputs, at: np.ndarray, p: int, L: int, world: World, made: Settings
) -> dict[str, np.ndarray]:
  """Every score of some networks under the p-th feature; references are averaged over."""
  said = lambda i: np.exp(found.said[at, i].astype(np.float64))  # noqa: E731
  c, u = said(0), said(1 + p)
  refs = [said(i) for i in range(1 + L, found.said.shape[1])]
  same = world.y_M == made.target
  mean = lambda values: np.mean([v.mean(1) for v in values], 0)  # noqa: E731
  known = [scores.m_label_known(u[:, same], r[:, same], made.target) for r in refs]
  p_S = scores.legacy_pvalue(u[:, same], refs[0][:, same], made.target)
  values = (
    mean([scores.m_label_free(c, u, r) for r in refs]),
    mean(known),
    scores.shift(c, u, made.target)[:, same].mean(1),
    scores.shift_label_free(c, u)[0],
    mean([scores.m_argmax(c, u, r) for r in refs]),
    scores.correct(c, world.y_M).mean(1),
    (p_S <= 0.05).astype(float),
  )
  return dict(zip(METRICS, values, strict=True))


# ---- rows --------------------------------------------------------------------------------


def rows(
  found: Sequence[Cell], base: Row, seeds: Sequence[int], made: Settings
) -> list[Row]:
  """Every number of a study of single features, models first."""
  out = [row for cell in found for row in _of_models(cell, base, seeds)]
  for cell in found:
    out += _together(cell.pattern, [cell], base, made.level)
  differences = {
    metric: [nulls.paired(*_pair(cell, metric), made.level) for cell in found]
    for metric in TESTED
  }
  for metric, each in differences.items():
    adjusted = nulls.false_discovery(np.array([d.p for d in each]))
    for cell, d, p in zip(found, each, adjusted, strict=True):
      out.append(_excess(base, cell.pattern, metric, d, float(p), made, len(seeds)))
  out += _together(ALL, found, base, made.level)
  alive = np.all([cell.alive for cell in found], 0)
  for metric in TESTED:
    a, b = (
      np.mean([side(cell)[metric][alive] for cell in found], 0)
      for side in (lambda cell: cell.planted, lambda cell: cell.unplanted)
    )
    d = nulls.paired(a, b, made.level)
    out.append(_excess(base, ALL, metric, d, d.p, made, int(alive.sum())))
  return out


def _pair(cell: Cell, metric: str) -> tuple[np.ndarray, np.ndarray]:
  return cell.planted[metric][cell.alive], cell.unplanted[metric][cell.alive]


def _excess(
  base: Row,
  pattern: str,
  metric: str,
  d: nulls.Difference,
  p: float,
  made: Settings,
  S: int,
) -> Row:
  sure = p <= 1 - made.level and d.low > 0
  return base._replace(
    subject="planted", setting='{"dose": 1}', attribute=pattern, metric=f"excess_{metric}",
    value=d.mean, low=d.low, high=d.high, level=made.level, p=p, num_seeds=S,
    verdict="memorised" if sure else "no evidence",
  )  # fmt: skip


def _of_models(cell: Cell, base: Row, seeds: Sequence[int]) -> Iterator[Row]:
  sides = {"planted": (cell.planted, 1), "unplanted": (cell.unplanted, 0)}
  for subject, (by_metric, dose) in sides.items():
    mine = base._replace(
      subject=subject, setting=f'{{"dose": {dose}}}', attribute=cell.pattern
    )
    for s, seed in enumerate(seeds):
      for metric in METRICS:
        value = float(by_metric[metric][s]) if cell.alive[s] else None
        flag = "" if cell.alive[s] else "diverged"
        yield mine._replace(seed=seed, metric=metric, value=value, flag=flag)
  for metric, exposure in cell.exposures.items():
    for s, seed in enumerate(seeds):
      if cell.alive[s]:
        yield base._replace(
          subject="planted", setting='{"dose": 1}', attribute=cell.pattern, seed=seed,
          metric=metric, unit="bits", value=float(exposure.bits_S[s]),
          p=float(exposure.p_S[s]), chance=exposure.null_bits,
        )  # fmt: skip


def _together(pattern: str, some: Sequence[Cell], base: Row, level: float) -> Iterator[Row]:
  """Means over seeds of means over features; the ranks of all of them together."""
  alive = np.all([cell.alive for cell in some], 0)
  mean = lambda each: np.mean([values[alive] for values in each], 0)  # noqa: E731
  for subject, dose in (("planted", 1), ("unplanted", 0)):
    mine = base._replace(
      subject=subject, setting=f'{{"dose": {dose}}}', attribute=pattern,
      num_seeds=int(alive.sum()), level=level,
    )  # fmt: skip
    for metric in METRICS:
      values = mean([getattr(cell, subject)[metric] for cell in some])
      value, _, low, high = stats.excess(values, level)
      yield mine._replace(metric=metric, value=value, low=low, high=high)
    if subject == "unplanted":
      continue
    for metric in EXPOSED:
      each = [cell.exposures[metric] for cell in some]
      value, _, low, high = stats.excess(mean([e.bits_S for e in each]), level)
      ranks = np.concatenate([e.rank_S[alive] for e in each])
      yield mine._replace(
        metric=metric, unit="bits", value=value, low=low, high=high,
        p=nulls.rank_sum_p(ranks, each[0].references), chance=each[0].null_bits,
      )  # fmt: skip
