"""Rows that are copies of one another: they are no independent witnesses."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

CHUNK = 1 << 22
WIDEST = 4096  # columns of a tap that are looked at
DIRECTIONS = 8
FINE, COARSE = 1e-3, 1e-2  # cells of the nets, in standard deviations
MOST = 0.01  # share of copies that is said
FREQUENT = 0.25  # share of all rows with which one value is no copy but a common value
DECIMALS = 1000  # a number with at most three is no mark of one example


class Repeats(NamedTuple):
  """How many rows were there before.

  Attributes:
    rows: all.
    exact: copies, to the last bit, of an earlier row.
    near: copies but for noise far below the spread, exact ones among them; 0 where those
      say enough.
  """

  rows: int
  exact: int
  near: int

  def __str__(self) -> str:
    """A sentence, or "" where there is nothing to say."""
    for count, what in ((self.exact, "copies"), (self.near, "near copies")):
      if count > MOST * self.rows:
        return (
          f"{count:,} of {self.rows:,} rows are {what} of an earlier row outside of its "
          "group: they witness nothing of their own, and a split parts them; groups= keeps "
          "what belongs together on one side"
        )
    return ""


def repeats(taps: Iterable[np.ndarray], groups_N: np.ndarray | None = None) -> Repeats:
  """Counts rows that are equal, or nearly, in all taps to an earlier one of another group.

  Equal rows are found by a hash. Near ones fall into the same cell of a net over 8 random
  directions, of which a second one is moved by half a cell; they count where a net ten
  times as wide finds hardly more, so that rows close by chance do not. Rows of numbers
  with at most three decimals, and values that one row in four has, are no copies:
  one-hot codes, counts, scores, dead units.

  Args:
    taps: `[N, ...]` each, of the same rows.
    groups_N: codes of what is not independent anyway, or None.

  Returns:
    The counts.
  """
  digests: list[hashlib.blake2b] = []
  projected_NR: np.ndarray | None = None
  plain_N: np.ndarray | None = None
  gen = np.random.default_rng(0)
  for z in taps:
    N, width = len(z), max(1, int(np.prod(z.shape[1:], dtype=int)))
    stride = -(-width // WIDEST)
    along_DR = gen.normal(size=(-(-width // stride), DIRECTIONS)).astype(np.float32)
    if projected_NR is None or plain_N is None:
      digests = [hashlib.blake2b(digest_size=16) for _ in range(N)]
      projected_NR, plain_N = np.zeros((N, DIRECTIONS)), np.ones(N, bool)
    step = max(1, CHUNK // width)
    here_NR = np.empty((N, DIRECTIONS))
    for start in range(0, N, step):
      rows_BD = np.asarray(z[start : start + step]).reshape(-1, width)[:, ::stride]
      rows_BD = np.ascontiguousarray(rows_BD, np.float32) + np.float32(0)  # -0 is 0
      for digest, row in zip(digests[start : start + step], rows_BD, strict=True):
        digest.update(row)
      scaled_BD = rows_BD * np.float32(DECIMALS)
      round_BD = np.abs(scaled_BD - np.rint(scaled_BD)) <= 1e-3
      plain_N[start : start + step] &= round_BD.all(1)
      here_NR[start : start + step] = rows_BD @ along_DR
    spread = here_NR.std(0)
    projected_NR += (here_NR - here_NR.mean(0)) / np.where(spread > 0, spread, 1)
  assert projected_NR is not None
  assert plain_N is not None
  kept = np.flatnonzero(~plain_N)
  if len(kept) < 2:
    return Repeats(len(plain_N), 0, 0)
  group_K = np.arange(len(kept)) if groups_N is None else groups_N[kept]
  exact_K = np.array([digests[i].digest() for i in kept], "S16")
  exact = _copies(np.unique(exact_K, return_inverse=True)[1], group_K)
  if exact > MOST * len(plain_N):
    return Repeats(len(plain_N), exact, 0)
  fine, coarse = (_near(projected_NR[kept], cell, group_K) for cell in (FINE, COARSE))
  return Repeats(len(plain_N), exact, fine if fine > coarse / 2 else 0)


def _near(z_KR: np.ndarray, cell: float, group_K: np.ndarray) -> int:
  found = []
  for moved in (0.0, 0.5):
    places = np.floor(z_KR / z_KR.std(0).clip(1e-30) / cell + moved).astype(np.int64)
    found.append(_copies(np.unique(places, axis=0, return_inverse=True)[1], group_K))
  return max(found)


def _copies(value_K: np.ndarray, group_K: np.ndarray) -> int:
  """Pairs (value, group) beyond the first of a value, where no value is frequent."""
  pairs = np.unique(np.stack([value_K.ravel(), group_K]), axis=1)[0]
  count = np.bincount(pairs)
  count = count[count <= max(FREQUENT * len(value_K), 2)]
  return int((count - 1).clip(0).sum())
