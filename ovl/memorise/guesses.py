r"""Lower bounds on epsilon from one training, by guessing which patches were in it.

Of m patches, each in with probability one half, the r surest are guessed at; v are right.

- *one_run*: no (epsilon, delta)-private training lets so many be right, whatever the
  scores' law (Steinke, Nasr and Jagielski 2023, theorem 1.1);
- *one_run_fdp*, sharper: the largest mu whose Gaussian trade-off curve the same guesses
  refute, said as the epsilon of that curve at delta. Of sums with Gaussian noise, as in
  DP-SGD, that curve is the truth's.

References:
  Steinke, Nasr and Jagielski (2023), https://arxiv.org/abs/2305.08846;
  Mahloujifar, Melis and Chaudhuri (2024), https://arxiv.org/abs/2410.22235;
  Dong, Roth and Su (2019), https://arxiv.org/abs/1905.02383 (trade-off curves).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize
from scipy.special import ndtr, ndtri
from scipy.stats import binom

from ovl.memorise.audit import MOST, both, epsilon_of_shift
from ovl.types import BadInput

METHODS = ("one_run", "one_run_fdp")
PARTS = (20, 10, 5, 3, 2, 1)  # of the patches one in so many is guessed at


class Bound(NamedTuple):
  """A lower bound on epsilon.

  Attributes:
    epsilon: the bound, 0 where nothing is shown.
    guesses: how many patches were guessed at, of a one-run bound.
    right: how many of them rightly.
  """

  epsilon: float
  guesses: int = 0
  right: int = 0


def guess_p(epsilon: float, m: int, r: int, v: int, delta: float = 0.0) -> float:
  r"""P(at least v of r guesses right) at most, of any (epsilon, delta)-DP training.

  .. math:: \beta + 2 m \delta \max_i \frac1i \big(P[B \ge v - i] - \beta\big),
            \quad B \sim Bin(r, e^\epsilon / (1 + e^\epsilon)), \ \beta = P[B \ge v]

  Args:
    epsilon: assumed.
    m: patches, each in with probability one half.
    r: guesses.
    v: right ones.
    delta: assumed.
  """
  q = 1 / (1 + np.exp(-epsilon))
  beta = float(binom.sf(v - 1, r, q))
  if delta == 0:
    return beta
  i = np.arange(1, max(v, 1) + 1)
  more = (binom.sf(v - i - 1, r, q) - beta) / i
  return float(min(1.0, beta + 2 * m * delta * max(more.max(), 0.0)))


@functools.lru_cache(maxsize=4096)
def epsilon_of_guesses(
  m: int, r: int, v: int, alpha: float = 0.05, delta: float = 0.0
) -> float:
  """The largest epsilon that so many right guesses refute at error alpha, or 0."""
  if guess_p(0.0, m, r, v, delta) > alpha:
    return 0.0
  if guess_p(MOST, m, r, v, delta) <= alpha:
    return MOST
  gap = lambda e: guess_p(e, m, r, v, delta) - alpha  # noqa: E731
  return float(optimize.brentq(gap, 0.0, MOST, xtol=1e-6))


def refutes(mu: float, m: int, r: int, v: int, alpha: float = 0.05) -> bool:
  r"""Whether v of r guesses right is too many, at error alpha, of a mu-Gaussian training.

  Args:
    mu: of the trade-off curve of N(0, 1) and N(mu, 1).
    m: patches, each in with probability one half.
    r: guesses.
    v: right ones.
    alpha: error.

  References:
    Mahloujifar, Melis and Chaudhuri (2024), algorithm 3.
  """
  right, wrong = alpha * v / m, alpha * (r - v) / m
  for i in range(v - 1, -1, -1):
    more = max(wrong, float(ndtr(ndtri(right) - mu)))
    if more == wrong:
      break
    right, wrong = min(right + i / (r - i) * (more - wrong), 1.0), more
  return right + wrong > r / m


@functools.lru_cache(maxsize=4096)  # counts come again and again
def mu_of_guesses(m: int, r: int, v: int, alpha: float = 0.05) -> float:
  """The largest mu that so many right guesses refute at error alpha, or 0."""
  low, high = 0.0, 8.0  # of which epsilon is above MOST
  if not refutes(low, m, r, v, alpha):
    return 0.0
  while high - low > 1e-5:
    middle = (low + high) / 2
    low, high = (middle, high) if refutes(middle, m, r, v, alpha) else (low, middle)
  return low


class Guessed(NamedTuple):
  """The r surest guesses at m patches, v of them right, for several r."""

  m: int
  r: tuple[int, ...]
  v: tuple[int, ...]


def guess(ins: np.ndarray, outs: np.ndarray, parts: Sequence[int] = PARTS) -> Guessed:
  """The highest scores are guessed "in" and the lowest "out", as many of both.

  Args:
    ins: scores of the patches that were planted.
    outs: of those that were left out.
    parts: r is m over each of them, at least 2.
  """
  ins, outs = both(ins, outs, 1)
  score, truth = np.concatenate([ins, outs]), np.repeat([1, 0], [len(ins), len(outs)])
  # Ties are broken against us: among equals those left out come first from the top.
  order, m = np.lexsort((truth, -score)), len(score)
  truth = truth[order]
  rs = tuple(max(2, m // part) for part in parts)
  right = (truth[: r // 2].sum() + (1 - truth[m - (r - r // 2) :]).sum() for r in rs)
  return Guessed(m, rs, tuple(int(v) for v in right))


def bound(
  found: Guessed, alpha: float = 0.05, delta: float = 0.0, method: str = METHODS[0]
) -> Bound:
  """The best bound that guesses give; alpha is shared between the numbers of them.

  Args:
    found: see `guess`.
    alpha: error: the bound is false in at most that share of trainings.
    delta: of the privacy that is refuted.
    method: "one_run", or "one_run_fdp".
  """
  if method not in METHODS:
    raise BadInput(f"method={method!r}: expected one of {', '.join(METHODS)}")
  share, each = alpha / len(found.r), []
  for r, v in zip(found.r, found.v, strict=True):
    if method == "one_run":
      epsilon = epsilon_of_guesses(found.m, r, v, share, delta)
    else:
      epsilon = epsilon_of_shift(mu_of_guesses(found.m, r, v, share), delta)
    each.append(Bound(epsilon, r, v))
  return max(each, key=lambda one: one.epsilon)


def one_run(
  ins: np.ndarray,
  outs: np.ndarray,
  alpha: float = 0.05,
  delta: float = 0.0,
  method: str = METHODS[0],
) -> Bound:
  """A lower bound on epsilon from one training, false in at most alpha of them.

  How many guesses to make is tried several times, and alpha is shared between the trials.

  Args:
    ins: scores of the patches that were planted.
    outs: of those that were left out.
    alpha: error.
    delta: of the privacy that is refuted.
    method: see `bound`.
  """
  return bound(guess(ins, outs, (20, 5, 2, 1)), alpha, delta, method)


def chosen(
  found: Sequence[Guessed], alpha: float, delta: float, method: str
) -> list[Bound]:
  """The bound of every training, by the number of guesses that is best in the others.

  The choice looks at other trainings alone, so that it costs no error.
  """

  def at(one: Guessed, i: int) -> Bound:
    return bound(Guessed(one.m, one.r[i : i + 1], one.v[i : i + 1]), alpha, delta, method)

  all_ = [[at(one, i) for i in range(len(one.r))] for one in found]
  epsilon = np.array([[each.epsilon for each in of] for of in all_])
  rest = epsilon.sum(0) - epsilon
  return [of[int(best)] for of, best in zip(all_, rest.argmax(1), strict=True)]
