"""Fresh attackers: critics of the grid, and boosted trees, each also of labels alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

import numpy as np

from ovl import probes, taps
from ovl.judge import cells
from ovl.judge.case import Case
from ovl.judge.cells import Column, Frame, Scored
from ovl.judge.removal import PERMUTED
from ovl.run import Run
from ovl.types import Critic, Found, Lane
from ovl.unlearn import trees
from ovl.unlearn.points import NO_PENALTY, UNTRAINED, Point
from ovl.unlearn.settings import TREES, Settings


class Attack(NamedTuple):
  """What fresh attackers are after, and the rows they learn it from.

  Attributes:
    column: the attribute.
    frame: the rows: attackers learn from the probe part, which nothing before has seen.
    made: settings.
    run: keeps what they found.
  """

  column: Column
  frame: Frame
  made: Settings
  run: Run

  @property
  def critics(self) -> dict[str, Critic]:
    """The attackers that are critics, and read this kind of attribute."""
    names = [name for name in self.made.attackers if name != TREES]
    return probes.critics(names, self.column.kind, "unlearn.attackers")[0]

  @property
  def names(self) -> list[str]:
    """All attackers."""
    return [*self.critics, *(name for name in self.made.attackers if name == TREES)]

  def read(
    self, lanes: list[Lane], names: Iterable[str], run: Run
  ) -> tuple[list[dict[str, Found]], dict[str, Found]]:
    """What attackers say of lanes of one width, and of one that holds nothing.

    Args:
      lanes: what is attacked.
      names: the attackers.
      run: called along the way.

    Returns:
      attacker -> its predictions, a lane; and the same of labels alone: what all of them
      are judged against.
    """
    names, found = list(names), [dict[str, Found]() for _ in lanes]
    blind: dict[str, Found] = {}
    if not lanes:
      return found, blind
    # As wide as the others, so that it shares their program.
    nothing = np.broadcast_to(np.float32(0), lanes[0].z_SND.shape)
    blank = Lane("label", lanes[0].layer, -1, nothing)
    for number, name in enumerate(names):
      mine = run.part(number / len(names), (number + 1) / len(names), f"attack by {name}: ")
      ask = self._trees if name == TREES else partial(self._critic, name)
      *each, blind[name] = ask([*lanes, blank], mine)
      for one, its in zip(found, each, strict=True):
        one[name] = its
    return found, blind

  def _critic(self, name: str, lanes: list[Lane], run: Run) -> list[Found]:
    stage = self._stage(name, lanes, {})
    return probes.ask(
      self.critics[name], stage, [self.column], lanes, self.frame, self.made.schedule, run
    )

  def _trees(self, lanes: list[Lane], run: Run) -> list[Found]:
    found: list[Found] = []
    seed = int(run.config.get("seed", 0))
    for number, lane in enumerate(lanes):
      stage = self._stage(TREES, [lane], trees.SETTINGS | {"rows": trees.ROWS})
      make = partial(trees.read, [lane], self.column, self.frame, seed)
      found += run.stage(*stage, make=make, of=Found)
      what = f"{lane.subject} {lane.layer} {lane.setting}".rstrip()
      run.progress((number + 1) / len(lanes), what)
    return found

  def _stage(self, name: str, lanes: list[Lane], settings: dict) -> tuple[str, ...]:
    """Its names; the digits stand for the attribute, all lanes and the settings."""
    about = [[lane.subject, lane.layer, lane.setting] for lane in lanes]
    whole = json.dumps([name, about, settings], sort_keys=True).encode()
    digits = hashlib.sha256(whole + self.column.s_SN.tobytes()).hexdigest()[:12]
    return "attackers", lanes[0].layer, f"{name} {digits}"


def cases(points: list[Point], tap: str, attack: Attack, run: Run) -> list[Case]:
  """Attacks one tap of every point by every attacker.

  Args:
    points: of the study; those without this tap are passed over.
    tap: the layer.
    attack: by whom, and on what rows.
    run: called along the way.
  """
  mine = [point for point in points if tap in point.z]
  depth = attack.made.taps.index(tap)
  lanes = [Lane(p.subject, tap, depth, p.z[tap], p.setting) for p in mine]
  found, blind = attack.read(lanes, attack.names, run)

  def case(point: Point, lane: Lane, found: dict[str, Found]) -> Case:
    def scored(some: dict[str, Found]) -> Scored:
      return cells.scored(lane, attack.column, 0, some, attack.frame, blind)

    alone = {name: scored({name: its}) for name, its in found.items()}
    best = scored(found) if len(alone) > 1 else next(iter(alone.values()))
    read = {name: said for (name, at), said in point.read.items() if at == tap}
    return Case(
      point.subject, point.setting, best, alone, point.correct_SN, point.alive_S, read,
      point.subject == UNTRAINED,
    )  # fmt: skip

  return [case(*one) for one in zip(mine, lanes, found, strict=True)]


def raw(x_N: np.ndarray, attack: Attack, run: Run) -> Scored:
  """What critics read of the input itself.

  Args:
    x_N: inputs of the whole data set.
    attack: by whom, and on what rows.
    run: called along the way.
  """
  frame = attack.frame
  x_SN = np.broadcast_to(x_N, (frame.models, *x_N.shape))
  z_SND = taps.narrow(
    taps.INPUT, x_SN, frame.rows_SN, attack.made.max_width, probe=frame.sizes[0]
  )
  lane = Lane("raw", taps.INPUT, -1, z_SND)
  (found,), blind = attack.read([lane], attack.critics, run)
  return cells.scored(lane, attack.column, 0, found, frame, blind)


def permuted(points: list[Point], tap: str, attack: Attack, run: Run) -> list[Scored]:
  """A tap of `no_penalty`, and what oracle erasers make of it, of a shuffled attribute.

  The former by the critic that is cheapest to fit: it must find nothing. An eraser that is
  told a shuffled attribute must not write it into the rows either: there one more attacks.

  Args:
    points: of the study.
    tap: the layer.
    attack: by whom, and on what rows.
    run: called along the way.
  """
  column = attack.column
  if not column.beyond:  # shuffling within task classes leaves it as it is
    return []
  shuffled = attack._replace(column=cells.permuted(column, attack.frame))
  depth = attack.made.taps.index(tap)
  names, critics = attack.names, attack.critics
  cheap = next((name for name, c in critics.items() if c.fit), names[0])
  further = [name for name in names if name != cheap][:1]
  plain = next(point for point in points if point.subject == NO_PENALTY)
  edited = [
    Lane(PERMUTED, tap, depth, p.shuffled[tap], json.dumps({"eraser": p.subject}))
    for p in points
    if tap in p.shuffled
  ]
  lanes = [Lane(PERMUTED, tap, depth, plain.z[tap]), *edited]
  half = 0.5 if edited else 1.0
  found, blind = shuffled.read(lanes, [cheap], run.part(0.0, half))
  more, again = shuffled.read(edited, further, run.part(half, 1.0))
  return [
    cells.scored(lane, shuffled.column, 0, one | two, attack.frame, blind | again)
    for lane, one, two in zip(lanes, found, [{}, *more], strict=True)
  ]
