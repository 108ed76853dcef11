"""What the Linen models share: the dense end of a network and the way into `Model`."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float, PRNGKeyArray

from ovl.types import Model, Params


def dense(
  x_BD: Float[Array, "b d"], hidden: tuple[int, ...], classes: int
) -> dict[str, Array]:
  """The taps `fc1, fc2, ..., logits, softmax`; call it inside a compact method."""
  taps: dict[str, Array] = {}
  for i, width in enumerate(hidden, 1):
    x_BD = nn.relu(nn.Dense(width, name=f"fc{i}")(x_BD))
    taps[f"fc{i}"] = x_BD
  logits_BC = nn.Dense(classes, name="logits")(x_BD)
  return taps | {"logits": logits_BC, "softmax": nn.softmax(logits_BC)}


def stateless(net: nn.Module) -> Model:
  """The `Model` of a Linen module that returns its taps, "logits" among them."""

  def init(key: PRNGKeyArray, x_B: Array) -> tuple[Params, Params]:
    variables: Any = net.init(key, x_B)
    return variables["params"], ()

  def apply(
    params: Params,
    state: Params,
    x_B: Array,
    *,
    key: PRNGKeyArray | None = None,
    train: bool = False,
  ) -> tuple[Array, dict[str, Array], Params]:
    taps: Any = net.apply({"params": params}, x_B)
    return taps["logits"], taps, state

  return Model(init, apply)
