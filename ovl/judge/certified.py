"""Certified bounds of a cell: what holds at a stated error from finitely many rows."""

from __future__ import annotations

import numpy as np

from ovl import bounds, posterior
from ovl.judge.cells import Frame, Scored
from ovl.judge.trial import Trial
from ovl.types import Row


def rows(trial: Trial, cell: Scored, there: list[int] | None = None) -> list[Row]:
  """`certified_low` of I(Z;S), nats, of every model and over models.

  The critic was chosen on the stop part, the marginal is the probe part's: both are
  fixed before the test part is looked at. Its rows are independent given the task label,
  whose counts the split fixed: the bound is on the information at that mix of the task.
  The interval ends at log K. Over models: the mean of bounds that hold for all of them
  at once (Bonferroni).

  Args:
    trial: its level is 1 - error.
    cell: a discrete attribute in one tap.
    there: the models that count; None: all.
  """
  frame, level, seeds = trial.frame, trial.level, trial.seeds
  test, probe = frame.part("test"), frame.part("probe")
  row = trial.row(
    cell.lane, cell.column, metric="certified_low", unit="nats", bound="lower",
    level=level, chance=0.0,
  )  # fmt: skip
  there = list(range(frame.models)) if there is None else there
  S, ceiling = len(there), float(np.log(len(cell.column.labels)))
  joint = 1 - (1 - level) / S
  found, together = [], []
  for s in there:
    known = cell.column.mask_SN[s, test]
    s_N = cell.column.s_SN[s, test][known]
    groups_N = None if frame.groups_SN is None else frame.groups_SN[s, test][known]
    q_NK, r_K = _before(cell, frame, s)
    given = np.log(q_NK + 1e-38), s_N, r_K
    one = bounds.lower(*given, level, groups_N)
    together.append(bounds.lower(*given, joint, groups_N).low if S > 1 else one.low)
    found.append(
      row._replace(
        seed=seeds[s],
        method=cell.method[s],
        value=one.low,
        low=one.low,
        high=ceiling,
        n_eval=len(s_N),
        n_train=int(cell.column.mask_SN[s, probe].sum()),
      )
    )
  mean = float(np.mean(together))
  whole = row._replace(
    num_seeds=S, value=mean, low=mean, high=ceiling, method=found[0].method,
    n_train=found[0].n_train, n_eval=found[0].n_eval,
  )  # fmt: skip
  return [*found, whole]


def _before(cell: Scored, frame: Frame, s: int) -> tuple[np.ndarray, np.ndarray]:
  """What the critic and the marginal said before the test part's mix was looked at."""
  column, guess = cell.column, cell.guess[s]
  q_NK, r_1K = guess.q_N, guess.base_N[:1]
  if frame.shifts:  # they were moved to it, which is undone
    seen, learnt = (
      column.s_SN[s, part][column.mask_SN[s, part]]
      for part in (frame.part("test"), frame.part("probe"))
    )
    q_NK, r_1K = (posterior.tilt(x, seen, learnt) for x in (q_NK, r_1K))
  return q_NK, r_1K[0] / r_1K[0].sum()


def released(trial: Trial, cell: Scored, high: float) -> Row:
  """`certified_high` of a noised release: surely, whatever reads it."""
  return trial.row(
    cell.lane, cell.column, metric="certified_high", unit="nats", bound="upper",
    num_seeds=trial.frame.models, value=high, low=0.0, high=high, level=1.0,
  )  # fmt: skip
