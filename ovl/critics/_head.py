"""Critics that predict and are fitted by their cross-entropy; critics that penalise."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from jaxtyping import Array, Float, PRNGKeyArray

from ovl import nn
from ovl.critics._removal import gain
from ovl.types import BadInput, Critic, Kind, Params, View


def chosen(name: str, setting: str, given: str, fits: Iterable[str]) -> None:
  """Refuses a setting's value that is none of those that fit, in one line."""
  if given not in fits:
    raise BadInput(f"{name}: {setting}={given!r}: {' or '.join(map(repr, fits))} fit")


def mlp(hidden: tuple[int, ...]) -> tuple[Callable[..., Params], Callable[..., Array]]:
  """`init` and `logits` of a ReLU network; no hidden width is a linear head."""

  def init(key: PRNGKeyArray, view: View) -> Params:
    return nn.mlp_init(key, view.features_D, (*hidden, view.classes_K.shape[0]))

  def logits(params: Params, view: View) -> Float[Array, "n k"]:
    return nn.mask_logits(nn.mlp_apply(params, view.z_ND), view.classes_K)

  return init, logits


def head(
  attribute: Kind,
  init: Callable[..., Params],
  logits: Callable[..., Array],
  value: Callable[[Params, View], Array] | None = None,
  uses: Iterable[str] = ("monitor", "audit"),
  bound: str | None = "lower",
) -> Critic:
  """A critic of these; its value is H(S) - cross-entropy where none is given."""

  def error(params: Params, view: View) -> Float[Array, ""]:
    return nn.cross_entropy(logits(params, view), view, attribute)

  def barber_agakov(params: Params, view: View) -> Float[Array, ""]:
    return gain(logits(params, view), view, attribute, clip=False)

  estimate = value or barber_agakov
  return Critic(
    init=init,
    loss=lambda params, view, key: error(params, view),
    value=lambda params, view, key: estimate(params, view),
    logits=logits,
    fit=None,
    uses=frozenset(uses),
    unit="nats",
    bound=bound,
    attribute=attribute,
  )


def penalty(
  attribute: Kind,
  hidden: tuple[int, ...],
  term: Callable[[Array, View], Array],
  unit: str | None = "nats",
) -> Critic:
  """A head that only penalises: its value is a term of its answers."""
  init, logits = mlp(hidden)

  def value(params: Params, view: View) -> Float[Array, ""]:
    return term(logits(params, view), view)

  return head(attribute, init, logits, value, ("penalty",), None)._replace(unit=unit)
