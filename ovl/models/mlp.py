"""A multi-layer perceptron on flattened inputs."""

from __future__ import annotations

from ovl.models import _linen
from ovl.types import BadInput, Model


def model(
  classes: int = 2,
  hidden: tuple[int, ...] = (64, 32),
  dropout: float = 0.0,
  norm: bool = False,
  mean: float = 0.0,
  std: float = 1.0,
) -> Model:
  """Dense layers with ReLU between them.

  Args:
    classes: of the task.
    hidden: the widths of the hidden layers.
    dropout: share of every hidden layer's output that is set to 0 in training.
    norm: batch normalisation before every ReLU.
    mean: of the pixels of the data: the network takes (x - mean) / std, so that whatever
      is painted is painted before.
    std: of the pixels.

  Returns:
    A `Model` for inputs `[B, ...]`; taps `fc1 [B, hidden[0]], fc2, ..., logits [B, C],
    softmax [B, C]`.

  Raises:
    BadInput: dropout outside 0..1; std of 0 or less.
  """
  if not std > 0:
    raise BadInput(f"model.std={std}: expected above 0")
  layers = _linen.dense(tuple(hidden), classes, dropout, norm)
  return _linen.chain(layers, lambda x_B: (x_B - mean) / std)
