"""Readings of critics -> numbers with intervals, tests and flags. NumPy, after the run."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import optimize, special

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


# ---- discrete: posteriors ------------------------------------------------------------


def log_mean_posterior(log_q_LNK: np.ndarray) -> np.ndarray:
  """Log-probability ensemble: softmax of the mean of the lanes' log posteriors."""
  mean_NK = log_q_LNK.astype(np.float64).mean(0)
  return mean_NK - special.logsumexp(mean_NK, 1, keepdims=True)


def temperature(log_q_NK: np.ndarray, s_N: np.ndarray) -> float:
  """T with the least cross-entropy of softmax(log q / T), in [.2, 20]."""

  def cost(log_t: float) -> float:
    return cross_entropy(tempered(log_q_NK, float(np.exp(log_t))), s_N)

  best = optimize.minimize_scalar(cost, bounds=(np.log(0.2), np.log(20)), method="bounded")
  return float(np.exp(best.x)) if best.fun < cost(0.0) else 1.0


def tempered(log_q_NK: np.ndarray, t: float) -> np.ndarray:
  """log softmax(log q / t)."""
  scaled_NK = log_q_NK / t
  return scaled_NK - special.logsumexp(scaled_NK, 1, keepdims=True)


def cross_entropy(log_q_NK: np.ndarray, s_N: np.ndarray) -> float:
  """Mean of -log q(s), nats."""
  return float(-log_q_NK[np.arange(len(s_N)), s_N].mean())


WEIGHTS = np.array([0.003, 0.01, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0])


def mixed(log_q_NK: np.ndarray, r_K: np.ndarray, weight: float) -> np.ndarray:
  """log((1 - w) q + w r): one confidently wrong row costs at most log(1/w)."""
  with np.errstate(divide="ignore"):
    return np.logaddexp(log_q_NK + np.log1p(-weight), np.log(weight * r_K))


def weight_of(log_q_NK: np.ndarray, r_K: np.ndarray, s_N: np.ndarray) -> float:
  """The share of the marginal r with the least cross-entropy; of equals the largest."""
  cost = np.array([cross_entropy(mixed(log_q_NK, r_K, w), s_N) for w in WEIGHTS])
  return float(WEIGHTS[len(cost) - 1 - int(np.argmin(cost[::-1]))])


def marginal(s_N: np.ndarray, K: int) -> np.ndarray:
  """Add-one shares of the classes."""
  return (np.bincount(s_N, minlength=K) + 1.0) / (len(s_N) + K)


def barber_agakov(log_q_NK: np.ndarray, s_N: np.ndarray, r_K: np.ndarray) -> Metric:
  """Mean of log q(s|z)/r(s), nats: exactly 0 where q says no more than the marginal r.

  With r of the train part this is a lower bound in expectation up to KL(p||r), about
  (K - 1) / 2n nats; `bounds.lower` pays for that.
  """
  ratio_N = log_q_NK[np.arange(len(s_N)), s_N] - np.log(r_K[s_N])
  return stats.mean(ratio_N)


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
