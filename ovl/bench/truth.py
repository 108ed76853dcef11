"""What is known of simple laws: nats, shares, accuracies, and shifts that give them.

A *shift* moves the mean of a unit normal by delta between classes of equal shares.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy import optimize, special, stats

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(120)
SHARE = WEIGHTS / WEIGHTS.sum()
SAMPLES = 200_000  # of a Monte Carlo integral


def shift(delta: float) -> float:
  """I(Z;S) in nats of z = N(+-delta/2, 1) and a fair coin, by Gauss-Hermite.

  The log-odds of the true class are N(delta^2 / 2, delta^2).
  """
  odds = delta**2 / 2 + abs(delta) * NODES
  return float(np.log(2) - SHARE @ np.logaddexp(0, -odds))


def corners(delta: float, K: int) -> float:
  """I(Z;S) in nats of z = delta e_s + N(0, 1) in K dimensions, s uniform, by samples.

  Its standard error is below .2 % of itself for weak shifts (a control variate: the
  log-odds' own first order, whose mean is known).
  """
  noise_NK = np.random.default_rng(0).normal(size=(SAMPLES, K))
  # By symmetry the class is 0: log-ratio of class k to class 0 is delta (z_k - z_0).
  odds_NK = delta * (noise_NK - noise_NK[:, :1]) - delta**2
  odds_NK[:, 0] = 0.0
  ratio_N = np.log(K) - special.logsumexp(odds_NK, axis=1)
  control_N = noise_NK[:, 0] - noise_NK.mean(1)
  slope = np.cov(ratio_N, control_N)[0, 1] / control_N.var(ddof=1)
  return float((ratio_N - slope * control_N).mean())


@functools.cache
def delta_for(nats: float, K: int = 2) -> float:
  """The shift with so many nats: of `shift`, or of `corners` with K > 2 classes."""
  of = shift if K == 2 else functools.partial(corners, K=K)
  return float(optimize.brentq(lambda d: of(d) - nats, 1e-4, 20.0))


def of_coin(delta: float) -> dict[str, float]:
  """Numbers of an audit of a fair coin behind a shift, whatever the task label."""
  nats = shift(delta)
  return {
    "information": nats,
    "share_beyond_task": nats / np.log(2),
    "accuracy": float(stats.norm.cdf(delta / 2)),
    "auc": float(stats.norm.cdf(delta / np.sqrt(2))),
  }


def of_coins(mean: float, spread: float) -> dict[str, float]:
  """The mean of `of_coin` over models whose shift is N(mean, spread^2)."""
  each = [of_coin(mean + spread * node) for node in NODES]
  return {name: float(SHARE @ [one[name] for one in each]) for name in each[0]}


def of_pair(rho: float) -> dict[str, float]:
  """Of a normal pair with correlation rho."""
  nats = -0.5 * np.log1p(-(rho**2))
  return {"information": float(nats), "share_beyond_task": rho**2}


def flipped(share: float) -> float:
  """I(Y;S) in nats of a fair coin and its copy, of which a share is flipped."""
  return float(np.log(2) - special.entr([share, 1 - share]).sum())
