"""What is said in the end: number, interval, flag."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ovl import stats
from ovl.mi import data, estimate
from ovl.mi.estimate import Estimate
from ovl.mi.task import Candidate, Task, entropy, entropy_high

FEWEST_UNITS = 5  # for an interval


class _Number(NamedTuple):
  nats: float
  low: float
  high: float
  entropy: float  # H(S) of classes, else nan


def quoted(
  task: Task, one: Candidate, extrapolated: bool = False, doubts: Sequence[str] = ()
) -> Estimate:
  """One number one can quote.

  Args:
    task: the pair and how it was measured.
    one: the method and what it says.
    extrapolated: add what the whole train part gave over half of it.
    doubts: what others found.
  """
  found, critic, settings = one.found, one.critic, task.settings
  number = _number(task, one, extrapolated)
  flag, why = estimate.flagged(
    [*doubts, *_doubts(task, one, number)], found.p, settings.level,
    _ceiling(task, one, number),
  )  # fmt: skip
  bound = critic.bound or ""
  if extrapolated or (found.learns and critic.score is not None and critic.fit is not None):
    bound = "estimate"
  n_eval = len(found.metric[1]) if found.learns else len(task.pair.x_ND)
  units = n_eval if found.units is None else found.known
  if not found.learns and task.pair.groups_N is not None:
    units = len(np.unique(task.pair.groups_N))
  return Estimate(
    nats=float(number.nats),
    low=float(number.low),
    high=float(number.high),
    method=one.name,
    bound=bound,
    unit=critic.unit or "",
    level=settings.level,
    entropy=float(number.entropy),
    share=float(number.nats / number.entropy) if critic.unit == "nats" else np.nan,
    certified_low=found.certified_low,
    p=float(found.p),
    flag=flag,
    why=why,
    converged=found.converged,
    seeds=settings.seeds if found.learns and critic.fit is None else 1,
    n_train=found.n_train,
    n_eval=n_eval,
    units=units,
  )


def _number(task: Task, one: Candidate, extrapolated: bool) -> _Number:
  found, pair = one.found, task.pair
  units_N = np.arange(len(found.metric[1])) if found.units is None else found.units
  _, _, low, high = stats.over_models_and_examples(
    [found.metric], [units_N], task.settings.level
  )
  up = max(one.gain, 0.0)
  nats, H = one.nats + up * extrapolated, np.nan
  high = high + up * (1 + extrapolated) + found.floor
  if pair.kind == "discrete":
    H = entropy(pair.y.values, pair.y.outputs)
    if one.critic.unit == "nats":
      # I is at most H(S), which is itself known up to an interval.
      most = entropy_high(pair.y.values, pair.y.outputs, task.settings.level)
      nats, low, high = min(nats, H), min(low, H), min(high, most)
  return _Number(nats, low, high, H)


def _doubts(task: Task, one: Candidate, number: _Number) -> list[str]:
  """Reasons to distrust the number."""
  found = one.found
  doubts = [*found.doubts, *["rows are copies of others"] * bool(task.pair.copies)]
  if one.gains:
    doubts.append(f"half the rows gave {one.gain:.3f} less")
  if found.learns and found.spread > max(0.05, 0.15 * abs(one.nats)):
    doubts.append(f"lanes differ by {found.spread:.3f}")
  if found.converged < 1:
    doubts.append(f"{1 - found.converged:.0%} of lanes ended at their limit of passes")
  if found.known < FEWEST_UNITS or not np.isfinite(number.low):
    doubts.append(f"{found.known} groups are too few for an interval")
  if one.critic.unit == "nats" and number.nats <= 0:
    doubts.append("y is found, how much of it is not: the estimate is not above 0")
  return doubts


def _ceiling(task: Task, one: Candidate, number: _Number) -> str:
  """Why no more could have been found; "" where more could."""
  found, pair, in_nats = one.found, task.pair, one.critic.unit == "nats"
  if found.recognised:
    return ""  # of what whole groups tell, not of what x knows
  if in_nats and number.nats > 0 and (why := data.determined(pair)):
    return why
  if pair.kind == "discrete":
    full = in_nats and number.nats > 0.97 * number.entropy
    return "I cannot exceed H(S)" if full else ""
  rows = len(found.metric[1])
  if found.learns and number.nats > np.log(max(rows, 2)) - 1:
    return f"no bound from {rows:,} rows can exceed about their logarithm"
  return ""
