r"""One training, many features: a lower bound on epsilon of what single features leak.

m independent patches are drawn, each is planted in an image of its own with probability
one half; every patch is scored on held-out images. The ones left out are the exact null:
a patch's score given that it was left out has the law of a fresh draw. From the two sets
of scores follow

- a *one-run* bound that holds whatever the scores' law, by how many of the r surest
  guesses are right (Steinke, Nasr and Jagielski 2023, theorem 1.1);
- a *Gaussian pair* estimate: normal laws of one spread fitted to both, epsilon from their
  hockey-stick divergence, its interval from a bootstrap over patches; it holds as far as
  they are normal.

Both are of *features*: one patch in or out, everything else the same.

References:
  Steinke, Nasr and Jagielski (2023), https://arxiv.org/abs/2305.08846;
  Mahloujifar, Melis and Chaudhuri (2024), https://arxiv.org/abs/2410.22235 (f-DP version,
  through jax-privacy where it is installed).
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize
from scipy.stats import binom, norm

from ovl.types import BadInput

MOST = 50.0  # an epsilon beyond that is none


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


class Pair(NamedTuple):
  """Epsilon of a pair of normal laws: the estimate, and its bootstrap interval."""

  epsilon: float
  low: float
  high: float


def _two(ins: np.ndarray, outs: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
  ins, outs = np.asarray(ins, float).ravel(), np.asarray(outs, float).ravel()
  if min(len(ins), len(outs)) < least:
    raise BadInput(
      f"{len(ins)} patches in and {len(outs)} out: expected at least {least} of both"
    )
  if not (np.isfinite(ins).all() and np.isfinite(outs).all()):
    raise BadInput("scores of patches: expected finite numbers")
  return ins, outs


# ---- one run -----------------------------------------------------------------------------


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


def one_run(
  ins: np.ndarray,
  outs: np.ndarray,
  alpha: float = 0.05,
  delta: float = 0.0,
  guesses: Sequence[int] | None = None,
) -> Bound:
  """A lower bound on epsilon from one training, false in at most alpha of them.

  The highest scores are guessed "in" and the lowest "out", as many of both. How many is
  tried several times, and alpha is shared between the trials.

  Args:
    ins: scores of the patches that were planted.
    outs: of those that were left out.
    alpha: error.
    delta: of the privacy that is refuted.
    guesses: numbers of guesses to try; None: m / 20, m / 5, m / 2 and m.
  """
  ins, outs = _two(ins, outs, 1)
  score, truth = np.concatenate([ins, outs]), np.repeat([1, 0], [len(ins), len(outs)])
  # Ties are broken against us: among equals those left out come first from the top.
  order, m = np.lexsort((truth, -score)), len(score)
  truth = truth[order]
  if guesses is None:
    guesses = sorted({max(2, m // part) for part in (20, 5, 2, 1)})
  best = Bound(0.0)
  for r in guesses:
    top = r // 2
    v = int(truth[:top].sum() + (1 - truth[m - (r - top) :]).sum())
    found = Bound(epsilon_of_guesses(m, r, v, alpha / len(guesses), delta), r, v)
    best = max(best, found, key=lambda bound: bound.epsilon)
  return best


def to_canary_scores(ins: np.ndarray, outs: np.ndarray) -> Any:
  """The same scores for jax-privacy's `CanaryScoreAuditor`.

  Raises:
    BadInput: jax-privacy is not installed.
  """
  ins, outs = _two(ins, outs, 2)
  if importlib.util.find_spec("jax_privacy") is None:
    raise BadInput("jax-privacy is not installed: pip install 'ovl[privacy]'")
  return importlib.import_module("jax_privacy.auditing").CanaryScoreAuditor(ins, outs)


# ---- a pair of normal laws ---------------------------------------------------------------


def epsilon_of_shift(mu: float, delta: float = 1e-5) -> float:
  r"""The least epsilon at which N(0, 1) and N(mu, 1) are (epsilon, delta)-close.

  .. math:: \delta(\epsilon) = \Phi(\mu/2 - \epsilon/\mu)
            - e^\epsilon \Phi(-\mu/2 - \epsilon/\mu)

  References:
    Balle and Wang (2018), https://arxiv.org/abs/1805.06530, theorem 8.
  """
  mu = abs(mu)
  if mu < 1e-9:
    return 0.0

  def gap(epsilon: float) -> float:
    near = norm.cdf(mu / 2 - epsilon / mu)
    far = np.exp(epsilon + norm.logcdf(-mu / 2 - epsilon / mu))
    return float(near - far - delta)

  if gap(0.0) <= 0:
    return 0.0
  return MOST if gap(MOST) > 0 else float(optimize.brentq(gap, 0.0, MOST, xtol=1e-6))


def gaussian_pair(
  ins: np.ndarray,
  outs: np.ndarray,
  delta: float = 1e-5,
  level: float = 0.95,
  draws: int = 300,
  seed: int = 0,
) -> Pair:
  """Epsilon of normal laws of one spread fitted to both sets of scores.

  One spread: the tails of two unlike ones, of which no score is seen, would decide.

  Args:
    ins: scores of the patches that were planted.
    outs: of those that were left out.
    delta: of the privacy.
    level: of the bootstrap interval.
    draws: of the bootstrap.
    seed: of it.
  """
  ins, outs = _two(ins, outs, 3)

  def fitted(a: np.ndarray, b: np.ndarray) -> float:
    pooled = ((a - a.mean()) ** 2).sum() + ((b - b.mean()) ** 2).sum()
    sd = max(np.sqrt(pooled / (len(a) + len(b) - 2)), 1e-12)
    # A planted patch that scores lower is no leak of the kind that is looked for.
    return epsilon_of_shift(max(a.mean() - b.mean(), 0.0) / sd, delta)

  gen = np.random.default_rng([seed, 9])
  again = [
    fitted(gen.choice(ins, len(ins)), gen.choice(outs, len(outs))) for _ in range(draws)
  ]
  low, high = np.quantile(again, [(1 - level) / 2, (1 + level) / 2])
  return Pair(fitted(ins, outs), float(low), float(high))
