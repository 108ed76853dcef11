"""Predictions of critics -> numbers with influence values, and permutation tests.

q(s|z), what a critic says, is always mixed with what labels alone say, b(s):
(1 - w) q + w b, with w in [.01, 1] chosen on the stop part. One confidently wrong row can
then cost at most log(100) nats, and a critic that learned nothing becomes b itself. b is
the marginal p(s) where the critic saw the representation alone, and p(s|y) where it also
saw the task label.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats as scipy_stats

from ovl import stats
from ovl.stats import Metric
from ovl.types import Kind

WEIGHTS = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])


class Guess(NamedTuple):
  """A predictive distribution of each row's attribute.

  Attributes:
    kind: "discrete" or "continuous".
    q_N: probabilities `[N, K]`; or mean and log scale `[N, 2]` of a normal score.
    base_N: the same form: what labels alone say.
    weight: of the base in the mixture.
  """

  kind: Kind
  q_N: np.ndarray
  base_N: np.ndarray
  weight: float = 0.0

  def log_density(self, s_N: np.ndarray) -> np.ndarray:
    """log of the mixture at `s_N` (`[N]` or `[P, N]`), nats."""
    q, base = _density(self, self.q_N, s_N), _density(self, self.base_N, s_N)
    return np.log((1 - self.weight) * q + self.weight * base + 1e-38)

  def log_ratio(self, s_N: np.ndarray) -> np.ndarray:
    """log mixture / base at `s_N`: what the representation adds, nats a row."""
    return self.log_density(s_N) - np.log(_density(self, self.base_N, s_N) + 1e-38)

  @property
  def probabilities(self) -> np.ndarray:
    """`[N, K]` of the mixture; discrete only."""
    return (1 - self.weight) * self.q_N + self.weight * self.base_N


def _density(guess: Guess, form_N: np.ndarray, s_N: np.ndarray) -> np.ndarray:
  if guess.kind == "discrete":
    return form_N[np.arange(len(form_N)), s_N]
  mean_N, log_scale_N = form_N[:, 0], np.clip(form_N[:, 1], -5.0, 3.0)
  return scipy_stats.norm.pdf(s_N, mean_N, np.exp(log_scale_N))


def softmax(logits_NK: np.ndarray) -> np.ndarray:
  """Probabilities in float64."""
  z_NK = logits_NK.astype(np.float64)
  e_NK = np.exp(z_NK - z_NK.max(-1, keepdims=True))
  return e_NK / e_NK.sum(-1, keepdims=True)


def label_only(kind: Kind, s_N: np.ndarray, y_N: np.ndarray, C: int, K: int) -> np.ndarray:
  """What the task label alone says of the attribute, learnt from these rows.

  Returns:
    `[C, K]` probabilities, or `[C, 2]` mean and log scale.
  """
  if kind == "discrete":
    return stats.label_table(s_N, y_N, C, K)
  table = np.empty((C, 2))
  for y in range(C):
    # Two pseudo-rows of the marginal keep a rare label value sane.
    mine = np.concatenate([s_N[y_N == y], [-1.0, 1.0]])
    table[y] = mine.mean(), np.log(max(mine.std(), 1e-3))
  return table


def mix(guess: Guess, s_N: np.ndarray) -> tuple[float, float]:
  """The weight of the base with the lowest cross-entropy on the stop part.

  Returns:
    the weight (of equals the largest) and the cross-entropy in nats.
  """
  q = _density(guess, guess.q_N, s_N)
  base = _density(guess, guess.base_N, s_N)
  mixed = (1 - WEIGHTS[:, None]) * q + WEIGHTS[:, None] * base
  cost = -np.log(mixed + 1e-38).mean(1)
  best = len(cost) - 1 - int(np.argmin(cost[::-1]))
  return float(WEIGHTS[best]), float(cost[best])


# ---- the numbers of a cell -----------------------------------------------------------


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
  found["share"] = share(found["information"], entropy)
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
  mean_N = (1 - guess.weight) * guess.q_N[:, 0] + guess.weight * guess.base_N[:, 0]
  predicted_N = np.quantile(train_values_N, scipy_stats.norm.cdf(mean_N))
  error_N = np.square(values_N - predicted_N)
  total_N = np.square(values_N - values_N.mean())
  ratio = error_N.mean() / total_N.mean()
  return float(1 - ratio), (ratio * total_N - error_N) / total_N.mean()


def normal_scores(values_N: np.ndarray, reference_N: np.ndarray) -> np.ndarray:
  """Ranks among the reference -> standard normal quantiles (monotone: keeps MI)."""
  ordered = np.sort(reference_N)
  left = np.searchsorted(ordered, values_N, "left")
  right = np.searchsorted(ordered, values_N, "right")
  rank_N = np.clip((left + right) / 2, 0.5, len(ordered) - 0.5) / len(ordered)
  return scipy_stats.norm.ppf(rank_N)


# ---- permutation tests -----------------------------------------------------------------


def shuffles(
  s_N: np.ndarray,
  y_N: np.ndarray,
  groups_N: np.ndarray | None,
  draws: int,
  seed: int,
) -> np.ndarray:
  """What the attribute could have been, were it independent of z given the label.

  No groups: permuted within task classes. An attribute constant within groups: whole
  groups exchange it (within task classes where the label is constant too). One that
  varies within groups: permuted within group x task class.

  Returns:
    `[P, N]` row numbers: copy p of the attribute is `s_N[out[p]]`.
  """
  rows_N = np.arange(len(s_N), dtype=np.int32)
  if groups_N is None:
    return stats.permuted(rows_N, y_N, draws, seed)
  _, first_G, code_N = np.unique(groups_N, return_index=True, return_inverse=True)
  if not (s_N == s_N[first_G][code_N]).all():
    _, cell_N = np.unique(np.stack([groups_N, y_N]), axis=1, return_inverse=True)
    return stats.permuted(rows_N, cell_N.ravel(), draws, seed)
  y_constant = (y_N == y_N[first_G][code_N]).all()
  strata_G = y_N[first_G] if y_constant else np.zeros(len(first_G), int)
  return stats.permuted(first_G, strata_G, draws, seed)[:, code_N]


def permutation_p(guess: Guess, s_N: np.ndarray, s_PN: np.ndarray) -> float:
  """p of the mean log-ratio under the fixed critic; `s_PN` from `s_N[shuffles(...)]`."""
  observed = guess.log_ratio(s_N).mean()
  if guess.weight == 1.0:
    return 1.0
  if guess.kind == "discrete":
    K = guess.q_N.shape[1]
    table_NK = np.log(guess.probabilities + 1e-38) - np.log(guess.base_N + 1e-38)
    flat = table_NK.astype(np.float32).ravel()
    offset_N = np.arange(len(s_N)) * K
    null_P = np.concatenate(
      [flat[offset_N + s].mean(1, dtype=np.float64) for s in _chunks(s_PN)]
    )
    observed = float(flat[offset_N + s_N].mean(dtype=np.float64))
  else:
    null_P = np.concatenate([guess.log_ratio(s).mean(1) for s in _chunks(s_PN)])
  return stats.permutation_p(float(observed), null_P)


def _chunks(s_PN: np.ndarray, limit: int = 4_000_000) -> list[np.ndarray]:
  size = max(1, limit // max(s_PN.shape[1], 1))
  return [s_PN[i : i + size] for i in range(0, len(s_PN), size)]
