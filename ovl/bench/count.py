"""One draw of a world goes through its public door, and is compared with the truth."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ovl import stats
from ovl.audit import audit
from ovl.bench.drawn import Asked, Audited, Drawn, Paired, Truth
from ovl.judge import verdict
from ovl.mi import Estimate, mutual_information
from ovl.types import Row

LEAKING = (verdict.OVERLEARNED, verdict.PASSED, verdict.LEAKS)
UNTESTED = (verdict.FEW, verdict.UNTESTABLE, verdict.CONSTANT)


def counted(drawn: Drawn, settings: Mapping[str, Any], seed: int) -> list[Row]:
  """What one draw says.

  Args:
    drawn: the arrays.
    settings: `audit` and `mi` of the study.
    seed: of splits, critics and permutations.

  Returns:
    Rows of counts (`value` of `n_eval` trials) and of means.
  """
  if isinstance(drawn, Audited):
    options = dict(settings["audit"]) | dict(drawn.options) | {"seed": seed}
    found = audit(drawn.taps, drawn.attributes, **options)
    return _of_audit(found.rows, drawn, 1 - options.get("level", 0.95))
  if isinstance(drawn, Asked):
    options = dict(settings["mi"]) | dict(drawn.options) | {"seed": seed}
    one = mutual_information(drawn.x, drawn.y, **options)
    assert isinstance(one, Estimate)
    return _of_estimate(one, drawn)
  return _of_pairs(drawn)


def _count(metric: str, hits: Any, of: str = "") -> Row:
  """A row of how many of some trials hit; of none where there are no trials."""
  hits_N = np.atleast_1d(np.asarray(hits, bool))
  setting = json.dumps({"of": of}) if of else ""
  return Row(metric=metric, setting=setting, value=float(hits_N.sum()), n_eval=len(hits_N))


def _mean(metric: str, errors: list[float], of: str) -> Row:
  value = float(np.mean(errors))
  return Row(metric=metric, setting=json.dumps({"of": of}), value=value, n_eval=len(errors))


def _of_audit(rows: list[Row], drawn: Audited, alpha: float) -> list[Row]:
  trained = [row for row in rows if row.subject == "trained"]
  whole = [row for row in trained if row.seed is None]
  heads = [row for row in whole if row.verdict and row.metric == "share_beyond_task"]
  null = [row for row in heads if not drawn.truth[row.attribute].leaks]
  found = []
  if null:
    p_of: dict[tuple[str, str], list[float]] = {}
    for row in trained:
      if row.metric == "share_beyond_task" and row.p is not None and row.seed is not None:
        p_of.setdefault((row.layer, row.attribute), []).append(row.p)
    asked = [p for (_, name), p in p_of.items() if not drawn.truth[name].leaks]
    shares = [row for row in null if row.value is not None]
    found += [
      _count("false_verdict", any(row.verdict in LEAKING for row in null)),
      _count("false_cell", [stats.combine(np.array(p_S)) <= alpha for p_S in asked]),
      _count("above_nothing", [row.low > 0 for row in shares if row.low is not None]),
      _count("untested", [row.verdict in UNTESTED for row in null]),
    ]
    if shares:
      found.append(_mean("bias", [row.value or 0.0 for row in shares], "share_beyond_task"))
  planted = [row for row in heads if drawn.truth[row.attribute].planted]
  if planted:
    found.append(_count("detected", [row.verdict in LEAKING for row in planted]))
  found += _covered(whole, drawn.truth)
  found += _of_excess(whole, drawn, alpha)
  return [row for row in found if row.n_eval]


def _covered(whole: list[Row], truth: Mapping[str, Truth]) -> list[Row]:
  """Intervals and certified ends against numbers that are known."""
  sure = [
    row.value > truth[row.attribute].nats
    for row in whole
    if row.metric == "certified_low" and row.value is not None
    and not np.isnan(truth[row.attribute].nats)
  ]  # fmt: skip
  found = [_count("certified_false", sure)]
  missed: dict[str, list[bool]] = {}
  over: dict[str, list[bool]] = {}
  errors: dict[str, list[float]] = {}
  for row in whole:
    known = truth[row.attribute]
    there = known.metrics.get(row.metric)
    if there is None or row.low is None or row.high is None or row.value is None:
      continue
    if known.exact:
      missed.setdefault(row.metric, []).append(not row.low <= there <= row.high)
      errors.setdefault(row.metric, []).append(row.value - there)
    else:
      over.setdefault(row.metric, []).append(row.low > there)
  found += [_count("missed", hits, of) for of, hits in missed.items()]
  found += [_count("above_truth", hits, of) for of, hits in over.items()]
  return found + [_mean("bias", some, of) for of, some in errors.items()]


def _of_excess(whole: list[Row], drawn: Audited, alpha: float) -> list[Row]:
  rows = [row for row in whole if row.metric == "excess_share"]
  there = [drawn.truth[row.attribute].excess for row in rows]
  pairs = [(r, e) for r, e in zip(rows, there, strict=True) if not np.isnan(e)]
  if not pairs:
    return []
  if drawn.options.get("untrained") is drawn.taps:
    return [
      _count("copies_differ", [(r.value, r.low, r.high) != (0, 0, 0) for r, _ in pairs])
    ]
  none = [r.p is not None and r.p <= alpha for r, e in pairs if e == 0]
  missed = [not (r.low or 0.0) <= e <= (r.high or 0.0) for r, e in pairs]
  found = [_count("missed", missed, "excess_share")]
  errors = [(r.value or 0.0) - e for r, e in pairs]
  found.append(_mean("bias", errors, "excess_share"))
  return found + ([_count("false_excess", any(none))] if none else [])


def _of_estimate(one: Estimate, drawn: Asked) -> list[Row]:
  of, nothing = "mutual_information", drawn.nats == 0
  found = [_mean("bias", [one.nats - drawn.nats], of)]
  if np.isfinite(one.certified_low):
    found.append(_count("certified_false", one.certified_low > drawn.nats))
  if nothing:
    found.append(_count("false_information", one.p <= 1 - one.level))
    found.append(_count("above_nothing", one.low > 0, of))
  else:
    missed = not one.low <= drawn.nats <= one.high
    found.append(_count("missed", missed, of))
  return found


def _of_pairs(drawn: Paired) -> list[Row]:

  def read(metric: stats.Metric) -> stats.Metric:
    return stats.floored(metric) if drawn.floored else metric

  missed, errors = [], []
  for a_SN, b_SN, rows_SN in zip(drawn.a_RSN, drawn.b_RSN, drawn.rows_RSN, strict=True):
    a, b = ([read(stats.mean(x_N)) for x_N in x_SN] for x_SN in (a_SN, b_SN))
    mean, _, low, high = stats.paired(a, b, list(rows_SN), 0.95)
    missed.append(not low <= drawn.difference <= high)
    errors.append(mean - drawn.difference)
  of = "removed_share" if drawn.floored else "task_cost"
  return [_count("missed", missed, of), _mean("bias", errors, of)]
