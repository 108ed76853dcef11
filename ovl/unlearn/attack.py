"""Fresh attackers of every subject of a study, at one tap."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ovl import taps
from ovl.judge.case import Case
from ovl.judge.cells import Column, Scored
from ovl.readings import Readers, shuffled
from ovl.readings.readers import PERMUTED
from ovl.run import Run
from ovl.subjects import Subject
from ovl.types import Lane
from ovl.unlearn.penalised import NO_PENALTY, UNTRAINED


class Attack(NamedTuple):
  """What fresh attackers are after.

  Attributes:
    column: the attribute.
    readers: the attackers.
    layers: of the network, in depth order.
    max_width: see `ovl.pooling.reduce`: of the input.
  """

  column: Column
  readers: Readers
  layers: Sequence[str]
  max_width: int | None


def cases(points: list[Subject], tap: str, attack: Attack, run: Run) -> list[Case]:
  """Attacks one tap of every subject by every attacker.

  Args:
    points: of the study; those without this tap are passed over.
    tap: the layer.
    attack: by whom, and on what rows.
    run: keeps what attackers find.
  """
  mine, frame = [point for point in points if tap in point.taps], attack.readers.frame
  lanes = [point.lane(tap, attack.layers) for point in mine]
  read = attack.readers.read(lanes, [attack.column], run)

  def case(at: int, point: Subject) -> Case:
    alone = {name: read.scored(at, 0, frame, only=name) for name in read.found}
    best = read.scored(at, 0, frame) if len(alone) > 1 else next(iter(alone.values()))
    told = {name: said for (name, where), said in point.read.items() if where == tap}
    alive_S = np.ones(frame.models, bool) if point.alive_S is None else point.alive_S
    assert point.correct_SN is not None
    return Case(
      point.name, point.setting, best, alone, point.correct_SN, alive_S, told,
      point.name == UNTRAINED,
    )  # fmt: skip

  return [case(at, point) for at, point in enumerate(mine)]


def raw(x_N: np.ndarray, attack: Attack, run: Run) -> Scored:
  """What critics read of the input itself.

  Args:
    x_N: inputs of the whole data set.
    attack: by whom, and on what rows.
    run: keeps what they find.
  """
  frame = attack.readers.frame
  x_SN = np.broadcast_to(x_N, (frame.models, *x_N.shape))
  z_SND = taps.narrow(
    taps.INPUT, x_SN, frame.rows_SN, attack.max_width, probe=frame.sizes[0]
  )
  lane = Subject("raw", {taps.INPUT: z_SND}).lane(taps.INPUT, attack.layers)
  read = attack.readers.read([lane], [attack.column], run, attack.readers.critics)
  return read.scored(0, 0, frame)


def permuted(points: list[Subject], tap: str, attack: Attack, run: Run) -> list[Scored]:
  """A tap of `no_penalty`, and what oracle erasers make of it, of a shuffled attribute.

  The former by the critic that is cheapest to fit: it must find nothing. An eraser that is
  told a shuffled attribute must not write it into the rows either: there one more attacks.

  Args:
    points: of the study.
    tap: the layer.
    attack: by whom, and on what rows.
    run: keeps what they find.
  """
  readers = attack.readers
  cols = shuffled([attack.column], readers.frame)
  if not cols:  # shuffling within task classes leaves it as it is
    return []
  further = [name for name in readers.names if name != readers.cheapest][:1]
  plain = next(point for point in points if point.name == NO_PENALTY)
  edited = [_told(point, tap, attack) for point in points if tap in point.shuffled]
  lanes = [plain.lane(tap, attack.layers)._replace(subject=PERMUTED), *edited]
  half = 0.5 if edited else 1.0
  found = readers.read(lanes, cols, run.part(0.0, half), [readers.cheapest])
  more = readers.read(edited, cols, run.part(half, 1.0), further)
  first = found._replace(
    lanes=edited, found={name: each[1:] for name, each in found.found.items()}
  )
  both = first | more
  return [
    found._replace(blind=both.blind).scored(0, 0, readers.frame),
    *(both.scored(at, 0, readers.frame) for at in range(len(edited))),
  ]


def _told(point: Subject, tap: str, attack: Attack) -> Lane:
  """The tap as an eraser edits it that was told the shuffled attribute."""
  setting = json.dumps({"eraser": point.name})
  its = point._replace(name=PERMUTED, taps=point.shuffled, setting=setting)
  return its.lane(tap, attack.layers)
