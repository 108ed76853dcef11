"""What y could have been, were it independent of x: rows, or whole units, exchange it.

The null is that x tells nothing of y and that units are independent: a unit is a row, or
a group whose rows are alike in whatever way. Of groups, whole ones exchange their y and
each turns its own by a random offset: what is alike inside a group stays together, in
its order. So constant, nearly constant and varying attributes meet one scheme.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from ovl import stats

REACH_DRAWS = 200
HARDLY = 0.1  # of what moves on average


def draws_for(level: float, least: int = 0) -> int:
  """Draws whose smallest p is at most half of 1 - level."""
  return max(least, int(np.ceil(round(2 / (1 - level), 6))) - 1)


def orders(
  groups_N: np.ndarray | None,
  line_N: np.ndarray,
  draws: int,
  seed: int,
  strata_N: np.ndarray | None = None,
) -> Iterator[np.ndarray]:
  """Row numbers `[N]`, one array a draw: in that copy row i has the y of row out[i].

  Without groups, or with groups of one size inside a stratum, every copy is a
  permutation and the test exact where rows of a group are exchangeable or stationary. A
  larger group gives a smaller one a run of its rows, a smaller one repeats itself: then a
  statistic must not hang on how often a class occurs (see `centred`).

  Args:
    groups_N: units that are not independent inside, or None.
    line_N: the order of rows in a group.
    draws: how many.
    seed: of the draws.
    strata_N: rows exchange inside these only; a group lies in one.
  """
  gen = np.random.default_rng([seed, 23])
  N = len(line_N)
  strata_N = np.zeros(N, int) if strata_N is None else strata_N
  if groups_N is None:
    rows = [np.flatnonzero(strata_N == t) for t in np.unique(strata_N)]
    for _ in range(draws):
      out_N = np.empty(N, np.int32)
      for mine in rows:
        out_N[mine] = gen.permutation(mine)
      yield out_N
    return
  code_N = np.unique(groups_N, return_inverse=True)[1]
  sorted_N = np.lexsort((line_N, code_N))
  size_G = np.bincount(code_N)
  start_G = np.cumsum(size_G) - size_G
  group_N = code_N[sorted_N]
  place_N = np.arange(N) - start_G[group_N]
  stratum_G = strata_N[sorted_N][start_G]
  units = [np.flatnonzero(stratum_G == t) for t in np.unique(stratum_G)]
  for _ in range(draws):
    giver_G = np.empty(len(size_G), int)
    for mine in units:
      giver_G[mine] = gen.permutation(mine)
    turn_G = gen.integers(0, size_G[giver_G])
    giver_N = giver_G[group_N]
    given_N = start_G[giver_N] + (place_N + turn_G[group_N]) % size_G[giver_N]
    out_N = np.empty(N, np.int32)
    out_N[sorted_N] = sorted_N[given_N]
    yield out_N


def centred(table_NK: np.ndarray, s_N: np.ndarray) -> np.ndarray:
  """Scores of (x_i, k) less their means over x and over the classes that occur.

  So neither a function of y alone nor one of x alone moves a sum.
  """
  away_NK = table_NK - table_NK.mean(0)
  share_K = np.bincount(s_N, minlength=table_NK.shape[1]) / len(s_N)
  away_NK = away_NK - (away_NK @ share_K)[:, None]
  # Nothing is exactly nothing: rounding over its own spread would be a test of rounding.
  least = 1e-12 * np.abs(table_NK).max()
  return np.where(np.abs(away_NK) > least, away_NK, 0.0)


def studentised(sum_UP: np.ndarray) -> np.ndarray:
  """Totals of sums by unit, over their own spread where there are several units.

  Groups of unlike size repeat what smaller ones give, which spreads the total: a test of
  totals alone would find nothing.
  """
  if len(sum_UP) == 1:
    return sum_UP[0]
  spread_P = np.sqrt(np.square(sum_UP).sum(0))
  return sum_UP.sum(0) / np.where(spread_P > 0, spread_P, 1)


def p_of(
  log_q_NK: np.ndarray,
  s_N: np.ndarray,
  groups_N: np.ndarray | None,
  line_N: np.ndarray,
  draws: int,
  seed: int,
) -> float:
  """One-sided p of the mean log q(s_i|x_i), classes exchanged by rows or whole groups.

  Args:
    log_q_NK: scores of every class; fixed before these rows were looked at.
    s_N: their classes.
    groups_N: units that are not independent inside, or None.
    line_N: the order of rows in a group.
    draws: how many.
    seed: of the draws.
  """
  table_NK, here_N = centred(log_q_NK, s_N), np.arange(len(s_N))
  unit_N = np.zeros(len(s_N), int)
  if groups_N is not None:
    unit_N = np.unique(groups_N, return_inverse=True)[1]
  every = itertools.chain([here_N], orders(groups_N, line_N, draws, seed))
  total_P = [
    studentised(np.bincount(unit_N, weights=table_NK[here_N, s_N[at]])[:, None])[0]
    for at in every
  ]
  return stats.permutation_p(float(total_P[0]), np.array(total_P[1:]))


def reach(
  y: np.ndarray,
  groups_N: np.ndarray | None,
  line_N: np.ndarray,
  seed: int,
  strata_N: np.ndarray | None = None,
) -> float:
  """About the smallest p there can be: the share of draws that hardly change y.

  Two groups that differ in a constant attribute exchange it in one of two draws, so no
  p is far below .5, whatever x holds.
  """
  if y.dtype.kind in "iu":
    gaps = [
      (y[at] != y).mean() for at in orders(groups_N, line_N, REACH_DRAWS, seed, strata_N)
    ]
  else:
    wide = np.maximum(y.std(0), 1e-30)
    gaps = [
      np.square((y[at] - y) / wide).mean()
      for at in orders(groups_N, line_N, REACH_DRAWS, seed, strata_N)
    ]
  moved_P = np.array(gaps)
  return float((moved_P <= HARDLY * moved_P.mean()).mean())
