"""Data and networks: attributes, data sets, models and their stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Array

from ovl.types.base import Kind, Params


class Attribute(NamedTuple):
  """One attribute of every example.

  Attributes:
    values: `[N]`; discrete: int32 codes `0..K-1`, -1 where unknown; continuous:
      float64, nan where unknown; vector: `[N, M]` float64, another representation.
    kind: "discrete", "continuous" or "vector".
    labels: the class names in the order of the codes; empty where continuous.
  """

  values: np.ndarray
  kind: Kind
  labels: tuple[str, ...] = ()

  @property
  def known(self) -> np.ndarray:
    """`[N]` bool: where the attribute has a value."""
    if self.kind == "discrete":
      return self.values >= 0
    finite = np.isfinite(self.values)
    return finite if finite.ndim == 1 else finite.all(1)

  @property
  def outputs(self) -> int:
    """How many numbers a critic returns for a row: K classes, or mean and log scale."""
    if self.kind == "vector":
      return int(self.values.shape[1])
    return len(self.labels) if self.kind == "discrete" else 2


class Dataset(NamedTuple):
  """Examples in host memory, with what must not be mixed up about them.

  Attributes:
    name: the name in rows and reports.
    x: inputs `[N, ...]`, float32, channel last.
    y: the task, int32 codes `[N]`.
    labels: class names of the task, in the order of the codes.
    attributes: name -> `Attribute`.
    groups: `[N]` int codes of the unit that must stay on one side of a split (writer,
      person), or None where examples are independent.
    split: `[N]` of "train", "probe", "stop", "test" where the data set fixes it.
    ids: `[N]` a stable identity of each example.
    note: one sentence a reader of the report must know.
    truth: attribute -> I(x; attribute) in nats, where it is known.
  """

  name: str
  x: np.ndarray
  y: np.ndarray
  labels: tuple[str, ...]
  attributes: dict[str, Attribute]
  ids: np.ndarray
  groups: np.ndarray | None = None
  split: np.ndarray | None = None
  note: str = ""
  truth: Mapping[str, float] = MappingProxyType({})


class Stage(NamedTuple):
  """One layer of a network, so that it can be entered, left or cut there.

  Attributes:
    name: of the tap it returns; the last two are "logits" and "softmax".
    apply: `(params, state, h_B, *, key=None, train=False) -> (h_B, state)`, `params` and
      `state` those of the whole network, of which it reads its own and returns the
      state with its own part renewed.
  """

  name: str
  apply: Callable[..., tuple[Array, Params]]


class Model(NamedTuple):
  """A network as a pair of pure functions.

  Attributes:
    init: `(key, x_B) -> (params, state)`; `state` is () where there is none.
    apply: `(params, state, x_B, *, key=None, train=False) -> (logits_BC, taps, state)`;
      `taps` maps a name to an activation `[B, ..., channels]` after its non-linearity,
      in depth order.
    stages: the same network layer by layer, one stage a tap, where it is a chain; ()
      where it is not: then it cannot be cut into modules, nor edited inside.
  """

  init: Callable[..., tuple[Params, Params]]
  apply: Callable[..., tuple[Array, dict[str, Array], Params]]
  stages: tuple[Stage, ...] = ()
