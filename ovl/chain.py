"""Runs a chain of stages: the one way in which layers follow one another."""

from __future__ import annotations

from collections.abc import Sequence

import jax
from jaxtyping import Array, PRNGKeyArray

from ovl.types import Params, Stage


def run(
  stages: Sequence[Stage],
  params: Params,
  state: Params,
  h_B: Array,
  *,
  key: PRNGKeyArray | None = None,
  train: bool = False,
  first: int = 0,
) -> tuple[dict[str, Array], Params]:
  """Every tap of the stages in depth order, and the state.

  Args:
    stages: consecutive ones of a network.
    params: of the whole network.
    state: likewise.
    h_B: what enters.
    key: of the whole network's step; stage i draws from `fold_in(key, i)`.
    train: as in `Model.apply`.
    first: the place of the first of them in the network.
  """
  taps: dict[str, Array] = {}
  for i, stage in enumerate(stages, first):
    mine = None if key is None else jax.random.fold_in(key, i)
    h_B, state = stage.apply(params, state, h_B, key=mine, train=train)
    taps[stage.name] = h_B
  return taps, state


def resume(
  stages: Sequence[Stage],
  tap: str,
  params: Params,
  state: Params,
  h_B: Array,
  *,
  key: PRNGKeyArray | None = None,
  train: bool = False,
) -> tuple[dict[str, Array], Params]:
  """The taps from one of them on, where `h_B` stands in its place, and the state.

  Args:
    stages: all of a network.
    tap: where it is entered.
    params: of the whole network.
    state: likewise.
    h_B: what is put there, of that tap's shape.
    key: as in `run`.
    train: as in `Model.apply`.
  """
  at = [stage.name for stage in stages].index(tap) + 1
  taps, state = run(stages[at:], params, state, h_B, key=key, train=train, first=at)
  return {tap: h_B} | taps, state
