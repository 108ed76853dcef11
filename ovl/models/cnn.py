"""A small convolutional network whose seeds train side by side under `jax.vmap`."""

from __future__ import annotations

from collections.abc import Callable

import flax.linen as nn
from jaxtyping import Array, Float

from ovl.models import _conv, _linen
from ovl.types import BadInput, Model


@_conv.unrolled
def _block(x_BHWC: Array, w_HWIO: Array, bias_O: Array) -> Array:
  return _conv.max_pool(nn.relu(_conv.conv(x_BHWC, w_HWIO) + bias_O))


class _Conv(nn.Module):
  """3x3 convolution, ReLU and 2x2 pooling."""

  features: int

  @nn.compact
  def __call__(self, x_BHWC: Float[Array, "b h w c"]) -> Float[Array, "b p q o"]:
    shape = (3, 3, x_BHWC.shape[-1], self.features)
    w_HWIO = self.param("kernel", nn.initializers.lecun_normal(), shape)
    bias_O = self.param("bias", nn.initializers.zeros, (self.features,))
    return _block(x_BHWC, w_HWIO, bias_O)


class _ConvNorm(nn.Module):
  """3x3 convolution without a bias, and batch normalisation."""

  features: int

  @nn.compact
  def __call__(self, x_BHWC: Float[Array, "b h w c"], train: bool) -> Array:
    shape = (3, 3, x_BHWC.shape[-1], self.features)
    w_HWIO = self.param("kernel", nn.initializers.lecun_normal(), shape)
    y_BHWC = _conv.conv(x_BHWC, w_HWIO)
    return nn.BatchNorm(use_running_average=not train, momentum=0.9)(y_BHWC)


def _pooled(y_BHWC: Array) -> Array:
  return _conv.max_pool(nn.relu(y_BHWC))


def model(
  classes: int = 2,
  channels: tuple[int, ...] = (16, 32),
  hidden: tuple[int, ...] = (64,),
  dropout: float = 0.0,
  norm: bool = False,
) -> Model:
  """Convolutions (3x3, ReLU, 2x2 max pooling), then dense layers.

  Args:
    classes: of the task.
    channels: of the convolutions; each halves height and width.
    hidden: the widths of the dense layers.
    dropout: share of every hidden dense layer's output that is set to 0 in training.
    norm: batch normalisation before every ReLU.

  Returns:
    A `Model` for images `[B, H, W]` or `[B, H, W, channels]`; taps `conv1 [B, H/2, W/2,
    channels[0]], conv2, ..., fc1 [B, hidden[0]], ..., logits [B, C], softmax [B, C]`,
    the convolutions' after ReLU and pooling.
  """

  def images(x_B: Float[Array, "b ..."]) -> Float[Array, "b h w c"]:
    x_BHWC = x_B[..., None] if x_B.ndim == 3 else x_B
    least = 2 ** len(channels)
    if x_BHWC.ndim != 4 or min(x_BHWC.shape[1:3]) < least:
      raise BadInput(
        f"x has shape {x_B.shape}: a cnn with {len(channels)} convolutions needs "
        f"[B, H, W] or [B, H, W, channels] with H and W at least {least}"
      )
    return x_BHWC

  def make(features: int) -> Callable[..., nn.Module]:
    module = _ConvNorm if norm else _Conv
    return lambda name=None: module(features, name=name)

  after = _pooled if norm else _linen.same
  convolutions = [
    _linen.Layer(f"conv{i}", make(c), after=after, normalised=norm)
    for i, c in enumerate(channels, 1)
  ]
  dense = _linen.dense(hidden, classes, dropout, norm)
  return _linen.chain([*convolutions, *dense], images)
