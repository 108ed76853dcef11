"""Attributes as people have them, drawn by themselves or given a label."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Draw = Callable[[np.random.Generator, np.ndarray], np.ndarray]  # generator, y_N -> s_N


def classes(K: int) -> Draw:
  """K classes of equal shares, as text: numbers might be taken for a quantity."""
  names_K = np.array([f"class {k:02d}" for k in range(K)])
  return lambda gen, y_N: names_K[gen.integers(0, K, len(y_N))]


def rare(share: float) -> Draw:
  """Two classes, one of them rare."""
  return lambda gen, y_N: (gen.random(len(y_N)) < share).astype(int)


def noisy_parity(gen: np.random.Generator, y_N: np.ndarray) -> np.ndarray:
  """Whether the label's number is odd, a fifth flipped."""
  return (y_N + (gen.random(len(y_N)) < 0.2)) % 2


def normal(gen: np.random.Generator, y_N: np.ndarray) -> np.ndarray:
  """A normal quantity."""
  return gen.normal(size=len(y_N))


def skewed(gen: np.random.Generator, y_N: np.ndarray) -> np.ndarray:
  """A log-normal quantity."""
  return np.exp(1.5 * gen.normal(size=len(y_N)))


def tied(gen: np.random.Generator, y_N: np.ndarray) -> np.ndarray:
  """A normal quantity in steps of a half."""
  return np.round(2 * gen.normal(size=len(y_N))) / 2


def many_zeros(gen: np.random.Generator, y_N: np.ndarray) -> np.ndarray:
  """Seven of ten are 0, the others log-normal."""
  return np.where(gen.random(len(y_N)) < 0.7, 0.0, skewed(gen, y_N))


def half_normal(gen: np.random.Generator, y_N: np.ndarray) -> np.ndarray:
  """A normal quantity whose sign is the label's parity: half-normal given the label."""
  return np.abs(gen.normal(size=len(y_N))) * np.where(y_N % 2, 1.0, -1.0)


def scaled(gen: np.random.Generator, y_N: np.ndarray) -> np.ndarray:
  """A skewed quantity whose scale is the label's."""
  return skewed(gen, y_N) * (1.0 + y_N)
