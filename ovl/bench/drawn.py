"""What a world draws: arrays for a public door, and what is true of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

NONE: Mapping[str, Any] = MappingProxyType({})


class Truth(NamedTuple):
  """What is true of an attribute in every tap.

  Attributes:
    leaks: whether it is read beyond the task label.
    nats: I(Z;S) or more than that; nan where nothing is known of it.
    metrics: metric -> its true value, where there is something to cover.
    exact: so many rows teach a critic all there is; else a metric is at most the truth.
    excess: the mean over models of the trained share less the untrained; nan where none.
    planted: the leak has just the share that the audit states as detectable.
  """

  leaks: bool = False
  nats: float = 0.0
  metrics: Mapping[str, float] = NONE
  exact: bool = True
  excess: float = np.nan
  planted: bool = False


NOTHING = Truth()


class Audited(NamedTuple):
  """One call of `ovl.audit`.

  Attributes:
    taps: name -> `[N, D]`, or `[S, N, D]` with seeds.
    attributes: name -> `[N]`.
    truth: of every attribute.
    options: the other arguments of `ovl.audit`.
  """

  taps: Mapping[str, np.ndarray]
  attributes: Mapping[str, np.ndarray]
  truth: Mapping[str, Truth]
  options: Mapping[str, Any] = NONE


class Asked(NamedTuple):
  """One call of `ovl.mutual_information`.

  Attributes:
    x: `[N, D]`.
    y: `[N]`.
    nats: I(x; y).
    options: the other arguments.
  """

  x: np.ndarray
  y: np.ndarray
  nats: float
  options: Mapping[str, Any] = NONE


class Paired(NamedTuple):
  """Many calls of `ovl.stats.paired`, of numbers as models and rows would give them.

  Attributes:
    a_RSN: numbers of R repeats, S models, N rows.
    b_RSN: of the other side.
    rows_RSN: which rows a model was judged on.
    difference: mean of a - b over new models and rows.
    floored: whether a model's mean counts as 0 below 0.
  """

  a_RSN: np.ndarray
  b_RSN: np.ndarray
  rows_RSN: np.ndarray
  difference: float
  floored: bool


Drawn = Audited | Asked | Paired


class World(NamedTuple):
  """A law with a known truth.

  Attributes:
    name: of its lines.
    draws: samples of a full run.
    draw: `generator -> Drawn`, pure.
  """

  name: str
  draws: int
  draw: Callable[[np.random.Generator], Drawn]
