"""The rows that every model is judged on, and their parts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Frame(NamedTuple):
  """Which rows every model is judged on, and what is common to all attributes.

  Attributes:
    rows_SN: row numbers in the data set, `probe | stop | test`.
    sizes: of the three parts.
    y_SN: task codes of those rows (all 0 without a task).
    C: task classes (1 without a task).
    groups_SN: group of those rows, or None.
    given: the split was given, so its parts may differ in their mix of classes.
  """

  rows_SN: np.ndarray
  sizes: tuple[int, int, int]
  y_SN: np.ndarray
  C: int
  groups_SN: np.ndarray | None
  given: bool = False

  @property
  def shifts(self) -> bool:
    """Whether classes may be mixed otherwise in the part that is judged."""
    return self.given or self.groups_SN is not None

  @property
  def models(self) -> int:
    """S."""
    return len(self.rows_SN)

  def part(self, name: str) -> slice:
    """Where a part lies among the rows."""
    edges = np.cumsum((0, *self.sizes))
    i = ("probe", "stop", "test").index(name)
    return slice(int(edges[i]), int(edges[i + 1]))

  def units(self, model: int, rows: np.ndarray) -> np.ndarray:
    """What is resampled: the group of each test row, or the row itself."""
    source = self.rows_SN if self.groups_SN is None else self.groups_SN
    return source[model, self.part("test")][rows]


def frame(
  part: dict[str, np.ndarray], y_N: np.ndarray, C: int, groups_N: np.ndarray | None,
  given: bool = False,
) -> Frame:  # fmt: skip
  """From the rows `[S, N]` of the parts "probe", "stop", "test"."""
  names = ("probe", "stop", "test")
  rows_SN = np.concatenate([part[name] for name in names], 1)
  probe, stop, test = (part[name].shape[1] for name in names)
  grouped = None if groups_N is None else groups_N[rows_SN]
  return Frame(rows_SN, (probe, stop, test), y_N[rows_SN], C, grouped, given)
