"""A network as modules between which no gradient passes; uncut it is one module."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Array, PRNGKeyArray

from ovl.chain import run
from ovl.load import nearest
from ovl.types import BadInput, Model, Params


class Module(NamedTuple):
  """Consecutive layers.

  Attributes:
    apply: `(params, state, h_B, key) -> (h_B, taps, state)` in training; of the last
      module `h_B` is the logits.
    taps: names of its layers; () where they are not known before it runs.
    last: it ends in the logits.
  """

  apply: Callable[..., tuple[Array, dict[str, Array], Params]]
  taps: tuple[str, ...]
  last: bool

  def holds(self, tap: str) -> bool:
    """Whether a tap is one of its own; the uncut network holds all."""
    return not self.taps or tap in self.taps


def modules(model: Model, cuts: tuple[str, ...]) -> list[Module]:
  """Cuts after the named taps.

  Raises:
    BadInput: the model has no stages, or no such tap before its logits.
  """
  if not cuts:

    def whole(
      params: Params, state: Params, x_B: Array, key: PRNGKeyArray
    ) -> tuple[Array, dict[str, Array], Params]:
      return model.apply(params, state, x_B, key=key, train=True)

    return [Module(whole, (), True)]
  names = [stage.name for stage in model.stages]
  if not names:
    raise BadInput("cuts: this model has no stages, so it cannot be cut into modules")
  inner = names[: names.index("logits")]
  for cut in cuts:
    if cut not in inner:
      raise BadInput(f"cuts: no layer {cut!r} before the logits: {nearest(cut, inner)}")
  edges = [0, *sorted(names.index(cut) + 1 for cut in set(cuts)), len(names)]
  return [_module(model, *edge) for edge in itertools.pairwise(edges)]


def _module(model: Model, start: int, end: int) -> Module:
  last, stages = end == len(model.stages), model.stages[start:end]
  names = tuple(stage.name for stage in stages)

  def apply(
    params: Params, state: Params, h_B: Array, key: PRNGKeyArray
  ) -> tuple[Array, dict[str, Array], Params]:
    taps, state = run(stages, params, state, h_B, key=key, train=True, first=start)
    return taps["logits" if last else names[-1]], taps, state

  return Module(apply, names, last)
