"""x and y as a person has them -> rows split in three, ready for critics."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ovl import columns, inputs, ranks
from ovl import split as splitting
from ovl.inputs.repeats import repeats
from ovl.types import Attribute, BadInput, Kind

SHARES = {"train": 0.6, "stop": 0.15, "report": 0.25}
MIN_ROWS = 40
SAME = 1e-6  # two columns that correlate to 1 within this are one


class Pair(NamedTuple):
  """Rows of a representation and of what it may know.

  Attributes:
    x_ND: float64.
    y: the attribute; discrete, continuous or vector.
    groups_N: codes of units that are not independent inside, or None.
    asked: what of y may be meant otherwise than it was read; "" where nothing.
    copies: a sentence on rows that are copies of others; "" where there are few.
  """

  x_ND: np.ndarray
  y: Attribute
  groups_N: np.ndarray | None
  asked: str = ""
  copies: str = ""

  @property
  def kind(self) -> Kind:
    """Of the attribute."""
    return self.y.kind


def pair(x: Any, y: Any, groups: Any = None, kind: Kind | None = None) -> Pair:
  """Checks and flattens what came.

  Args:
    x: `[N, ...]` numbers; `[N]` is one column.
    y: `[N]` classes or numbers (`columns.encode` tells which), or `[N, ...]` numbers.
    groups: `[N]`, or None.
    kind: of y, where the rule is not what is meant.

  Returns:
    A `Pair`; rows whose y is missing are left out.

  Raises:
    BadInput: mismatched lengths, not a number, nan in x, constant x or y, an identity
      in place of an attribute, too few rows.
  """
  x_ND = _numbers(x, "x")
  raw, asked = inputs.plain(y, "y"), ""
  if raw.ndim > 1 and int(np.prod(raw.shape[1:])) > 1:
    attribute = Attribute(_numbers(raw, "y"), "vector")
  else:
    one = y if raw.ndim == 1 else raw.reshape(len(raw)) if raw.ndim else raw
    attribute = columns.encode(one, "y", kind)
    if kind is None:
      asked = columns.question(one, attribute, "y", "kind={kind!r}")
  if len(x_ND) != len(attribute.values):
    raise BadInput(
      f"x has {len(x_ND):,} rows and y has {len(attribute.values):,}; expected as many, "
      "along the first axis"
    )
  group_N = None if groups is None else columns.codes(groups, "groups")
  if group_N is not None and len(group_N) != len(x_ND):
    raise BadInput(f"groups has {len(group_N):,} rows and x has {len(x_ND):,}")
  known = attribute.known
  x_ND = x_ND[known]
  attribute = attribute._replace(values=attribute.values[known])
  group_N = None if group_N is None else group_N[known]
  N = len(x_ND)
  if N < MIN_ROWS:
    raise BadInput(
      f"x has {N} rows with a known y: too few for a train, a stop and a report part; "
      f"expected at least {MIN_ROWS}"
    )
  if not (x_ND != x_ND[0]).any():
    raise BadInput("x is constant: it knows nothing of anything, I = 0")
  values = attribute.values
  if not (values != values[0]).any():
    raise BadInput("y is constant: there is nothing to know, I = 0")
  if attribute.kind == "discrete" and len(attribute.labels) > max(20, N // 10):
    raise BadInput(
      f"y has {len(attribute.labels):,} classes in {N:,} rows: an identity is no "
      "attribute; a quantity is meant where y is float (or kind='continuous')"
    )
  return Pair(x_ND, attribute, group_N, asked, str(repeats([x_ND], group_N)))


def determined(pair: Pair) -> str:
  """Why I(x; y) of quantities has no finite value; "" where nothing says so.

  That is where a column of y is a monotone function of one of x, or where columns of the
  one are linear in those of the other, to the precision of float32.
  """
  if pair.kind == "discrete":
    return ""
  rows = len(pair.x_ND)
  y_NM = pair.y.values.reshape(rows, -1)
  ranked = [ranks.normal_scores(z, z) for z in (pair.x_ND, y_NM)]
  sides = [_unit(z) for z in (*ranked, pair.x_ND, y_NM)]
  ends = "I has no finite value, or is the entropy of y where its values repeat"
  if np.abs(sides[0].T @ sides[1]).max() > 1 - SAME:
    return f"a column of y is a monotone function of one of x: {ends}"
  for one, other in (sides[2:], sides[:1:-1]):
    if one.shape[1] < rows / 2:
      rest = other - one @ np.linalg.lstsq(one, other, rcond=None)[0]
      if (np.square(rest).sum(0)[np.square(other).sum(0) > 0.5] < SAME**2).any():
        return f"a column of x or y is linear in those of the other: {ends}"
  return ""


def _unit(z_ND: np.ndarray) -> np.ndarray:
  """Centred columns of length 1; constant ones are 0."""
  away_ND = z_ND - z_ND.mean(0)
  reach_D = np.abs(away_ND).max(0)
  away_ND = away_ND / np.where(reach_D > 0, reach_D, 1)
  length_D = np.sqrt(np.square(away_ND).sum(0))
  return away_ND / np.where(length_D > 0, length_D, 1)


def _numbers(x: Any, name: str) -> np.ndarray:
  """`[N, D]` float64 of anything with numbers in it."""
  raw = inputs.numbers(x, name)
  if raw.ndim == 0 or raw.size == 0:
    raise BadInput(f"{name} has shape {raw.shape}, expected [N, ...]")
  flat_ND = raw.reshape(len(raw), -1).astype(np.float64)
  if bad := int((~np.isfinite(flat_ND)).any(1).sum()):
    raise BadInput(f"{name} has nan or infinite values in {bad:,} of {len(flat_ND):,} rows")
  return flat_ND


def split(pair: Pair, seed: int) -> dict[str, np.ndarray]:
  """Rows of train, stop and report: by whole groups, else at random, never stratified."""
  nothing_N = np.zeros(len(pair.x_ND), int)
  return splitting.split(nothing_N, pair.groups_N, SHARES, seed)
