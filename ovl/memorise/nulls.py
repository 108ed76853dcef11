r"""What a score is worth: planted against unplanted twins, or a rank among exchangeables.

The unit is the model. Two nulls hold by construction:

- *paired*: networks of equal seeds, one trained with the feature and one without, scored
  alike. Where the feature does nothing the two are exchangeable, so the sign of their
  difference is a fair coin (sign-flip test, exact); its mean has a t interval.
- *exchangeable*: the planted feature and R references are draws of one law. Of a network
  that learnt nothing the rank of the planted one is uniform on 1..R+1: `rank / (R + 1)` is
  an exact p, and `log2 (R + 1) / rank` the exposure in bits.

References:
  Carlini et al. (2019), https://arxiv.org/abs/1802.08232 (exposure);
  Benjamini and Hochberg (1995), J. R. Statist. Soc. B 57(1).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats as scipy_stats

from ovl.stats import excess, permutation_p
from ovl.types import BadInput

EXACT = 12  # so many models and fewer: all sign flips
FLIPS = 9999


class Difference(NamedTuple):
  """Planted minus unplanted over S pairs.

  Attributes:
    mean: of the differences.
    low: of its t interval; nan of one pair.
    high: likewise.
    p: one-sided, by sign flips; nan of one pair.
    share_above: of the pairs, ties count half.
  """

  mean: float
  low: float
  high: float
  p: float
  share_above: float


class Exposure(NamedTuple):
  """Ranks among exchangeable references.

  Attributes:
    bits_S: log2(R + 1) - log2(rank) of every model.
    p_S: rank / (R + 1), exact.
    p: of all models together, by the exact law of the sum of their ranks.
    null_bits: mean bits of a network that learnt nothing.
    rank_S: 1 is the top.
    references: R.
  """

  bits_S: np.ndarray
  p_S: np.ndarray
  p: float
  null_bits: float
  rank_S: np.ndarray
  references: int


def paired(
  planted_S: np.ndarray, unplanted_S: np.ndarray, level: float = 0.95, seed: int = 0
) -> Difference:
  """The mean difference of twins, and whether it is above 0.

  Args:
    planted_S: a number a model.
    unplanted_S: of its twin of the same seed.
    level: of the interval.
    seed: of the sign flips, where there are too many to try all.

  Raises:
    BadInput: unequal numbers of models, or fewer than two.
  """
  if np.shape(planted_S) != np.shape(unplanted_S):
    raise BadInput(
      f"planted and unplanted models are pairs: {len(planted_S)} and {len(unplanted_S)}"
    )
  d_S = np.asarray(planted_S, float) - np.asarray(unplanted_S, float)
  if len(d_S) < 2:
    raise BadInput("seeds=1: an interval over seeds needs at least 2")
  mean, _, low, high = excess(d_S, level)
  share = float((np.sign(d_S) / 2 + 0.5).mean())
  return Difference(mean, low, high, sign_flip_p(d_S, seed), share)


def sign_flip_p(d_S: np.ndarray, seed: int = 0) -> float:
  """P(mean of randomly signed differences >= the mean), one-sided.

  All signs are tried of up to 12 differences: p is exact, and at least 2^-S.
  """
  S = len(d_S)
  if S <= EXACT:
    bits = np.arange(2**S)[:, None] >> np.arange(S) & 1
    null = (1 - 2 * bits) @ d_S / S
    observed = d_S.mean()
    return float((null >= observed - 1e-9 * max(1.0, abs(observed))).mean())
  signs = np.random.default_rng([seed, 3]).integers(0, 2, (FLIPS, S)) * 2 - 1
  return permutation_p(float(d_S.mean()), signs @ d_S / S)


def exposure(planted_S: np.ndarray, references_SR: np.ndarray) -> Exposure:
  """Where the planted feature stands among references of the same law.

  Args:
    planted_S: the statistic of the planted feature, large where remembered.
    references_SR: of the R references of every model.

  Raises:
    BadInput: no references, or of another number of models.
  """
  planted_S, references_SR = np.asarray(planted_S), np.asarray(references_SR)
  if references_SR.ndim != 2 or len(references_SR) != len(planted_S):
    raise BadInput(
      f"references have shape {references_SR.shape}: expected {len(planted_S)} models and "
      "at least one reference"
    )
  R = references_SR.shape[1]
  rank_S = 1 + (references_SR >= planted_S[:, None]).sum(1)  # ties count against us
  bits_S, chance = bits(rank_S, R)
  return Exposure(bits_S, rank_S / (R + 1), rank_sum_p(rank_S, R), chance, rank_S, R)


def bits(rank_S: np.ndarray, R: int) -> tuple[np.ndarray, float]:
  """Exposures `[S]` of ranks among R references, and their mean where nothing is learnt."""
  of_rank = np.log2(R + 1) - np.log2(np.arange(1, R + 2))
  return of_rank[rank_S - 1], float(of_rank.mean())


def rank_sum_p(rank_S: np.ndarray, R: int) -> float:
  """P(sum of S uniform ranks on 1..R+1 <= the sum), exact: models are independent."""
  law = np.ones(1)
  for _ in rank_S:
    law = np.convolve(law, np.full(R + 1, 1 / (R + 1)))
  return float(min(1.0, law[: int((rank_S - 1).sum()) + 1].sum()))


def false_discovery(p: np.ndarray) -> np.ndarray:
  """Benjamini and Hochberg's adjusted p-values, over features."""
  order = np.argsort(p)
  scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
  out = np.empty(len(p))
  out[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
  return out


def share_interval(count: int, total: int, level: float = 0.95) -> tuple[float, float]:
  """Clopper and Pearson's interval of a share."""
  tail = (1 - level) / 2
  low = scipy_stats.beta.ppf(tail, count, total - count + 1) if count else 0.0
  high = scipy_stats.beta.isf(tail, count + 1, total - count) if count < total else 1.0
  return float(low), float(high)
