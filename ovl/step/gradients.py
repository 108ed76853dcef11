"""What becomes of a gradient before the optimiser has it: freezing, clipping, noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from ovl.load import nearest
from ovl.step.plan import Plan
from ovl.types import BadInput, Params


def check(plan: Plan, params: Params, state: Params) -> None:
  """Refuses paths that are not there, and per-example clipping of batch statistics.

  Raises:
    BadInput: either of the two.
  """
  paths = [_path(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
  for frozen in plan.frozen:
    if not any(_below(path, frozen) for path in paths):
      raise BadInput(f"frozen: no parameters {frozen!r}: {nearest(frozen, paths)}")
  if plan.clip == "example" and jax.tree.leaves(state):
    raise BadInput(
      "clip='example': this model has batch statistics, so no gradient is of one example"
    )


def freeze(plan: Plan, tree: Params, still: Params = None) -> Params:
  """A tree with what is frozen replaced by that of `still`, or by 0."""
  if not plan.frozen or not jax.tree.leaves(tree):
    return tree
  still = jax.tree.map(jnp.zeros_like, tree) if still is None else still

  def pick(path: Any, new: Array, old: Array) -> Array:
    return old if any(_below(_path(path), f) for f in plan.frozen) else new

  return jax.tree_util.tree_map_with_path(pick, tree, still)


def shape(
  plan: Plan, grads: Params, params: Params, weights: Mapping[str, Array]
) -> Params:
  """Clipped entry by entry, with what mitigations say of the parameters, and frozen."""
  if plan.clip == "value":
    most = weights["clip"]
    grads = jax.tree.map(lambda g: jnp.clip(g, -most, most), grads)
  for name, task, _ in plan.tasks:
    if task.penalty is not None:
      more = jax.grad(task.penalty)(params, weights[name])
      grads = jax.tree.map(jnp.add, grads, more)
  return freeze(plan, grads)


def private_mean(
  grads_B: Params,
  weight_B: Float[Array, " b"],
  weights: Mapping[str, Array],
  key: PRNGKeyArray,
) -> Params:
  r"""Every example's gradient cut to a length, their sum noised, over the batch size.

  .. math:: \frac1B \Big(\sum_i w_i\, g_i \min(1, C / |g_i|) + \sigma C\, N(0, I)\Big)

  B counts rows of weight 0 too: the size of the lot is public. The key is a lane's own,
  so that no two lanes share their noise.

  Args:
    grads_B: leaves `[B, ...]`, one gradient an example.
    weight_B: 1, or 0 of an example that has no part.
    weights: "clip" C, and "noise" sigma (absent: none).
    key: of this step.

  References:
    Abadi et al. (2016), https://arxiv.org/abs/1607.00133, alg. 1.
  """
  most, noise = weights["clip"], weights.get("noise")
  length_B = jax.vmap(optax.tree.norm)(grads_B)
  factor_B = weight_B * jnp.minimum(1.0, most / jnp.maximum(length_B, 1e-12))
  # Not weight * gradient: 0 times an infinite gradient is no number.
  kept = jax.tree.map(
    lambda g: jnp.where(_column(weight_B, g) > 0, _column(factor_B, g) * g, 0.0).sum(0),
    grads_B,
  )
  if noise is not None:
    leaves, where = jax.tree.flatten(kept)
    keys = jax.random.split(key, len(leaves))
    drawn = [
      jax.random.normal(k, g.shape, g.dtype) for k, g in zip(keys, leaves, strict=True)
    ]
    kept = jax.tree.unflatten(
      where, [g + noise * most * e for g, e in zip(leaves, drawn, strict=True)]
    )
  return jax.tree.map(lambda g: g / len(weight_B), kept)


def _column(value_B: Array, like_B: Array) -> Array:
  return value_B.reshape(-1, *[1] * (like_B.ndim - 1))


def _path(path: Any) -> str:
  return jax.tree_util.keystr(path, simple=True, separator="/")


def _below(path: str, prefix: str) -> bool:
  return path == prefix or path.startswith(f"{prefix}/")
