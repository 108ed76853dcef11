"""Half precision where it is cheap: products in bfloat16, everything else in float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ovl.types import Model, Params

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

  stages = tuple(stage._replace(apply=_rounded(stage.apply)) for stage in model.stages)
  return model._replace(apply=_rounded(model.apply), stages=stages)


def _rounded(apply: Callable[..., Any]) -> Callable[..., Any]:
  """A network, or a stage of one, on rounded parameters and inputs."""

  def run(params: Params, state: Params, h_B: Array, **how: Any) -> Any:
    return _whole(apply(_half(params), state, _half(h_B), **how))

  return run


def _half(tree: Any) -> Any:
  return _cast(tree, jnp.float32, jnp.bfloat16)


def _whole(tree: Any) -> Any:
  return _cast(tree, jnp.bfloat16, jnp.float32)


def _cast(tree: Any, old: Any, new: Any) -> Any:
  return jax.tree.map(lambda x: x.astype(new) if x.dtype == old else x, tree)
