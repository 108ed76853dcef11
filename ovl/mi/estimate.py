"""Readings of critics -> numbers with intervals, tests and flags. NumPy, after the run."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special

from ovl import stats
from ovl.stats import Metric

RELIABLE, UNRELIABLE = "reliable", "unreliable"
CEILING, RESOLUTION = "at_ceiling", "below_resolution"


class Estimate(NamedTuple):
  """One number one can quote.

  Attributes:
    nats: the estimate; of sliced and unitless critics whatever `unit` says.
    low: lower end of the interval.
    high: upper end; where training on half the rows gave less, the gain is added.
    method: the critic.
    bound: "lower", "upper", "estimate" or "" (what `nats` is, before sampling error).
    unit: "nats" or "".
    level: of the interval.
    entropy: H(S) of a discrete y, else nan.
    share: nats / H(S), else nan.
    certified_low: a finite-sample lower bound on I, nan where there is none.
    p: of the permutation test of independence, whole groups exchanged; nan where they
      are too few to reach 1 - level.
    flag: "reliable", "unreliable", "at_ceiling" or "below_resolution".
    why: what raised the flag, or why this method was picked.
    converged: share of the lanes whose training ended before its limit.
    seeds: critics in the ensemble.
    n_train: rows learnt from.
    n_eval: rows reported on.
    units: independent units among those: rows, or groups.
  """

  nats: float
  low: float
  high: float
  method: str
  bound: str
  unit: str
  level: float
  entropy: float
  share: float
  certified_low: float
  p: float
  flag: str
  why: str
  converged: float
  seeds: int
  n_train: int
  n_eval: int
  units: int


class Pairs(NamedTuple):
  """log-ratios of N rows: f(z_i, s_i) and f(z_i, s_j) of R counterparts each."""

  joint_N: np.ndarray
  others_NR: np.ndarray


def ensemble(joint_LN: np.ndarray, others_LNR: np.ndarray) -> Pairs:
  """The mean of the lanes' log-ratios."""
  return Pairs(joint_LN.astype(np.float64).mean(0), others_LNR.astype(np.float64).mean(0))


def donsker_varadhan(pairs: Pairs) -> Metric:
  """E f - log E exp f over counterparts, with influence values."""
  top = float(pairs.others_NR.max())
  each_N = np.exp(pairs.others_NR - top).mean(1)
  total = each_N.mean()
  value = float(pairs.joint_N.mean() - np.log(total) - top)
  # A counterpart pair touches two rows: its deviation counts for both of them.
  psi_N = pairs.joint_N - pairs.joint_N.mean() - (each_N / total - 1)
  return value, psi_N


def fano(wrong_N: np.ndarray, s_N: np.ndarray, r_K: np.ndarray) -> Metric:
  """H(S) - h(e) - e log(K - 1), e the error of a choice; H(S) as the mean of -log r(s)."""
  error = float(wrong_N.mean())
  value = float(special.entr(error) + special.entr(1 - error))
  others = np.log(max(len(r_K) - 1, 1))
  inside = float(np.clip(error, 0.5 / len(s_N), 1 - 0.5 / len(s_N)))
  slope = np.log(1 - inside) - np.log(inside) + others
  H, psi_N = stats.mean(-np.log(r_K[s_N]))
  return H - value - error * others, psi_N - slope * (wrong_N - error)


# ---- flags ---------------------------------------------------------------------------


def flagged(doubts: list[str], p: float, level: float, at_ceiling: str) -> tuple[str, str]:
  """The one flag and its reasons, the gravest first; a p of nan is no test."""
  if np.isnan(p):
    return UNRELIABLE, "; ".join(doubts) or "there is no test"
  if p > 1 - level:
    return RESOLUTION, f"permuted y does as well (p = {p:.2g})"
  if at_ceiling:
    return CEILING, at_ceiling
  if doubts:
    return UNRELIABLE, "; ".join(doubts)
  return RELIABLE, ""
