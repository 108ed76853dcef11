"""Digits on coloured ground: the recipe of Biased-MNIST."""

from __future__ import annotations

import numpy as np

from ovl.types import Attribute, BadInput

COLOURS = np.array([
  (255, 0, 0), (0, 255, 0), (0, 0, 255), (225, 225, 0), (225, 0, 225),
  (0, 255, 255), (255, 128, 0), (255, 0, 128), (128, 0, 255), (128, 128, 128),
])  # fmt: skip
NAMES = (
  "red", "green", "blue", "yellow", "magenta", "cyan", "orange", "rose", "violet", "grey",
)  # fmt: skip
UNBIASED = 0.1


def check(rho: float) -> None:
  """Refuses a share that is none."""
  if not 0 < rho <= 1:
    raise BadInput(f"dataset.rho={rho}: expected in (0, 1]")


def assign(digit_N: np.ndarray, rho: float, gen: np.random.Generator) -> np.ndarray:
  """The colour of each digit: its own for a share rho of its class, others for the rest.

  Of a class of n digits `int(n rho)` get the class's colour; the others are cut in chunks
  of ceil(rest / 9), one for each of the next nine colours in turn.
  """
  colour_N = np.empty(len(digit_N), np.int32)
  for digit in range(10):
    rows = gen.permutation(np.flatnonzero(digit_N == digit))
    own = int(len(rows) * rho)
    colour_N[rows[:own]] = digit
    rest = rows[own:]
    chunk = max(-(-len(rest) // 9), 1)
    colour_N[rest] = (digit + 1 + np.arange(len(rest)) // chunk) % 10
  return colour_N


def by_part(
  digit_N: np.ndarray, part_N: np.ndarray, rho: float, gen: np.random.Generator
) -> np.ndarray:
  """Colours biased in the train part, and independent of the digit in the others."""
  colour_N = np.empty(len(digit_N), np.int32)
  for part in np.unique(part_N):
    mine = part_N == part
    share = rho if part == "train" else UNBIASED
    colour_N[mine] = assign(digit_N[mine], share, gen)
  return colour_N


def paint(ink_NHW: np.ndarray, colour_N: np.ndarray) -> np.ndarray:
  """White ink, in 0..1, on coloured ground: `[N, H, W, 3]` in -1..1."""
  ink = ink_NHW[..., None].astype(np.float32)
  ground = (COLOURS[colour_N] / np.float32(255))[:, None, None].astype(np.float32)
  return (2 * (ink + (1 - ink) * ground) - 1).astype(np.float32)


def attribute(colour_N: np.ndarray) -> Attribute:
  """The colour of the ground."""
  return Attribute(colour_N.astype(np.int32), "discrete", NAMES)
