"""What a verb would train, found out without training it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ovl.fit.lanes import Objective
from ovl.fit.settings import Settings
from ovl.types import Model


class Asked(NamedTuple):
  """The arguments of one training.

  Attributes:
    model: the network.
    x_N: inputs.
    y_N: task codes.
    rows_SN: which rows each network trains on.
    key_S: one root key a network.
    settings: how it is trained.
    objective: what else is asked.
    name: of the training, where a verb has several.
  """

  model: Model
  x_N: Any
  y_N: Any
  rows_SN: Any
  key_S: Any
  settings: Settings
  objective: Objective
  name: str = ""


class Rehearsed(BaseException):
  """Raised in place of the first training."""

  def __init__(self, trainings: list[Asked]) -> None:
    """Carries every training that is known by then."""
    super().__init__()
    self.trainings = trainings


_rehearsals: list[bool] = []


@contextlib.contextmanager
def rehearsing() -> Iterator[None]:
  """Inside, `fit` raises `Rehearsed` before it touches a device."""
  _rehearsals.append(True)
  try:
    yield
  finally:
    _rehearsals.pop()


def announce(trainings: Callable[[], list[Asked]]) -> None:
  """Ends here, where this is a rehearsal: a verb says all that it is going to train.

  Raises:
    Rehearsed: it is.
  """
  if _rehearsals:
    raise Rehearsed(trainings())
