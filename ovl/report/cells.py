"""Rows of an audit -> cells (one attribute in one layer) and what stands beside them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from ovl.report.table import number
from ovl.types import Row

OVERLEARNED = "overlearned"
LEAKING = (OVERLEARNED, "passed through", "leaks")
ENTAILED = "entailed by the task"
NOTHING = "no evidence"
UNJUDGED = ("cannot be tested", "too few examples", "constant attribute")

Key = tuple[str, str, str, str]  # subject, attribute, layer, metric; of no setting


class Cell(NamedTuple):
  """One attribute in one layer.

  Attributes:
    share: the aggregate row of `share_beyond_task`; it carries p, verdict and flag.
    excess: the aggregate row of `excess_share`, where there are untrained twins.
    detectable: the row of `detectable_share`.
    nats: the row of `information`, of the representation alone.
    low: the row of `certified_low`; discrete attributes.
    high: the row of `certified_high`, of a noised release.
  """

  share: Row
  excess: Row | None
  detectable: Row | None
  nats: Row | None = None
  low: Row | None = None
  high: Row | None = None

  @property
  def verdict(self) -> str:
    """What the audit concluded."""
    return self.share.verdict

  @property
  def leaks(self) -> bool:
    """Whether more is read than the task label tells."""
    return self.share.verdict in LEAKING

  @property
  def note(self) -> str:
    """ "reduced" where training surely took some away."""
    return "reduced" if self.excess and "reduced" in self.excess.verdict else ""

  @property
  def bracket(self) -> str:
    """What is certain of I(Z;S), nats: "0.21 or more", "0.21 to 0.50"."""
    if self.low is None:
      return ""
    if self.high is None:
      return f"{number(self.low.value)} or more"
    return f"{number(self.low.value)} to {number(self.high.value)}"


class Found(NamedTuple):
  """The rows of an audit, in the order of the report.

  Attributes:
    cells: by attribute as they first came, then by depth; those of a setting last.
    totals: aggregate rows of no setting.
    models: the rows of single models, of no setting.
    varied: aggregate rows of a setting: recall of a class, a critic that competes with
      none, a dose.
  """

  cells: list[Cell]
  totals: dict[Key, Row]
  models: dict[Key, list[Row]]
  varied: list[Row]

  @property
  def drawn(self) -> Found:
    """What pictures show: one cell a layer and attribute, of no setting."""
    return self._replace(cells=[cell for cell in self.cells if not cell.share.setting])

  @property
  def attributes(self) -> list[str]:
    """Attributes with a verdict."""
    return list(dict.fromkeys(cell.share.attribute for cell in self.cells))

  @property
  def layers(self) -> list[str]:
    """Layers with a verdict, by depth."""
    by_depth = sorted(self.cells, key=lambda cell: _depth(cell.share))
    return list(dict.fromkeys(cell.share.layer for cell in by_depth))

  def of(self, attribute: str) -> list[Cell]:
    """The cells of one attribute, by depth."""
    return [cell for cell in self.cells if cell.share.attribute == attribute]

  def flat(self, subject: str, attribute: str, metric: str) -> Row | None:
    """The aggregate row of a subject without depth: raw input, label, majority."""
    for key, row in self.totals.items():
      if (key[0], key[1], key[3]) == (subject, attribute, metric):
        return row
    return None

  def read(self, layer: str) -> str:
    """ "512 of 12,544" where fewer columns of a layer were read than it has."""
    row = self.totals.get(("trained", "", layer, "columns"))
    if row is None or row.value is None or row.width is None:
      return ""
    return f"{row.width:,} of {row.value:,.0f}"

  def metric(self, attribute: str) -> str:
    """What stands for accuracy: `r2` where the attribute is continuous."""
    continuous = any(k[1] == attribute and k[3] == "r2" for k in self.totals)
    return "r2" if continuous else "accuracy"


def read(rows: Iterable[Row]) -> Found:
  """Sorts the rows of an audit."""
  totals: dict[Key, Row] = {}
  models: dict[Key, list[Row]] = {}
  varied: list[Row] = []
  for row in rows:
    key = _key(row)
    if row.setting:
      varied += [row] * (row.seed is None)
    elif row.seed is None:
      totals[key] = row
    else:
      models.setdefault(key, []).append(row)
  beside = {(row.setting, *_key(row)): row for row in (*totals.values(), *varied)}
  cells = []
  for setting, subject, attribute, layer, metric in beside:
    if (subject, metric) == ("trained", "share_beyond_task"):
      place = (setting, subject, attribute, layer)
      names = ("excess_share", "detectable_share", "information", "certified_low")
      its = [beside.get((*place, name)) for name in (*names, "certified_high")]
      cells.append(Cell(beside[(*place, metric)], *its))
  first: dict[str, int] = {}
  for cell in cells:
    first.setdefault(cell.share.attribute, len(first))
  cells.sort(
    key=lambda cell: (
      first[cell.share.attribute], bool(cell.share.setting), _depth(cell.share)
    )
  )  # fmt: skip
  return Found(cells, totals, models, varied)


def _key(row: Row) -> Key:
  return row.subject, row.attribute, row.layer, row.metric


def _depth(row: Row) -> float:
  return math.inf if row.layer_index is None else row.layer_index
