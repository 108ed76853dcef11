"""What a critic says of an attribute -> what can be quoted: one formula for every program.

q(s|z), what a critic says, is always mixed with what labels alone say, b(s):
(1 - w) q + w b, w chosen on the n rows of stop, from min(.01, 1 / (n + 2)) to 1. One wrong
row costs log(1 / w) nats at most, and a critic that learned nothing becomes b: p(s) where
it saw the representation alone, p(s|y) where it also saw the task label.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import optimize, special
from scipy import stats as scipy_stats

from ovl import stats
from ovl.types import Kind

LEAST = 1e-3  # of the base, however many rows of stop were told right
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

  def density(self, form_N: np.ndarray, values_K: np.ndarray) -> np.ndarray:
    """`[N, K]` of a quantity's values under every row's prediction."""
    every = [_density(self, form_N, np.full(len(form_N), v)) for v in values_K]
    return np.stack(every, 1)

  @property
  def probabilities(self) -> np.ndarray:
    """`[N, K]` of the mixture; discrete only."""
    return (1 - self.weight) * self.q_N + self.weight * self.base_N

  @property
  def mean(self) -> np.ndarray:
    """`[N]` of the mixture; of a quantity's normal scores only."""
    return (1 - self.weight) * _mean(self.q_N) + self.weight * _mean(self.base_N)


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


def _mean(form_N: np.ndarray) -> np.ndarray:
  B = form_N.shape[1]
  if B == 2:
    return form_N[:, 0]
  return form_N @ scipy_stats.norm.ppf((np.arange(B) + 0.5) / B)


# ---- critics alone -------------------------------------------------------------------


def softmax(logits_NK: np.ndarray) -> np.ndarray:
  """Probabilities in float64."""
  z_NK = logits_NK.astype(np.float64)
  e_NK = np.exp(z_NK - z_NK.max(-1, keepdims=True))
  return e_NK / e_NK.sum(-1, keepdims=True)


def pooled(log_q_LNK: np.ndarray) -> np.ndarray:
  """Probabilities of an ensemble: softmax of the mean of its log-probabilities."""
  return softmax(log_q_LNK.astype(np.float64).mean(0))


def temperature(q_NK: np.ndarray, s_N: np.ndarray) -> float:
  """T in [.2, 20] with the least cross-entropy of `tempered` predictions.

  References:
    Guo, Pleiss, Sun and Weinberger (2017), https://arxiv.org/abs/1706.04599, sec. 4.2.
  """
  log_q_NK, rows = np.log(q_NK + 1e-38), np.arange(len(s_N))

  def cost(log_t: float) -> float:
    scaled_NK = log_q_NK / np.exp(log_t)
    return float((special.logsumexp(scaled_NK, 1) - scaled_NK[rows, s_N]).mean())

  best = optimize.minimize_scalar(cost, bounds=(np.log(0.2), np.log(20)), method="bounded")
  return float(np.exp(best.x)) if best.fun < cost(0.0) else 1.0


def tempered(q_NK: np.ndarray, t: float) -> np.ndarray:
  """q^(1 / t), summing to 1."""
  return softmax(np.log(q_NK + 1e-38) / t)


# ---- labels alone --------------------------------------------------------------------


def label_only(kind: Kind, s_N: np.ndarray, y_N: np.ndarray, C: int, K: int) -> np.ndarray:
  """What the task label alone says of the attribute, learnt from these rows.

  Returns:
    `[C, K]` probabilities, or `[C, 2]` mean and log scale.
  """
  if kind == "discrete":
    return stats.label_table(s_N, y_N, C, K)
  if C == 1:
    return np.zeros((1, 2))  # ranks have one marginal
  table = np.empty((C, 2))
  for y in range(C):
    # Two pseudo-rows of the marginal keep a rare label value sane.
    mine = np.concatenate([s_N[y_N == y], [-1.0, 1.0]])
    table[y] = mine.mean(), np.log(max(mine.std(), 1e-3))
  return table


def marginal(s_N: np.ndarray, K: int) -> np.ndarray:
  """What is said of a class by who knows no label, `[K]`."""
  return label_only("discrete", s_N, np.zeros_like(s_N), 1, K)[0]


def by_ranks(s_N: np.ndarray, y_N: np.ndarray, C: int) -> list[np.ndarray]:
  """A quantity's law given the label, of any shape: `[C, B]` of B parts of the ranks."""
  tables = []
  for B in (4, 8, 16, 32):
    code_N = np.minimum((special.ndtr(s_N) * B).astype(int), B - 1)
    tables.append(label_only("discrete", code_N, y_N, C, B))
  return tables


def tilt(q_NK: np.ndarray, learnt_N: np.ndarray, there_N: np.ndarray) -> np.ndarray:
  """Predictions learnt at one mix of classes, for rows of another: codes of both.

  References:
    Saerens, Latinne, Decaestecker (2002), Neural Computation 14(1), equation 2.4.
  """
  K = q_NK.shape[1]
  learnt_K, there_K = (
    (np.bincount(s_N, minlength=K) + 0.5) / (len(s_N) + K / 2)
    for s_N in (learnt_N, there_N)
  )
  out_NK = q_NK * (there_K / learnt_K)
  return out_NK / out_NK.sum(1, keepdims=True)


# ---- mixing --------------------------------------------------------------------------


def cross_entropy(guess: Guess, s_N: np.ndarray) -> float:
  """Of the base alone, nats a row."""
  return float(-np.log(_density(guess, guess.base_N, s_N) + 1e-38).mean())


def against(guess: Guess, marginal_K: np.ndarray, s_N: np.ndarray) -> Guess:
  """Compares with this statement of the marginal, if it is better on these rows."""
  form_N = np.broadcast_to(marginal_K, guess.base_N.shape)
  blind = guess._replace(reference_N=form_N)
  better = blind.log_reference(s_N).mean() > guess.log_reference(s_N).mean()
  return blind if better else guess


def marginalised(guess: Guess, s_N: np.ndarray) -> Guess:
  """Compares with what the mixture says when every row has the z of all, if that is better.

  A critic states the marginal as it learnt it, and a mixture of two statements is better
  than one: of many or rare classes that alone would be credited to z. An estimate in nats
  takes the z of stop (`against`): its own would cost (K - 1) / 2N where z tells all.
  """
  if guess.kind != "discrete":
    return guess
  return against(guess, guess.probabilities.mean(0), s_N)


def mix(guess: Guess, s_N: np.ndarray) -> tuple[float, float]:
  """The weight of the base (of equals the largest) with the lowest cross-entropy, nats."""
  q = _density(guess, guess.q_N, s_N)
  base = _density(guess, guess.base_N, s_N)
  weights = np.append(_floor(len(s_N)), WEIGHTS)
  mixed = (1 - weights[:, None]) * q + weights[:, None] * base
  cost = -np.log(mixed + 1e-38).mean(1)
  best = len(cost) - 1 - int(np.argmin(cost[::-1]))
  return float(weights[best]), float(cost[best])


def _floor(n: int) -> float:
  """Of n rows that were all told right the next may be wrong once in n + 2 (Laplace)."""
  return float(min(max(1 / (n + 2), LEAST), WEIGHTS[0]))


def floor_cost(weight: float, n: int) -> float:
  """-log(1 - w): what `mix` on n rows may take off a row where its least weight binds."""
  return float(-np.log1p(-weight)) if weight <= _floor(n) else 0.0


def gains(guess: Guess, s_N: np.ndarray, over: Guess | None = None) -> bool:
  """Whether the mixture beats its base by a standard error, or another by two of them.

  Else noise that looked well on few rows would be credited on others, with a spread that
  intervals over test rows do not hold.
  """
  ratio_N, errors = guess.log_ratio(s_N), 1
  if over is not None:
    ratio_N, errors = guess.log_density(s_N) - over.log_density(s_N), 2
  return bool(ratio_N.mean() > errors * ratio_N.std() / np.sqrt(len(ratio_N)))
