"""Rows of an unlearning study -> its points, and the answer in a few sentences."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from ovl.report.table import interval
from ovl.types import Row

LOUD = ("critic_fooled", "eraser_leaks", "unreliable")  # flags that stand by the verdict


class Spot(NamedTuple):
  """One subject at one setting and layer: its aggregate rows by metric.

  Attributes:
    subject: "no_penalty", "untrained", "label", or a penalty or eraser.
    setting: what was swept, or whose control it is.
    layer: the tap that was attacked.
    attribute: what should go.
    by_metric: metric -> aggregate row.
    attackers: attacker -> its own share.
    read: critic of training -> what it read.
  """

  subject: str
  setting: dict[str, float | str]
  layer: str
  attribute: str
  by_metric: dict[str, Row]
  attackers: dict[str, Row]
  read: dict[str, Row]

  @property
  def weight(self) -> str:
    """For example "1"; empty where nothing was swept."""
    values = self.setting.values()
    return ", ".join(f"{v:g}" for v in values if not isinstance(v, str))

  @property
  def placed(self) -> bool:
    """Whether it is a point of the picture: a network, edited or not."""
    return "on_front" in self.by_metric

  @property
  def on_front(self) -> bool:
    """Whether no other point leaks as little at an accuracy as high."""
    row = self.by_metric.get("on_front")
    return row is not None and row.value == 1.0

  @property
  def verdict(self) -> str:
    """How much is left, in a word."""
    row = self.by_metric.get("share_beyond_task")
    return row.verdict if row else ""

  @property
  def said(self) -> str:
    """The verdict, and what must not be overlooked beside it; of a control what it is."""
    if "eraser" in self.setting:
      return f"after {self.setting['eraser']}"
    row = self.by_metric.get("share_beyond_task")
    flag = row.flag.replace("_", " ") if row and row.flag in LOUD else ""
    return ", ".join(word for word in (self.verdict, flag) if word)


def read(rows: Iterable[Row]) -> list[Spot]:
  """The points in the order of the rows; those of single models are passed over."""
  found: dict[tuple[str, str, str], Spot] = {}
  for row in rows:
    if row.seed is not None:
      continue
    setting = json.loads(row.setting or "{}")
    attacker = setting.pop("attacker", None)
    key = row.subject, json.dumps(setting), row.layer
    if key not in found:
      found[key] = Spot(row.subject, setting, row.layer, row.attribute, {}, {}, {})
    spot = found[key]
    if attacker is not None:
      if row.metric == "share":
        spot.attackers[attacker] = row
    elif row.metric == "critic_information":
      spot.read[row.method] = row
    else:
      spot.by_metric[row.metric] = row
  return list(found.values())


def answer(spots: list[Spot]) -> list[str]:
  """What the verdicts say, in a few sentences."""
  said = []
  plain = [s for s in spots if s.subject == "no_penalty"]
  for spot in plain:
    share, task = spot.by_metric.get("share"), spot.by_metric.get("task_accuracy")
    where = f" at {spot.layer}" if len(plain) > 1 else ""
    said.append(
      f"Without a penalty a fresh attacker reads {interval(share)} of {spot.attribute}"
      f"{where}; task accuracy {interval(task, 3)}."
    )
  tried = [s for s in spots if "task_cost" in s.by_metric and s.subject != "untrained"]
  for word in ("removed", "reduced"):
    mine = [s for s in tried if s.verdict == word]
    if mine:
      cheap = min(mine, key=lambda s: s.by_metric["task_cost"].value or 0.0)
      cost = cheap.by_metric["task_cost"]
      said.append(
        f"{len(mine)} of {len(tried)} points {word} it; of these the cheapest is "
        f"{_name(cheap)}: {interval(cheap.by_metric.get('share'))} left, "
        f"{interval(cost, 3)} of task accuracy lost."
      )
  if not any(s.verdict == "removed" for s in tried):
    said.append("No point removed it.")
  return said


def _name(spot: Spot) -> str:
  return f"{spot.subject} at weight {spot.weight}" if spot.weight else spot.subject
