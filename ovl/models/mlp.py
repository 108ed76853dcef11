"""A multi-layer perceptron on flattened inputs."""

from __future__ import annotations

from ovl.models import _linen
from ovl.types import Model


def model(
  classes: int = 2,
  hidden: tuple[int, ...] = (64, 32),
  dropout: float = 0.0,
  norm: bool = False,
) -> Model:
  """Dense layers with ReLU between them.

  Args:
    classes: of the task.
    hidden: the widths of the hidden layers.
    dropout: share of every hidden layer's output that is set to 0 in training.
    norm: batch normalisation before every ReLU.

  Returns:
    A `Model` for inputs `[B, ...]`; taps `fc1 [B, hidden[0]], fc2, ..., logits [B, C],
    softmax [B, C]`.
  """
  return _linen.chain(_linen.dense(tuple(hidden), classes, dropout, norm))
