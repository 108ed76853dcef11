"""A data set built for tests: the attribute is an exclusive or of two inputs' signs."""

import numpy as np

from ovl.columns import encode
from ovl.types import Dataset


def dataset(rows=3000):
  """Six normal inputs; the task reads the first two, the attribute the next two."""
  x = np.random.default_rng(5).normal(size=(rows, 6)).astype(np.float32)
  x[:, 2:4] = np.sign(x[:, 2:4]) * (0.5 + np.abs(x[:, 2:4]))
  y = (x[:, 0] + x[:, 1] > 0).astype(np.int32)
  s = encode((x[:, 2] > 0) ^ (x[:, 3] > 0))
  return Dataset("xor", x, y, ("no", "yes"), {"xor": s}, np.arange(rows))
