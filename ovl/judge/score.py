"""Mixed predictions -> numbers with influence values."""

from __future__ import annotations

import numpy as np
from scipy import stats as scipy_stats

from ovl import stats
from ovl.posterior import Guess
from ovl.stats import Metric


def metrics(guess: Guess, s_N: np.ndarray, entropy: float) -> dict[str, Metric]:
  """Every metric of one model's test rows, with influence values.

  Args:
    guess: the mixed prediction.
    s_N: the attribute (codes, or normal scores).
    entropy: H(S) in nats; nan where continuous.

  Returns:
    "information" (nats), "share", and for a discrete attribute "accuracy",
    "balanced_accuracy", "auc" (one against the rest, macro) and "recall:<code>".
    Metrics over classes skip those without test rows.
  """
  found: dict[str, Metric] = {"information": stats.mean(guess.log_ratio(s_N))}
  found["share"] = share_of(guess, s_N, entropy)
  if guess.kind == "continuous":
    return found
  p_NK = guess.probabilities
  correct_N = (p_NK.argmax(1) == s_N).astype(float)
  found["accuracy"] = stats.mean(correct_N)
  present = np.unique(s_N)
  recalls = [stats.recall(correct_N, s_N, k) for k in present]
  found["balanced_accuracy"] = stats.average(recalls)
  if len(present) > 1:
    ranked = present[1:] if p_NK.shape[1] == 2 else present
    found["auc"] = stats.average([stats.auc(p_NK[:, k], s_N == k) for k in ranked])
  for k, one in zip(present, recalls, strict=True):
    found[f"recall:{k}"] = one
  return found


def share_of(guess: Guess, s_N: np.ndarray, entropy: float) -> Metric:
  """Information as a share of what labels alone leave open; never above 1.

  Of a discrete attribute that is the given entropy, or the cross-entropy of the
  reference on these rows where it is larger (then the share is a ratio of two means of
  the same rows).
  """
  information = stats.mean(guess.log_ratio(s_N))
  if guess.kind == "continuous":
    return share(information, np.nan)
  left = stats.mean(-guess.log_reference(s_N))
  if left[0] <= entropy:
    return share(information, entropy)
  value = information[0] / left[0]
  return value, (information[1] - value * left[1]) / left[0]


def share(information: Metric, entropy: float) -> Metric:
  """Information as a share: I / H(S), or 1 - exp(-2 I) where S is continuous.

  The latter is the squared correlation that a normal pair of this information has
  (negative information counts as itself, so that noise averages out).
  """
  value, psi_N = information
  if np.isfinite(entropy):
    return value / entropy, psi_N / entropy
  if value <= 0:
    return 2 * value, 2 * psi_N
  slope = 2 * np.exp(-2 * value)
  return float(-np.expm1(-2 * value)), slope * psi_N


def r2(guess: Guess, values_N: np.ndarray, train_values_N: np.ndarray) -> Metric:
  """1 - SSE / SST in the attribute's own unit.

  The predicted normal score is mapped back by the quantiles of the probe part.

  Args:
    guess: of the test rows.
    values_N: their attribute as given.
    train_values_N: the attribute of the probe part.
  """
  predicted_N = np.quantile(train_values_N, scipy_stats.norm.cdf(guess.mean))
  error_N = np.square(values_N - predicted_N)
  total_N = np.square(values_N - values_N.mean())
  ratio = error_N.mean() / total_N.mean()
  return float(1 - ratio), (ratio * total_N - error_N) / total_N.mean()
