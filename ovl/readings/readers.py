"""Readers by name, asked once and remembered; each also of labels alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ovl.judge import cells
from ovl.judge.cells import Column, Frame, Scored
from ovl.readings import critics, trees
from ovl.run import Run
from ovl.types import BadInput, Critic, Found, Kind, Lane

TREES = "trees"
PERMUTED = "permuted"


class Read(NamedTuple):
  """What readers say of lanes.

  Attributes:
    lanes: the taps.
    cols: the attributes.
    found: reader -> predictions, a lane.
    blind: reader -> the same of labels alone: what all of them are judged against.
  """

  lanes: list[Lane]
  cols: list[Column]
  found: dict[str, list[Found]]
  blind: dict[str, Found]

  def scored(self, lane: int, column: int, frame: Frame, only: str = "") -> Scored:
    """A lane and an attribute: the reader that is best on the stop part, or one alone."""
    names = [only] if only else list(self.found)
    mine = {name: self.found[name][lane] for name in names}
    c = self.cols[column]
    return cells.scored(self.lanes[lane], c, column, mine, frame, self.blind)

  def all(self, frame: Frame, beyond: bool = False) -> list[Scored]:
    """Every lane of every attribute; or of those that can tell more than the task."""
    return [
      self.scored(lane, at, frame)
      for at, column in enumerate(self.cols)
      for lane in range(len(self.lanes))
      if column.beyond or not beyond
    ]

  def __or__(self, other: Read) -> Read:
    """With what further readers say of the same lanes and attributes."""
    return self._replace(found=self.found | other.found, blind=self.blind | other.blind)


class Readers(NamedTuple):
  """Who reads attributes of one kind, and what they learn from.

  Attributes:
    critics: those that predict, by name.
    statistics: those that are a number of the rows, by name.
    trees: whether scikit-learn's boosted trees read as well.
    frame: the rows: readers learn from the probe part, which nothing before has seen.
    schedule: settings of `ovl.grid.Schedule`.
  """

  critics: dict[str, Critic]
  statistics: dict[str, Critic]
  trees: bool
  frame: Frame
  schedule: Mapping[str, Any]

  @property
  def names(self) -> list[str]:
    """All that predict."""
    return [*self.critics, *[TREES] * self.trees]

  @property
  def cheapest(self) -> str:
    """The one that is refitted for a control."""
    return next((n for n, c in self.critics.items() if c.fit), self.names[0])

  def read(
    self,
    lanes: list[Lane],
    cols: list[Column],
    run: Run,
    names: Iterable[str] | None = None,
  ) -> Read:
    """Fits readers to lanes, and to one that holds nothing.

    Args:
      lanes: the taps.
      cols: attributes of one kind.
      run: keeps what they find.
      names: of the readers; None: all.
    """
    names = self.names if names is None else list(names)
    read = Read(lanes, cols, {}, {})
    if not lanes:
      return read._replace(found={name: [] for name in names})
    # As wide as a lane, so that it shares its program.
    nothing = np.broadcast_to(np.float32(0), lanes[0].z_SND.shape)
    blank = Lane("label", lanes[0].layer, -1, nothing)
    for number, name in enumerate(names):
      mine = run.part(number / len(names), (number + 1) / len(names), f"{name} reads: ")
      ask = self._trees if name == TREES else partial(self._critic, name)
      *read.found[name], read.blind[name] = ask([*lanes, blank], cols, mine)
    return read

  def _critic(
    self, name: str, lanes: list[Lane], cols: list[Column], run: Run
  ) -> list[Found]:
    make = partial(
      critics.fitted, self.critics[name], cols, lanes, self.frame, self.schedule, run
    )
    return run.stage(*_stage(name, lanes, cols, dict(self.schedule)), make=make, of=Found)

  def _trees(self, lanes: list[Lane], cols: list[Column], run: Run) -> list[Found]:
    found: list[Found] = []
    seed = int(run.config.get("seed", 0))
    settings = trees.SETTINGS | {"rows": trees.ROWS}
    for number, lane in enumerate(lanes):
      make = partial(trees.read, [lane], cols, self.frame, seed)
      found += run.stage(*_stage(TREES, [lane], cols, settings), make=make, of=Found)
      run.progress((number + 1) / len(lanes), f"{lane.subject} {lane.layer}")
    return found


def _stage(
  name: str, lanes: list[Lane], cols: list[Column], settings: Mapping[str, Any]
) -> tuple[str, ...]:
  """Names of a stage; its digits stand for attributes, lanes and settings."""
  about = [[lane.subject, lane.layer, lane.setting, lane.step] for lane in lanes]
  whole = json.dumps([name, about, settings], sort_keys=True, default=str).encode()
  digest = hashlib.sha256(whole)
  for c in cols:
    digest.update(c.s_SN.tobytes() + c.mask_SN.tobytes())
  return "readings", cols[0].kind, f"{name} {digest.hexdigest()[:12]}"


def readers(
  names: Iterable[str], kind: Kind, frame: Frame, schedule: Mapping[str, Any], where: str
) -> Readers:
  """Looks up who reads attributes of a kind.

  Args:
    names: of critics, and "trees".
    kind: of the attributes.
    frame: the rows.
    schedule: settings of `ovl.grid.Schedule`.
    where: the names came from, in messages.

  Raises:
    BadInput: an unknown name or setting; none predicts this kind.
  """
  names = list(names)
  plain = [name for name in names if name != TREES]
  if not plain:
    raise BadInput(f"{where}: expected a critic such as 'linear' besides trees")
  read, scored = critics.critics(plain, kind, where)
  critics.schedule(schedule, f"{where.partition('.')[0]}.schedule")
  return Readers(read, scored, TREES in names, frame, schedule)


def shuffled(cols: list[Column], frame: Frame) -> list[Column]:
  """The control: attributes shuffled within task classes; none where that changes none.

  Those that it leaves as they are (nothing of them is beyond the task) stay among the
  others: as many attributes as before are read by the same program.
  """
  if not any(c.beyond for c in cols):
    return []
  return [cells.permuted(c, frame) for c in cols]
