"""Which rows train the network, train the probes, stop them, and judge them."""

from __future__ import annotations

import numpy as np

from ovl.types import BadInput

SHARES = {"train": 0.5, "probe": 0.2, "stop": 0.05, "test": 0.25}


def split(
  y_N: np.ndarray,
  groups_N: np.ndarray | None,
  shares: dict[str, float],
  seed: int,
) -> dict[str, np.ndarray]:
  """A fresh split: by whole groups where there are any, else stratified on the task.

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
    for y in np.unique(y_N):
      rows = gen.permutation(np.flatnonzero(y_N == y))
      cuts = np.round(edges * len(rows)).astype(int)
      part_N[rows] = np.searchsorted(cuts, np.arange(len(rows)), "right")
  else:
    _, code_N, count_G = np.unique(groups_N, return_inverse=True, return_counts=True)
    order_G = gen.permutation(len(count_G))
    # A group goes where the middle of its rows falls.
    middle = np.cumsum(count_G[order_G]) - count_G[order_G] / 2
    part_G = np.empty(len(count_G), int)
    part_G[order_G] = np.searchsorted(edges * len(y_N), middle, "right")
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


def stack(splits: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
  """part -> rows `[S, N]`; groups give parts of unequal size: the smallest is kept."""
  return {
    name: np.stack([s[name][: min(len(t[name]) for t in splits)] for s in splits])
    for name in splits[0]
  }
