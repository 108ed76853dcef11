"""Which rows train the network, train the probes, stop them, and judge them."""

from __future__ import annotations

import itertools

import numpy as np

from ovl.types import BadInput

GROUPS = 4  # at least, in every part, where there are many times as many
SHARES = {"train": 0.5, "probe": 0.2, "stop": 0.05, "test": 0.25}


def split(
  y_N: np.ndarray,
  groups_N: np.ndarray | None,
  shares: dict[str, float],
  seed: int,
) -> dict[str, np.ndarray]:
  """A fresh split: by whole groups where there are any, else stratified on the task.

  Without groups a part has its share of every class and of all rows, each to within one
  row: what a class leaves over goes where rows are due, so that many rare classes empty
  no part. A class of few rows is not in every part. Of groups every part has at least
  four, where there are several times as many: a part of one or two shows one class of
  what is constant in a group.

  Never on an attribute: that would tie its counts across parts and break the tests.

  Args:
    y_N: task codes.
    groups_N: codes of units that stay on one side, or None.
    shares: part -> its share of the rows; parts of share 0 come back empty.
    seed: of the shuffle.

  Returns:
    part -> row numbers, shuffled.

  Raises:
    BadInput: a part that is wanted stays empty.
  """
  gen = np.random.default_rng([seed, 7])
  names = list(shares)
  edges = np.cumsum([shares[name] for name in names])
  edges = edges / edges[-1]
  part_N = np.empty(len(y_N), int)
  if groups_N is None:
    _, code_N, size_C = np.unique(y_N, return_inverse=True, return_counts=True)
    share_P = np.diff(edges, prepend=0.0)
    by_class = np.split(np.argsort(code_N, kind="stable"), np.cumsum(size_C)[:-1])
    for rows, count_P in zip(by_class, _deal(size_C, share_P, seed), strict=True):
      part_N[gen.permutation(rows)] = np.repeat(np.arange(len(names)), count_P)
  else:
    _, code_N, count_G = np.unique(groups_N, return_inverse=True, return_counts=True)
    order_G = gen.permutation(len(count_G))
    # A group goes where the middle of its rows falls.
    middle = np.cumsum(count_G[order_G]) - count_G[order_G] / 2
    part_G = np.empty(len(count_G), int)
    part_G[order_G] = np.searchsorted(edges * len(y_N), middle, "right")
    wanted = [i for i, name in enumerate(names) if shares[name] > 0]
    if len(count_G) >= 2 * GROUPS * len(wanted):
      _fill(part_G, wanted, gen)
    part_N = part_G[code_N]
  rows_by_part = {}
  for number, name in enumerate(names):
    rows = np.flatnonzero(part_N == number)
    if shares[name] > 0 and len(rows) == 0:
      unit = "rows" if groups_N is None else f"groups ({len(count_G)} in all)"
      raise BadInput(
        f"split.{name}={shares[name]}: no {unit} left for this part of seed {seed}; "
        f"{len(y_N)} rows are too few, or one group is too large"
      )
    rows_by_part[name] = gen.permutation(rows)
  return rows_by_part


def _fill(part_G: np.ndarray, wanted: list[int], gen: np.random.Generator) -> None:
  """Moves random groups from the part with most to those with too few."""
  for part in wanted:
    while (part_G == part).sum() < GROUPS:
      most = np.bincount(part_G).argmax()
      part_G[gen.choice(np.flatnonzero(part_G == most))] = part


def _deal(size_C: np.ndarray, share_P: np.ndarray, seed: int) -> np.ndarray:
  """`[C, P]` how many rows of each class go to each part, each to within one.

  Classes come in a random order. Each gives every part the whole rows that are its due;
  what is over goes, one row a part, to those that are owed most by all classes so far.
  """
  gen = np.random.default_rng([seed, 8])
  due_CP = np.outer(size_C, share_P)
  whole_CP = np.floor(due_CP + 1e-6).astype(int)
  over_CP = due_CP - whole_CP
  count_CP, owed_P = whole_CP.copy(), 1e-3 * gen.random(len(share_P))  # no ties
  for c in gen.permutation(len(size_C)):
    owed_P += over_CP[c]
    # A part that this class owes nothing takes nothing: it may be of share 0.
    rank_P = np.argsort(np.where(over_CP[c] > 1e-6, -owed_P, np.inf), kind="stable")
    first = rank_P[: size_C[c] - whole_CP[c].sum()]
    count_CP[c, first] += 1
    owed_P[first] -= 1
  # Sizes are now within one row of their due. Every seed should have the same ones: rows
  # move along parts, each in a class that stays within one row, which is always possible.
  more_P = _sizes(size_C.sum(), share_P) - count_CP.sum(0)
  while (more_P < 0).any():
    full_CP = count_CP > whole_CP
    can_CPP = full_CP[:, :, None] & (~full_CP & (over_CP > 1e-6))[:, None, :]
    start = int(np.flatnonzero(more_P < 0)[0])
    path = _path(can_CPP.any(0), start, set(np.flatnonzero(more_P > 0)))
    for give, take in itertools.pairwise(path):
      c = gen.choice(np.flatnonzero(can_CPP[:, give, take]))
      count_CP[c, [give, take]] += [-1, 1]
    more_P[[path[0], path[-1]]] += [1, -1]
  return count_CP


def _path(can_PP: np.ndarray, start: int, ends: set[int]) -> list[int]:
  """The shortest way from `start` to one of `ends`."""
  paths = [[start]]
  for path in paths:  # grows while it is walked
    if path[-1] in ends:
      return path
    seen = {one[-1] for one in paths}
    paths += [[*path, int(to)] for to in np.flatnonzero(can_PP[path[-1]]) if to not in seen]
  raise AssertionError("a table within one of its due has whole margins")


def _sizes(rows: int, share_P: np.ndarray) -> np.ndarray:
  """Whole numbers that sum to `rows`, by largest remainder."""
  size_P = np.floor(rows * share_P + 1e-6).astype(int)
  rest_P = rows * share_P - size_P
  size_P[np.argsort(-rest_P, kind="stable")[: rows - size_P.sum()]] += 1
  return size_P


def stack(splits: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
  """part -> rows `[S, N]`; groups give parts of unequal size: the smallest is kept."""
  return {
    name: np.stack([s[name][: min(len(t[name]) for t in splits)] for s in splits])
    for name in splits[0]
  }
