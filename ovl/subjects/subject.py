"""S models at one setting: their taps on the judged rows, and what they say of the task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from ovl.taps import INPUT
from ovl.types import Lane

NOTHING: Mapping = MappingProxyType({})


class Subject(NamedTuple):
  """One subject at one setting, of S models.

  Attributes:
    name: "trained", "untrained", "raw", "no_penalty", or a penalty or eraser.
    taps: tap -> `[S, N, D]` of the rows `probe | stop | test`, or what `np.asarray` reads.
    setting: compact JSON of what was swept; "" where nothing was.
    step: of training, where it is a snapshot of it.
    correct_SN: whether the model got each test row's task right, where it has a task.
    alive_S: False where training went to infinity; None: all are finite.
    read: (term, tap) -> `[S]` nats that critics of training read at its end, and what
      they read of independent data at most.
    shuffled: of an eraser that is told the attribute: its tap as it edits it when told
      one shuffled within task classes.
  """

  name: str
  taps: Mapping[str, np.ndarray]
  setting: str = ""
  step: int | None = None
  correct_SN: np.ndarray | None = None
  alive_S: np.ndarray | None = None
  read: Mapping[tuple[str, str], tuple[np.ndarray, float]] = NOTHING
  shuffled: Mapping[str, np.ndarray] = NOTHING

  def lane(self, tap: str, layers: Sequence[str]) -> Lane:
    """A tap as the grid takes it; its depth is its place among all layers."""
    depth = -1 if tap == INPUT else list(layers).index(tap)
    return Lane(self.name, tap, depth, self.taps[tap], self.setting, self.step)

  def lanes(self, layers: Sequence[str]) -> list[Lane]:
    """All its taps."""
    return [self.lane(tap, layers) for tap in self.taps]
