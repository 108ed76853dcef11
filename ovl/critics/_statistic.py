"""Critics without parameters: a number of the rows themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import jax.numpy as jnp
from jaxtyping import Array

from ovl.types import BadInput, Critic, Kind, View


def reads(name: str, attribute: str, kinds: Iterable[str]) -> None:
  """Refuses an attribute that a critic does not read, in one line."""
  if attribute not in kinds:
    kinds = " or ".join(kinds)
    raise BadInput(f"critic {name!r} reads {kinds} attributes, not {attribute} ones")


def columns(view: View) -> Array:
  """The attribute as `[N, M]`: one-hot classes, one quantity, or a vector as it is."""
  if view.s_N.ndim == 2:
    return view.s_N
  if jnp.issubdtype(view.s_N.dtype, jnp.integer):
    return (view.s_N[:, None] == jnp.arange(view.classes_K.shape[0])).astype(jnp.float32)
  return view.s_N[:, None]


def statistic(
  value: Callable[[View], Array],
  attribute: Kind,
  unit: str | None,
  bound: str | None,
  uses: Iterable[str] = ("audit",),
) -> Critic:
  """A critic whose value is a function of the view alone; nothing is trained."""
  return Critic(
    init=lambda key, view: (),
    loss=lambda params, view, key: jnp.float32(0),
    value=lambda params, view, key: value(view),
    logits=None,
    fit=lambda key, train, stop: (),
    uses=frozenset(uses),
    unit=unit,
    bound=bound,
    attribute=attribute,
  )
