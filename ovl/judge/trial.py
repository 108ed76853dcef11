"""What all numbers of a run share, and the one writer of a row's common columns."""

from __future__ import annotations

from typing import Any, NamedTuple

from ovl.judge.cells import Column, Frame
from ovl.types import Lane, Row


class Trial(NamedTuple):
  """The rows that are judged, and how.

  Attributes:
    frame: rows, parts, groups and task label of every model.
    base: what all rows of the table have in common.
    seeds: the number of each model.
    level: of intervals; tests are at 1 - level.
    seed: of permutations.
    train: rows that every network learnt its task from; 0 where nothing is known of it.
  """

  frame: Frame
  base: Row
  seeds: list[int]
  level: float
  seed: int = 0
  train: int = 0

  @property
  def alpha(self) -> float:
    """The level of tests."""
    return round(1 - self.level, 12)

  def row(
    self, lane: Lane | None = None, column: Column | None = None, **others: Any
  ) -> Row:
    """A row of a tap, an attribute, or both; `others` are further columns."""
    row = self.base
    if lane is not None:
      row = row._replace(
        subject=lane.subject, setting=lane.setting, step=lane.step, layer=lane.layer,
        layer_index=lane.depth, width=lane.z_SND.shape[-1],
      )  # fmt: skip
    if column is not None:
      row = row._replace(attribute=column.name, classes=len(column.labels) or None)
    return row._replace(**others)
