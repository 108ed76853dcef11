"""Half precision where it is cheap: products in bfloat16, everything else in float32."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from ovl.types import Model, Params, Stage

PRECISIONS = ("float32", "bf16")


def of(model: Model, precision: str) -> Model:
  """The network at this precision.

  With "bf16" parameters and activations are rounded to bfloat16 as they enter it (stage by
  stage, where it has stages); what leaves is float32 again, so that losses, what critics
  read, gradients, optimiser state and running statistics are.

  References:
    Micikevicius et al. (2018), https://arxiv.org/abs/1710.03740.
  """
  if precision != "bf16":
    return model

  def apply(
    params: Params,
    state: Params,
    x_B: Array,
    *,
    key: PRNGKeyArray | None = None,
    train: bool = False,
  ) -> tuple[Array, dict[str, Array], Params]:
    out = model.apply(_half(params), state, _half(x_B), key=key, train=train)
    logits_BC, taps, renewed = out
    return _whole(logits_BC), _whole(taps), _whole(renewed)

  return model._replace(apply=apply, stages=tuple(map(_stage, model.stages)))


def _stage(stage: Stage) -> Stage:
  def apply(
    params: Params,
    state: Params,
    h_B: Array,
    *,
    key: PRNGKeyArray | None = None,
    train: bool = False,
  ) -> tuple[Array, Params]:
    out = stage.apply(_half(params), state, _half(h_B), key=key, train=train)
    return _whole(out[0]), _whole(out[1])

  return stage._replace(apply=apply)


def _half(tree: Any) -> Any:
  return _cast(tree, jnp.float32, jnp.bfloat16)


def _whole(tree: Any) -> Any:
  return _cast(tree, jnp.bfloat16, jnp.float32)


def _cast(tree: Any, old: Any, new: Any) -> Any:
  return jax.tree.map(lambda x: x.astype(new) if x.dtype == old else x, tree)
