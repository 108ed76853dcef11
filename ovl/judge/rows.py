"""Scored cells -> rows: every number with its interval, unit, chance level and counts."""

from __future__ import annotations

import json
from collections import Counter
from typing import NamedTuple

import numpy as np
from scipy import stats as scipy_stats

from ovl import stats
from ovl.judge.cells import Column, Scored
from ovl.judge.trial import Trial
from ovl.judge.verdict import Conclusion
from ovl.stats import Metric
from ovl.types import Critic, Lane, Row

UNITS = {
  "information": "nats",
  "share": "share of H(S)",
  "share_beyond_task": "share of H(S|Y)",
  "excess_share": "share of H(S|Y)",
  "detectable_share": "share of H(S|Y)",
}


class Series(NamedTuple):
  """One metric of one subject, layer and attribute, of every model.

  Attributes:
    row: what all its rows have in common.
    metrics: number and influence values of each model; None where it has none.
    units: what each model's test rows belong to (example or group).
    method: the critic that spoke for each model, or "".
    p: of each model, or None.
    chance: of each model, or None.
    n_train: labelled probe rows of each model.
  """

  row: Row
  metrics: list[Metric | None]
  units: list[np.ndarray]
  method: list[str]
  p: np.ndarray | None
  chance: list[float | None]
  n_train: list[int]


def series(
  trial: Trial, row: Row, column: Column, numbers: list[dict[str, Metric]],
  method: list[str], majority: list[dict[str, Metric]] | None = None,
) -> list[Series]:  # fmt: skip
  """Splits the numbers of S models into one series a metric."""
  frame = trial.frame
  test, probe = frame.part("test"), frame.part("probe")
  units, n_train, chances = [], [], []
  for s in range(frame.models):
    known = column.mask_SN[s, test]
    units.append(frame.units(s, known))
    n_train.append(int(column.mask_SN[s, probe].sum()))
    chances.append(_chance(column, column.s_SN[s, test][known]))
    if majority is not None and "accuracy" in majority[s]:
      chances[-1]["accuracy"] = majority[s]["accuracy"][0]
  names = dict.fromkeys(name for one in numbers for name in one)
  found = []
  for name in names:
    metric, _, code = name.partition(":")
    setting = json.dumps({"class": column.labels[int(code)]}) if code else ""
    found.append(
      Series(
        row._replace(
          metric=metric,
          setting=setting or row.setting,
          unit=UNITS.get(metric, "share"),
          bound="lower" if metric in ("information", "share_beyond_task") else "",
        ),
        [one.get(name) for one in numbers],
        units,
        method,
        None,
        [c.get(name, 0.0) for c in chances],
        n_train,
      )
    )
  return found


def _chance(column: Column, s_N: np.ndarray) -> dict[str, float]:
  """What saying nothing of the row scores; information, shares and r2: 0."""
  if column.kind == "continuous":
    return {}
  counts_K = np.bincount(s_N, minlength=column.outputs)
  frequency_K = counts_K / max(counts_K.sum(), 1)
  recalls = {f"recall:{k}": float(f) for k, f in enumerate(frequency_K)}
  return recalls | {
    "accuracy": float(frequency_K.max()),
    "balanced_accuracy": 1 / max((counts_K > 0).sum(), 1),
    "auc": 0.5,
  }


def per_model(many: list[Series], trial: Trial) -> list[Row]:
  """Rows with `seed`: intervals are over that model's test groups, or rows."""
  rows = []
  level = trial.level
  for s, seed in enumerate(trial.seeds):
    for one in many:
      if (metric := one.metrics[s]) is None:
        continue
      value, psi_N = metric
      _, _, low, high = stats.over_models_and_examples([metric], [one.units[s]], level)
      rows.append(
        one.row._replace(
          seed=seed,
          method=one.method[s],
          value=value,
          low=float(low),
          high=float(high),
          level=level,
          n_train=one.n_train[s],
          n_eval=len(psi_N),
          p=None if one.p is None else float(one.p[s]),
          chance=one.chance[s],
        )
      )
  return rows


def aggregate(one: Series, level: float) -> Row:
  """The row over models; of a single model its own interval."""
  there = [s for s, m in enumerate(one.metrics) if m is not None]
  if not there:
    return one.row._replace(num_seeds=len(one.metrics), level=level)
  found = [m for m in one.metrics if m is not None]
  values = np.array([value for value, _ in found])
  units = [one.units[s] for s in there]
  _, _, low, high = stats.over_models_and_examples(found, units, level)
  chances = [c for s in there if (c := one.chance[s]) is not None]
  return one.row._replace(
    num_seeds=len(values),
    value=float(values.mean()),
    low=float(low),
    high=float(high),
    level=level,
    method=Counter(one.method).most_common(1)[0][0],
    n_train=int(np.mean(one.n_train)),
    n_eval=int(np.mean([len(p) for _, p in found])),
    chance=float(np.mean(chances)) if chances else None,
  )


def both(many: list[Series], trial: Trial) -> list[Row]:
  """The row over models of each series, then those of single models."""
  return [*(aggregate(one, trial.level) for one in many), *per_model(many, trial)]


def of_scored(
  trial: Trial, cell: Scored, majority: list[dict[str, Metric]], p_S: np.ndarray | None
) -> tuple[list[Series], Series | None]:
  """The series of one tap and attribute: alone, and beyond the task."""
  row = trial.row(cell.lane, cell.column)
  alone = series(trial, row, cell.column, cell.metrics, cell.method, majority)
  if cell.beyond is None:
    return alone, None
  numbers = [{"share_beyond_task": metric} for metric in cell.beyond]
  beyond = series(trial, row, cell.column, numbers, cell.beyond_method)[0]
  return alone, beyond._replace(p=p_S)


class Statistic(NamedTuple):
  """What a critic without parameters says of a tap and an attribute.

  Attributes:
    name: of the critic.
    critic: itself.
    lane: the tap.
    column: the attribute.
    values_SB: of each model's test part, then of disjoint blocks of its rows.
  """

  name: str
  critic: Critic
  lane: Lane
  column: Column
  values_SB: np.ndarray


def of_statistic(trial: Trial, one: Statistic) -> list[Row]:
  """Of each model, and over models.

  The spread of disjoint blocks of rows stands for that of resampled rows (which repeat,
  and nearest neighbours take repeats for dependence).
  """
  test, level, critic = trial.frame.part("test"), trial.level, one.critic
  row = trial.row(
    one.lane, one.column, method=one.name, level=level, bound=critic.bound or "",
    metric="information" if critic.unit == "nats" else one.name,
    unit=critic.unit or "score", setting=json.dumps({"critic": one.name}),
    n_eval=int(one.column.mask_SN[:, test].sum(1).min()), chance=0.0,
  )  # fmt: skip
  values_S, blocks_SB = one.values_SB[:, 0], one.values_SB[:, 1:]
  B = blocks_SB.shape[1]
  error_S = blocks_SB.std(1, ddof=1) / np.sqrt(B)
  half_S = scipy_stats.t.ppf((1 + level) / 2, B - 1) * error_S
  low, high = values_S[0] - half_S[0], values_S[0] + half_S[0]
  if len(values_S) > 1:
    _, _, low, high = stats.excess(values_S, level, float(np.square(error_S).mean()))
  each = zip(trial.seeds, values_S, half_S, strict=True)
  return [
    *(
      row._replace(seed=seed, value=float(v), low=float(v - half), high=float(v + half))
      for seed, v, half in each
    ),
    row._replace(
      num_seeds=len(values_S), value=float(values_S.mean()), low=float(low),
      high=float(high),
    ),
  ]  # fmt: skip


def task_accuracy(
  trial: Trial, row: Row, correct_SN: np.ndarray, alive_S: np.ndarray | None = None
) -> Series:
  """How often the task is got right; None of the models that diverged."""
  frame = trial.frame
  test = frame.part("test")
  everywhere = np.ones(test.stop - test.start, bool)
  top = [float(np.bincount(y).max() / len(y)) for y in frame.y_SN[:, test]]
  alive = np.ones(frame.models, bool) if alive_S is None else alive_S
  return Series(
    row._replace(metric="task_accuracy", unit="share", classes=frame.C),
    [
      stats.mean(right.astype(float)) if there else None
      for right, there in zip(correct_SN, alive, strict=True)
    ],
    [frame.units(s, everywhere) for s in range(frame.models)],
    [""] * frame.models, None, list(top), [trial.train] * frame.models,
  )  # fmt: skip


def of_verdict(
  row: Row, one: Series | None, said: Conclusion, detectable: float, grade: str
) -> list[Row]:
  """The three aggregate rows that conclude a tap x attribute.

  Args:
    row: what they have in common, `num_seeds` and `level` among it.
    one: the share beyond the task; None where there is none: the row still carries the
      verdict.
    said: the conclusion.
    detectable: the smallest share the leak test would have found; nan where untested.
    grade: the flag.
  """
  row = row._replace(unit=UNITS["share_beyond_task"])
  nothing = row._replace(value=np.nan, low=np.nan, high=np.nan)
  head = nothing._replace(metric="share_beyond_task", bound="lower")
  if one is not None:
    head = aggregate(one, row.level or 0.0)._replace(p=said.leak_p, flag=grade)
  found = [head._replace(verdict=said.verdict)]
  if np.isfinite(said.excess):
    found.append(
      row._replace(
        metric="excess_share", value=said.excess, low=said.excess_low,
        high=said.excess_high, p=said.excess_p, chance=0.0,
        verdict="reduced" if said.reduced else "",
      )
    )  # fmt: skip
  if np.isfinite(detectable):
    found.append(row._replace(metric="detectable_share", value=detectable))
  return found
