"""Bounds on I(Z;S) that hold at a stated error, for every distribution of the rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ovl.mi import data
from ovl.mi.api import mutual_information
from ovl.types import BadInput


class Certificate(NamedTuple):
  """low <= I(Z;S) with probability `level`; I <= high surely.

  Attributes:
    low: certified lower bound, nats.
    high: certified upper bound of a noised release, else H(S)'s ceiling log K.
    level: 1 - the error of `low`.
    nats: the estimate beside it (a lower bound in expectation).
    entropy: H(S), nats.
    method: the critic, fixed before the report part was looked at.
    estimand: of what `low` is a bound.
    units: independent units behind it.
  """

  low: float
  high: float
  level: float
  nats: float
  entropy: float
  method: str
  estimand: str
  units: int


def certify(
  z: Any, s: Any, *, groups: Any = None, release: Any = None, releases: int = 1,
  level: float = 0.95, method: str = "auto", **settings: Any,
) -> Certificate:  # fmt: skip
  r"""A lower bound on I(Z;S) that is false in at most 1 - level of all samples.

  .. math:: I(Z;S) \ge E[\log q(s|z)/r(s)] - KL(p \| r)

  for a critic q and a marginal r that are fixed before the report part is looked at;
  both terms are bounded from finitely many rows (`ovl.bounds.lower`). With a release,
  z is clipped and noised first, and the channel's capacity bounds I from above.

  Args:
    z: `[N, ...]` the representation.
    s: `[N]` classes.
    groups: `[N]` units whose rows are not independent: then the unit is the group, and
      the bound is on the mean of per-group means.
    release: from `ovl.releases`, or None.
    releases: how many independent releases of a row an adversary sees.
    level: 1 - error.
    method: the critic; "auto" chooses on the stop part.
    **settings: of `mutual_information`: seeds, seed, schedule, ...

  Returns:
    A `Certificate`.

  Raises:
    BadInput: s is no class, or what `mutual_information` refuses.

  References:
    Barber and Agakov (2003); Waudby-Smith and Ramdas (2024),
    https://arxiv.org/abs/2010.09686; McAllester and Stratos (2020),
    https://arxiv.org/abs/1811.04251 (why log K limits what can be certified).
  """
  pair = data.pair(z, s, groups)
  if pair.kind != "discrete":
    raise BadInput(
      f"s is {pair.kind}: a certified bound needs classes; codes as text are such: "
      "s.astype(str)"
    )
  x_ND, K = pair.x_ND, pair.y.outputs
  high = float(np.log(K))
  if release is not None:
    x_ND = release(x_ND, seed=settings.get("seed", 0))
    high = release.bound(K, x_ND.shape[1], releases)
  found = mutual_information(
    x_ND, pair.y.values, method, groups=pair.groups_N, kind="discrete", level=level,
    **settings,
  )  # fmt: skip
  estimand = "I(Z;S) of one row" if groups is None else "mean of per-group means"
  return Certificate(
    found.certified_low, high, level, found.nats, found.entropy, found.method, estimand,
    found.units,
  )  # fmt: skip
