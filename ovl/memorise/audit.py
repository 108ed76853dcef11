r"""What scores of patches in and out of a training say of its epsilon.

m independent patches are drawn, each is planted with probability one half, and every one
is scored. The ones left out are the exact null: a patch's score given that it was left
out has the law of a fresh draw. From the two sets of scores follow

- *one-run* bounds, by how many of the surest guesses are right: `ovl.memorise.guesses`;
- a *Gaussian pair* estimate: normal laws of one spread fitted to both, epsilon from their
  hockey-stick divergence, its interval from a bootstrap over patches; it holds as far as
  they are normal.

All are of *features*: one patch (or one image with a patch) in or out, everything else
the same. Of DP-SGD the truth is known: `of_training`.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize
from scipy.special import log_ndtr, ndtr

from ovl.types import BadInput

MOST = 50.0  # an epsilon beyond that is none


class Pair(NamedTuple):
  """Epsilon of a pair of normal laws: the estimate, and its bootstrap interval."""

  epsilon: float
  low: float
  high: float


def both(ins: np.ndarray, outs: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
  """Scores of patches in and out, finite, at least so many of each."""
  ins, outs = np.asarray(ins, float).ravel(), np.asarray(outs, float).ravel()
  if min(len(ins), len(outs)) < least:
    raise BadInput(
      f"{len(ins)} patches in and {len(outs)} out: expected at least {least} of both"
    )
  if not (np.isfinite(ins).all() and np.isfinite(outs).all()):
    raise BadInput("scores of patches: expected finite numbers")
  return ins, outs


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
    near = ndtr(mu / 2 - epsilon / mu)
    far = np.exp(epsilon + log_ndtr(-mu / 2 - epsilon / mu))
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
  ins, outs = both(ins, outs, 3)

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


def of_training(
  times: int, noise: float, length: float = 1.0, delta: float = 1e-5
) -> float:
  r"""Epsilon of DP-SGD in which an example takes part at most so many times.

  Every sum is told with noise of sigma C, and an example moves it by `length` C at most:
  all sums together are a pair of normal laws of shift
  :math:`\mathrm{length} \sqrt{times} / \sigma`. Of full batches no less is true. Nothing
  is taken off for batches that are drawn: an epoch in an order that the data do not
  settle shows every example once.

  Args:
    times: epochs.
    noise: sigma.
    length: 1: an example is in or out; 2: it is one thing or another.
    delta: of the privacy.
  """
  return epsilon_of_shift(length * times**0.5 / noise, delta)


def to_canary_scores(ins: np.ndarray, outs: np.ndarray) -> Any:
  """The same scores for jax-privacy's `CanaryScoreAuditor`.

  Raises:
    BadInput: jax-privacy is not installed.
  """
  ins, outs = both(ins, outs, 2)
  if not _there():
    raise BadInput("jax-privacy is not installed: pip install 'ovl[privacy]'")
  return importlib.import_module("jax_privacy.auditing").CanaryScoreAuditor(ins, outs)


def by_jax_privacy(
  ins: np.ndarray, outs: np.ndarray, alpha: float, delta: float
) -> list[tuple[str, float]]:
  """Its one-run bounds, name and epsilon; none where it is not installed."""
  if not _there():
    return []
  auditor = to_canary_scores(ins, outs)
  return [
    (f"jax_privacy_{name}", float(getattr(auditor, f"epsilon_{name}")(alpha, delta)))
    for name in ("one_run", "one_run_fdp")
  ]


def _there() -> bool:
  return importlib.util.find_spec("jax_privacy") is not None
