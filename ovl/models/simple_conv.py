"""The network of the Biased-MNIST studies: four wide convolutions, averaged."""

from __future__ import annotations

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from ovl.models import _conv, _linen
from ovl.types import Model


class _ConvNorm(nn.Module):
  """A convolution without a bias, and batch normalisation."""

  features: int
  size: int

  @nn.compact
  def __call__(self, x_BHWC: Float[Array, "b h w c"], train: bool) -> Array:
    shape = (self.size, self.size, x_BHWC.shape[-1], self.features)
    # Kaiming's, by the number of outputs.
    start = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
    w_HWIO = self.param("kernel", start, shape)
    y_BHWC = _conv.conv(x_BHWC, w_HWIO)
    return nn.BatchNorm(use_running_average=not train, momentum=0.9)(y_BHWC)


def model(
  classes: int = 10, channels: tuple[int, ...] = (16, 32, 64, 128), size: int = 7
) -> Model:
  """Convolutions `size` x `size`, each batch-normalised, ReLU (tanh the last), averaged.

  Args:
    classes: of the task.
    channels: of the convolutions.
    size: of their kernels.

  Returns:
    A `Model` for images `[B, H, W, C]`; taps `conv1 [B, H, W, channels[0]], ..., z [B,
    channels[-1]], logits, softmax`; `z` is the bottleneck, and may be negative.

  References:
    Bahng et al. (2020), https://arxiv.org/abs/1910.02806 (their SimpleConvNet);
    Tartaglione (2022), https://arxiv.org/abs/2210.00891, sec. 4.
  """

  def make(features: int) -> Callable[..., nn.Module]:
    return lambda name=None: _ConvNorm(features, size, name=name)

  def images(x_B: Array) -> Array:
    return x_B[..., None] if x_B.ndim == 3 else x_B

  last = len(channels)
  layers = [
    _linen.Layer(
      f"conv{i}", make(c), after=jnp.tanh if i == last else nn.relu, normalised=True
    )
    for i, c in enumerate(channels, 1)
  ]
  pool = _linen.activation("z", lambda h_BHWC: h_BHWC.mean((1, 2)))
  return _linen.chain([*layers, pool, *_linen.dense((), classes)], images)
