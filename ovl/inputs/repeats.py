"""Rows that are copies of one another: they are no independent witnesses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import ml_dtypes
import numpy as np

CHUNK = 1 << 22
WIDEST = 4096  # columns of a tap that are looked at
NARROW = 4  # columns of all taps: in fewer, rows are alike by chance
DIRECTIONS = 8
FINE, COARSE = 1e-3, 1e-2  # cells of the nets, in standard deviations
PLATEAU = 0.75  # of what the coarse net finds, the fine one finds too: no chance
MOST = 0.01  # share of copies that is said
FREQUENT = 0.25  # share of all rows with which one value is no copy but a common value
DECIMALS = 1000  # a number with at most three is no mark of one example
UNIT, LONG = 0.01, 1e6  # where decimals say something


class Repeats(NamedTuple):
  """How many rows were there before.

  Attributes:
    rows: all.
    exact: copies, to the last bit, of an earlier row.
    near: copies but for noise far below the spread, exact ones among them; 0 where those
      say enough.
    grouped: an earlier row of the same group is none.
  """

  rows: int
  exact: int
  near: int
  grouped: bool = False

  def __str__(self) -> str:
    """A sentence, or "" where there is nothing to say."""
    for count, what in ((self.exact, "copies"), (self.near, "near copies")):
      if count > MOST * self.rows:
        return (
          f"{count:,} of {self.rows:,} rows are {what} of an earlier row"
          f"{' of another group' if self.grouped else ''}: they witness nothing of their "
          "own, and a split parts them; groups= keeps what belongs together on one side"
        )
    return ""


class _Marks(NamedTuple):
  """What is known of every row, summed over taps."""

  hash_N: np.ndarray  # of its bits
  along_NR: np.ndarray  # its place along random directions
  plain_N: np.ndarray  # whether its numbers have at most three decimals
  half_N: np.ndarray  # whether two bytes hold each of them


def repeats(taps: Iterable[np.ndarray], groups_N: np.ndarray | None = None) -> Repeats:
  """Counts rows that are equal, or nearly, in all taps to an earlier one of another group.

  Equal rows have equal hashes. Near ones fall into the same cell of a net over 8 random
  directions, of which a second one is moved by half a cell; they count where a net ten
  times as wide finds hardly more, so that rows close by chance do not, and in four
  columns or more. No copies are rows of numbers with at most three decimals, values that
  one row in four has, and narrow rows of two-byte numbers: one-hot codes, counts,
  scores, dead units.

  Args:
    taps: `[N, ...]` each, of the same rows.
    groups_N: codes of what is not independent anyway, or None.

  Returns:
    The counts.
  """
  gen = np.random.default_rng(0)
  marks, total = None, 0
  for z in taps:
    width = max(1, int(np.prod(z.shape[1:], dtype=int)))
    mine, total = _marks(z, width, gen), total + width
    if marks is not None:
      mine = _Marks(
        marks.hash_N + mine.hash_N, marks.along_NR + mine.along_NR,
        marks.plain_N & mine.plain_N, marks.half_N & mine.half_N,
      )  # fmt: skip
    marks = mine
  assert marks is not None
  rows = len(marks.hash_N)
  _, value_N, count = np.unique(marks.hash_N, return_inverse=True, return_counts=True)
  common_N = count[value_N] > max(FREQUENT * rows, 2)
  short_N = marks.half_N if total < NARROW else np.zeros(rows, bool)
  kept = np.flatnonzero(~(marks.plain_N | common_N | short_N))
  exact = near = 0
  if len(kept) > 1:
    group_K = np.arange(len(kept)) if groups_N is None else groups_N[kept]
    exact = _copies(value_N[kept], group_K)
    if exact <= MOST * rows and total >= NARROW:
      along_KR = marks.along_NR[kept]
      fine, coarse = (_near(along_KR, cell, group_K) for cell in (FINE, COARSE))
      near = fine if fine > PLATEAU * coarse else 0
  return Repeats(rows, exact, near, groups_N is not None)


def _marks(z: np.ndarray, width: int, gen: np.random.Generator) -> _Marks:
  """Of one tap, read in parts."""
  stride = -(-width // WIDEST)
  columns = -(-width // stride)
  # Odd weights of 64 bits, whose sum wraps around: a hash.
  odd_D = gen.integers(0, 1 << 63, columns, np.uint64) * np.uint64(2) + np.uint64(1)
  along_DR = gen.normal(size=(columns, DIRECTIONS))
  parts = []
  step = max(1, CHUNK // width)
  scale = float(np.abs(np.asarray(z[:step], np.float64)).max()) or 1.0
  for start in range(0, len(z), step):
    rows_BD = np.asarray(z[start : start + step]).reshape(-1, width)[:, ::stride]
    rows_BD = np.ascontiguousarray(rows_BD, np.float64) + 0.0  # -0 is 0
    short_BD = rows_BD.clip(-LONG, LONG) * DECIMALS
    plain_BD = (np.abs(short_BD - np.rint(short_BD)) <= 1e-3) & (np.abs(rows_BD) < LONG)
    half = np.zeros(len(rows_BD), bool)
    if width < NARROW:
      with np.errstate(over="ignore"):
        half_BD = rows_BD.astype(np.float16) == rows_BD
        half_BD |= rows_BD.astype(ml_dtypes.bfloat16).astype(np.float64) == rows_BD
      half = half_BD.all(1)
    parts.append(
      _Marks(
        (rows_BD.view(np.uint64) * odd_D).sum(1, dtype=np.uint64),
        rows_BD / scale @ along_DR,
        plain_BD.all(1) & (scale > UNIT),
        half,
      )
    )
  hash_N, along_NR, plain_N, half_N = (
    np.concatenate(one) for one in zip(*parts, strict=True)
  )
  spread = along_NR.std(0)
  along_NR = (along_NR - along_NR.mean(0)) / np.where(spread > 0, spread, 1)
  return _Marks(hash_N, along_NR, plain_N, half_N)


def _near(z_KR: np.ndarray, cell: float, group_K: np.ndarray) -> int:
  odd_R = np.random.default_rng(1).integers(0, 1 << 63, DIRECTIONS, np.uint64)
  odd_R = odd_R * np.uint64(2) + np.uint64(1)
  found = []
  for moved in (0.0, 0.5):
    places = np.floor(z_KR / z_KR.std(0).clip(1e-30) / cell + moved).astype(np.int64)
    cell_K = (places.view(np.uint64) * odd_R).sum(1, dtype=np.uint64)
    found.append(_copies(np.unique(cell_K, return_inverse=True)[1], group_K))
  return max(found)


def _copies(value_K: np.ndarray, group_K: np.ndarray) -> int:
  """Groups beyond the first of each value."""
  pairs = np.unique(value_K.astype(np.int64) * (int(group_K.max()) + 1) + group_K)
  return len(pairs) - len(np.unique(value_K))
