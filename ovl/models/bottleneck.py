"""A perceptron with a stochastic bottleneck: what variational censoring needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from ovl.models import _linen
from ovl.types import Model, Params, Stage


def _sample(
  params: Params,
  state: Params,
  h_BD: Array,
  *,
  key: PRNGKeyArray | None = None,
  train: bool = False,
) -> tuple[Array, Params]:
  """The mean, and in training a draw around it."""
  del params
  mean_BD, log_scale_BD = jnp.split(h_BD, 2, -1)
  if train and key is not None:
    mean_BD += jnp.exp(log_scale_BD) * jax.random.normal(key, mean_BD.shape)
  return mean_BD, state


def model(
  classes: int = 2,
  hidden: tuple[int, ...] = (64,),
  width: int = 30,
  after: tuple[int, ...] = (),
) -> Model:
  """Dense layers, then a normal z, then dense layers again.

  Args:
    classes: of the task.
    hidden: widths before the bottleneck.
    width: of z.
    after: widths between z and the logits.

  Returns:
    A `Model` for inputs `[B, ...]`; taps `fc1, ..., posterior [B, 2 width]` (mean and log
    scale of q(z|x)), `z [B, width]` (a draw in training, else the mean), `head1, ...,
    logits, softmax`.

  References:
    Moyer et al. (2018), https://arxiv.org/abs/1805.09458.
  """

  def make(size: int) -> Callable[..., nn.Module]:
    return lambda name=None: nn.Dense(size, name=name)

  def bounded(h_BD: Array) -> Array:
    mean_BD, log_scale_BD = jnp.split(h_BD, 2, -1)
    return jnp.concatenate([mean_BD, jnp.clip(log_scale_BD, -6.0, 3.0)], -1)

  layers: list[Any] = [
    _linen.Layer(f"fc{i}", make(size), _linen.flat, nn.relu)
    for i, size in enumerate(hidden, 1)
  ]
  layers += [
    _linen.Layer("posterior", make(2 * width), _linen.flat, bounded),
    Stage("z", _sample),
  ]
  layers += [
    _linen.Layer(f"head{i}", make(size), after=nn.relu) for i, size in enumerate(after, 1)
  ]
  return _linen.chain([*layers, *_linen.dense((), classes)])
