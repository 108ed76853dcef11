"""A multi-layer perceptron on flattened inputs."""

from __future__ import annotations

import flax.linen as nn
from jaxtyping import Array, Float

from ovl.models import _linen
from ovl.types import Model


class _Mlp(nn.Module):
  hidden: tuple[int, ...]
  classes: int

  @nn.compact
  def __call__(self, x_B: Float[Array, "b ..."]) -> dict[str, Array]:
    return _linen.dense(x_B.reshape(x_B.shape[0], -1), self.hidden, self.classes)


def model(classes: int = 2, hidden: tuple[int, ...] = (64, 32)) -> Model:
  """Dense layers with ReLU between them.

  Args:
    classes: of the task.
    hidden: the widths of the hidden layers.

  Returns:
    A `Model` for inputs `[B, ...]`; taps `fc1 [B, hidden[0]], fc2, ..., logits [B, C],
    softmax [B, C]`.
  """
  return _linen.stateless(_Mlp(tuple(hidden), classes))
