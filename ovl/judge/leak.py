"""The test of a leak: does z tell of s beyond the label, units being independent?

The statistic compares each row's prediction with what the same critic says of that row's
attribute from the z of other rows with the same label. Row i has scores
f_ik = q_ik / (q_ik + b_ik) of the classes k (bounded, so that one confident row does not
carry the test); their means over the rows of one label, and over the classes that occur
there, are taken off. So their sum over (i, s_i) hangs on no function of (s, y) alone and
on none of (z, y) alone.

Who is exchanged: without groups, rows of one label (exact). Groups of one label each: whole
groups of that label, studentised by unit (exact where they are alike in size). Groups of
several labels cannot be exchanged: a t test of the sums by unit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import special
from scipy import stats as scipy_stats

from ovl import exchange
from ovl.posterior import Guess

BINS = 32  # a quantity is tested by its rank among so many
BLOCK = 4_000_000  # rows x draws at once


class Judged(NamedTuple):
  """The test rows of one model and attribute.

  Attributes:
    s_N: codes; a quantity's are of its rank.
    values_K: a value of each code, where the attribute is a quantity.
    y_N: task label, or zeros.
    groups_N: units, or None.
  """

  s_N: np.ndarray
  values_K: np.ndarray | None
  y_N: np.ndarray
  groups_N: np.ndarray | None


def judged(
  kind: str, s_N: np.ndarray, y_N: np.ndarray, groups_N: np.ndarray | None
) -> Judged:
  """From known test rows; a quantity is cut at its quantiles."""
  if kind == "discrete":
    return Judged(s_N, None, y_N, groups_N)
  edges = np.unique(np.quantile(s_N, np.arange(1, BINS) / BINS))
  _, code_N = np.unique(np.searchsorted(edges, s_N, "left"), return_inverse=True)
  values_K = np.array([np.median(s_N[code_N == k]) for k in range(code_N.max() + 1)])
  return Judged(code_N, values_K, y_N, groups_N)


def scores(guess: Guess, rows: Judged) -> np.ndarray:
  """`[N, K]` centred scores; a constant predictor's are exactly 0."""
  if rows.values_K is None:
    q_NK, b_NK = guess.q_N, guess.base_N
  else:
    q_NK, b_NK = (
      guess.density(form_N, rows.values_K) for form_N in (guess.q_N, guess.base_N)
    )
  f_NK = q_NK / (q_NK + b_NK + 1e-38)
  out_NK = np.zeros(f_NK.shape)
  for y in np.unique(rows.y_N):
    mine = rows.y_N == y
    out_NK[mine] = exchange.centred(f_NK[mine], rows.s_N[mine])
  return out_NK


def movable(rows: Judged) -> np.ndarray:
  """Rows whose label occurs with several values of s and in several units."""
  unit_N = np.arange(len(rows.s_N)) if rows.groups_N is None else rows.groups_N
  out_N = np.zeros(len(rows.s_N), bool)
  for y in np.unique(rows.y_N):
    mine = rows.y_N == y
    several = len(np.unique(unit_N[mine])) > 1 and len(np.unique(rows.s_N[mine])) > 1
    out_N[mine] = several
  return out_N


def units(rows: Judged) -> int:
  """How many units take part; groups that never vary in s count once each."""
  there = movable(rows)
  if rows.groups_N is None:
    return int(there.sum())
  return pieces(rows.groups_N[there], rows.s_N[there])


def pieces(groups_N: np.ndarray, s_N: np.ndarray) -> int:
  """Rows of a group that share one value are one piece of evidence: how many there are."""
  return len({*zip(groups_N.tolist(), s_N.tolist(), strict=True)})


def reach(rows: Judged, draws: int) -> float:
  """The smallest p there can be: by the draws, and by what can be exchanged."""
  if rows.groups_N is None:
    ways = 0.0
    for y in np.unique(rows.y_N):
      count_K = np.bincount(rows.s_N[rows.y_N == y])
      ways += special.gammaln(count_K.sum() + 1) - special.gammaln(count_K + 1).sum()
    return max(1 / (draws + 1), float(np.exp(-ways)))
  there = movable(rows)
  G = len(np.unique(rows.groups_N[there]))
  if _one_label(rows):
    line_N = np.arange(len(rows.s_N))
    strata_N = rows.y_N
    blind = exchange.reach(rows.s_N, rows.groups_N, line_N, 0, strata_N)
    return max(1 / (draws + 1), blind)
  return float(0.5 ** max(G - 1, 0))


def p_values(guesses: list[Guess], rows: Judged, draws: int, seed: int) -> np.ndarray:
  """One-sided p of every critic's prediction, all under the same draws."""
  if not movable(rows).any():
    return np.ones(len(guesses))
  tables = [scores(guess, rows) for guess in guesses]
  here_N = np.arange(len(rows.s_N))
  if rows.groups_N is not None and not _one_label(rows):
    code_N = np.unique(rows.groups_N, return_inverse=True)[1]
    floor = reach(rows, draws)
    return np.array(
      [
        max(floor, _t_test(np.bincount(code_N, weights=f_NK[here_N, rows.s_N])))
        for f_NK in tables
      ]
    )
  unit_N = None
  if rows.groups_N is not None:
    unit_N = np.unique(rows.groups_N, return_inverse=True)[1]
  observed = np.array([_total(f_NK, rows.s_N[None], unit_N)[0] for f_NK in tables])
  above = np.zeros(len(tables), int)
  for s_PN in _copies(rows, draws, seed):
    for i, f_NK in enumerate(tables):
      slack = 1e-9 * max(1.0, abs(observed[i]))
      above[i] += int((_total(f_NK, s_PN, unit_N) >= observed[i] - slack).sum())
  return (1 + above) / (1 + draws)


def permuted_rows(rows: Judged, seed: int) -> np.ndarray:
  """Row numbers of one copy: the control of the whole audit."""
  line_N = np.arange(len(rows.s_N))
  if rows.groups_N is None or _one_label(rows):
    return next(exchange.orders(rows.groups_N, line_N, 1, seed, rows.y_N))
  # Groups of several labels: all exchange, whatever their labels.
  return next(exchange.orders(rows.groups_N, line_N, 1, seed))


def _one_label(rows: Judged) -> bool:
  assert rows.groups_N is not None
  _, first_G, code_N = np.unique(rows.groups_N, return_index=True, return_inverse=True)
  return bool((rows.y_N == rows.y_N[first_G][code_N]).all())


def _copies(rows: Judged, draws: int, seed: int) -> Iterator[np.ndarray]:
  """`[P', N]` copies of s, in blocks."""
  N = len(rows.s_N)
  size = max(1, BLOCK // N)
  if rows.groups_N is not None:
    every = exchange.orders(rows.groups_N, np.arange(N), draws, seed, rows.y_N)
    for start in range(0, draws, size):
      at_PN = np.stack([next(every) for _ in range(min(size, draws - start))])
      yield rows.s_N[at_PN]
    return
  gen = np.random.default_rng(seed)
  strata = [np.flatnonzero(rows.y_N == y) for y in np.unique(rows.y_N)]
  for start in range(0, draws, size):
    out_PN = np.empty((min(size, draws - start), N), np.int32)
    for mine in strata:
      copies = np.broadcast_to(rows.s_N[mine], (len(out_PN), len(mine)))
      out_PN[:, mine] = gen.permuted(copies, axis=1)
    yield out_PN


def _total(f_NK: np.ndarray, s_PN: np.ndarray, unit_N: np.ndarray | None) -> np.ndarray:
  N, K = f_NK.shape
  flat = f_NK.astype(np.float32).ravel()
  each_PN = flat[np.arange(N, dtype=np.int64) * K + s_PN]
  if unit_N is None:
    return each_PN.sum(1, dtype=np.float64)
  order = np.argsort(unit_N, kind="stable")
  starts = np.flatnonzero(np.diff(unit_N[order], prepend=-1))
  sums_PU = np.add.reduceat(each_PN[:, order].astype(np.float64), starts, axis=1)
  return exchange.studentised(sums_PU.T)


def _t_test(sum_G: np.ndarray) -> float:
  """One-sided, of independent units; no spread is no evidence."""
  error = sum_G.std(ddof=1) / np.sqrt(len(sum_G))
  if error <= 1e-12:
    return 1.0
  return float(scipy_stats.t.sf(sum_G.mean() / error, len(sum_G) - 1))


def detectable_nats(
  units: int, K: int, width: int, train_rows: int, cells: int, alpha: float
) -> float:
  """The smallest leak, in nats a row, that the test finds with 80 % power.

  A weak leak of a / 2 nats moves class means by a in squared length. A reader of them
  learnt from N rows has directions of squared length a + c, c = width (K - 1) / N of it
  noise, so n test units separate it by sqrt(n) a / sqrt(a + c) standard errors, which
  must be z_(1 - alpha / 2m) + z_.8: solved for a.
  """
  z = float(scipy_stats.norm.isf(alpha / (2 * max(cells, 1))) + scipy_stats.norm.ppf(0.8))
  n, c = max(units, 1), width * (K - 1) / max(train_rows, 1)
  return float((z**2 + np.sqrt(z**4 + 4 * n * z**2 * c)) / (2 * n) / 2)
