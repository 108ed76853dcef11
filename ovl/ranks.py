"""How quantities and columns are seen: by their ranks, or at one scale.

A quantity is a normal score of its rank: monotone, so that information stays as it is.
"""

from __future__ import annotations

import numpy as np
from scipy import special
from scipy import stats as scipy_stats


def tie_edges(reference_N: np.ndarray) -> np.ndarray:
  """Normal scores between the distinct values of the reference."""
  _, count_K = np.unique(reference_N, return_counts=True)
  return scipy_stats.norm.ppf(np.cumsum(count_K)[:-1] / len(reference_N))


def normal_scores(values_N: np.ndarray, reference_N: np.ndarray) -> np.ndarray:
  """Mid-ranks among the reference -> standard normal quantiles: monotone, so I stays.

  Args:
    values_N: `[N]`, or `[N, D]` column by column.
    reference_N: rows of as many columns.
  """
  if values_N.ndim > 1:
    columns = zip(values_N.T, reference_N.T, strict=True)
    return np.stack([normal_scores(*one) for one in columns], 1)
  ordered = np.sort(reference_N)
  left = np.searchsorted(ordered, values_N, "left")
  right = np.searchsorted(ordered, values_N, "right")
  rank_N = np.clip((left + right) / 2, 0.5, len(ordered) - 0.5) / len(ordered)
  return special.ndtri(rank_N)


def standardised(x_ND: np.ndarray, reference_ND: np.ndarray) -> np.ndarray:
  """Columns of mean 0 and scale 1 on the reference, float32; constant ones are 0.

  Whatever the unit and the offset: what is narrowed is the distance to a row over the
  largest one, never the number itself.
  """
  # Halves: the distance of the two largest numbers is no float.
  first_D = reference_ND[0] / 2
  reach_D = np.abs(reference_ND / 2 - first_D).max(0)
  alive_D = reach_D > 0

  def away(x_ND: np.ndarray) -> np.ndarray:
    return np.where(alive_D, (x_ND / 2 - first_D) / np.where(alive_D, reach_D, 1), 0)

  known_ND = away(reference_ND)
  scaled_ND = (away(x_ND) - known_ND.mean(0)) / np.where(alive_D, known_ND.std(0), 1)
  # Rows outside the reference may lie anywhere; their squares are still numbers.
  return np.clip(scaled_ND, -1e15, 1e15).astype(np.float32)
