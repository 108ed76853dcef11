"""Predictions of critics -> numbers with influence values.

q(s|z), what a critic says, is always mixed with what labels alone say, b(s):
(1 - w) q + w b, with w in [.01, 1] chosen on the stop part. One confidently wrong row can
then cost at most log(100) nats, and a critic that learned nothing becomes b itself. b is
the marginal p(s) where the critic saw the representation alone, and p(s|y) where it also
saw the task label.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special
from scipy import stats as scipy_stats

from ovl import stats
from ovl.stats import Metric
from ovl.types import Kind

WEIGHTS = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
LOG_SCALES = (-5.0, 3.0)
RESOLUTION = 1e-6  # nats: what float32 logits that say the same differ by


class Guess(NamedTuple):
  """A predictive distribution of each row's attribute.

  Attributes:
    kind: "discrete" or "continuous".
    q_N: probabilities `[N, K]`; or mean and log scale `[N, 2]` of a normal score.
    base_N: the same form: what labels alone say; of a quantity also `[N, B]`
      probabilities of B > 2 equal parts of its ranks.
    weight: of the base in the mixture.
    reference_N: what the prediction is compared with; None: the base.
    edges: normal scores between the values that a quantity has. With them a value has the
      probability of its interval (so tied values are no points of infinite density),
      without them its density.
  """

  kind: Kind
  q_N: np.ndarray
  base_N: np.ndarray
  weight: float = 0.0
  edges: np.ndarray | None = None
  reference_N: np.ndarray | None = None

  def log_density(self, s_N: np.ndarray) -> np.ndarray:
    """log of the mixture at `s_N` (`[N]` or `[P, N]`), nats."""
    q, base = _density(self, self.q_N, s_N), _density(self, self.base_N, s_N)
    return np.log((1 - self.weight) * q + self.weight * base + 1e-38)

  def log_ratio(self, s_N: np.ndarray) -> np.ndarray:
    """log mixture / reference at `s_N`: what the representation adds, nats a row."""
    ratio_N = self.log_density(s_N) - self.log_reference(s_N)
    return np.where(np.abs(ratio_N) < RESOLUTION, 0.0, ratio_N)

  def log_reference(self, s_N: np.ndarray) -> np.ndarray:
    """log of the reference at `s_N`, nats."""
    form_N = self.base_N if self.reference_N is None else self.reference_N
    return np.log(_density(self, form_N, s_N) + 1e-38)

  @property
  def forms(self) -> tuple[np.ndarray, np.ndarray]:
    """What the representation says, and what labels alone say."""
    return self.q_N, self.base_N

  def density(self, form_N: np.ndarray, values_K: np.ndarray) -> np.ndarray:
    """`[N, K]` of a quantity's values under every row's prediction."""
    every = [_density(self, form_N, np.full(len(form_N), v)) for v in values_K]
    return np.stack(every, 1)

  @property
  def probabilities(self) -> np.ndarray:
    """`[N, K]` of the mixture; discrete only."""
    return (1 - self.weight) * self.q_N + self.weight * self.base_N


def _density(guess: Guess, form_N: np.ndarray, s_N: np.ndarray) -> np.ndarray:
  if guess.kind == "discrete":
    return form_N[np.arange(len(form_N)), s_N]
  if guess.edges is None:
    scale_N = np.exp(np.clip(form_N[:, 1], *LOG_SCALES))
    return scipy_stats.norm.pdf(s_N, form_N[:, 0], scale_N)
  place = np.searchsorted(guess.edges, s_N)
  low, high = (
    np.concatenate([[-np.inf], guess.edges, [np.inf]])[place + i] for i in (0, 1)
  )
  if form_N.shape[1] > 2:
    return _below(form_N, high) - _below(form_N, low)
  scale_N = np.exp(np.clip(form_N[:, 1], *LOG_SCALES))
  low, high = (low - form_N[:, 0]) / scale_N, (high - form_N[:, 0]) / scale_N
  # The tail of the nearer side, else small probabilities cancel.
  flip = low > 0
  low, high = np.where(flip, -high, low), np.where(flip, -low, high)
  return special.ndtr(high) - special.ndtr(low)


def _below(form_NB: np.ndarray, edge_N: np.ndarray) -> np.ndarray:
  """P(score < edge) where every B-th of the ranks has its own probability."""
  B = form_NB.shape[1]
  place = special.ndtr(edge_N) * B
  whole = np.minimum(place.astype(int), B - 1)
  below_NB = np.concatenate([np.zeros((len(form_NB), 1)), form_NB.cumsum(1)], 1)
  rows = np.arange(len(form_NB))
  return below_NB[rows, whole] + (place - whole) * form_NB[rows, whole]


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
    return stats.label_table(s_N, y_N, C, K, stats.smoothing(s_N, y_N, C, K)[0])
  if C == 1:
    return np.zeros((1, 2))  # ranks have one marginal
  table = np.empty((C, 2))
  for y in range(C):
    # Two pseudo-rows of the marginal keep a rare label value sane.
    mine = np.concatenate([s_N[y_N == y], [-1.0, 1.0]])
    table[y] = mine.mean(), np.log(max(mine.std(), 1e-3))
  return table


def by_ranks(s_N: np.ndarray, y_N: np.ndarray, C: int) -> list[np.ndarray]:
  """A quantity's law given the label, of any shape: `[C, B]` of B parts of the ranks."""
  tables = []
  for B in (4, 8, 16, 32):
    code_N = np.minimum((special.ndtr(s_N) * B).astype(int), B - 1)
    tables.append(label_only("discrete", code_N, y_N, C, B))
  return tables


def tilt(p_NK: np.ndarray, given_K: np.ndarray, there_K: np.ndarray) -> np.ndarray:
  """Predictions learnt at one mix of classes, for rows of another.

  References:
    Saerens, Latinne, Decaestecker (2002), Neural Computation 14(1), equation 2.4.
  """
  out_NK = p_NK * (there_K / given_K)
  return out_NK / out_NK.sum(1, keepdims=True)


def cross_entropy(guess: Guess, s_N: np.ndarray) -> float:
  """Of the base alone, nats a row."""
  return float(-np.log(_density(guess, guess.base_N, s_N) + 1e-38).mean())


def marginalised(guess: Guess, s_N: np.ndarray) -> Guess:
  """Compares with what the mixture says when every row has the z of all, if that is better.

  A critic states the marginal as it learnt it, and a mixture of two statements is better
  than one: of many or rare classes that alone would be credited to z.
  """
  if guess.kind != "discrete":
    return guess
  mean_K = guess.probabilities.mean(0)
  blind = guess._replace(reference_N=np.broadcast_to(mean_K, guess.base_N.shape))
  better = blind.log_reference(s_N).mean() > guess.log_reference(s_N).mean()
  return blind if better else guess


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


def gains(guess: Guess, s_N: np.ndarray) -> bool:
  """Whether the mixture beats its base by more than one standard error on these rows.

  Else noise that looked well on few rows would be credited on others: chosen weights add a
  spread that intervals over test rows do not hold.
  """
  ratio_N = guess.log_ratio(s_N)
  return bool(ratio_N.mean() > ratio_N.std() / np.sqrt(len(ratio_N)))


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
  mean_N = (1 - guess.weight) * guess.q_N[:, 0] + guess.weight * _mean(guess.base_N)
  predicted_N = np.quantile(train_values_N, scipy_stats.norm.cdf(mean_N))
  error_N = np.square(values_N - predicted_N)
  total_N = np.square(values_N - values_N.mean())
  ratio = error_N.mean() / total_N.mean()
  return float(1 - ratio), (ratio * total_N - error_N) / total_N.mean()


def _mean(form_N: np.ndarray) -> np.ndarray:
  B = form_N.shape[1]
  if B == 2:
    return form_N[:, 0]
  return form_N @ scipy_stats.norm.ppf((np.arange(B) + 0.5) / B)


def tie_edges(reference_N: np.ndarray) -> np.ndarray:
  """Normal scores between the distinct values of the reference."""
  _, count_K = np.unique(reference_N, return_counts=True)
  return scipy_stats.norm.ppf(np.cumsum(count_K)[:-1] / len(reference_N))


def normal_scores(values_N: np.ndarray, reference_N: np.ndarray) -> np.ndarray:
  """Ranks among the reference -> standard normal quantiles (monotone: keeps MI)."""
  ordered = np.sort(reference_N)
  left = np.searchsorted(ordered, values_N, "left")
  right = np.searchsorted(ordered, values_N, "right")
  rank_N = np.clip((left + right) / 2, 0.5, len(ordered) - 0.5) / len(ordered)
  return scipy_stats.norm.ppf(rank_N)
