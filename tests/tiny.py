"""A data set built for tests: small, and whatever a test plants in it."""

import numpy as np

from ovl.columns import encode
from ovl.types import Dataset


def dataset(draw=0, rows=800, groups=0, only=()):
  """Six normal inputs; the task reads the first two of them.

  coin: independent of everything. copy: the task. hidden: read by the third input.
  person: constant within groups and read by nothing. Names in `only`: no others.
  """
  gen = np.random.default_rng([draw, 11])
  x = gen.normal(size=(rows, 6)).astype(np.float32)
  y = (x[:, 0] + x[:, 1] > 0).astype(np.int32)
  # Groups of one size, so that every draw has the shapes of the first.
  group = gen.permutation(np.arange(rows) % groups) if groups else None
  attributes = {
    "coin": encode(gen.integers(0, 2, rows)),
    "copy": encode(y),
    "hidden": encode(x[:, 2] > 0),
  }
  if groups:
    attributes["person"] = encode(gen.integers(0, 2, groups)[group])
    x[:, 5] = gen.normal(size=groups)[group]  # inputs that know the group
  if only:
    attributes = {name: attributes[name] for name in only}
  return Dataset("tiny", x, y, ("no", "yes"), attributes, np.arange(rows), group)
