"""scikit-learn's digits: real handwriting that comes with a dependency."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from ovl.columns import above_median, encode
from ovl.types import Attribute, BadInput, Dataset


def dataset(task: str = "half") -> Dataset:
  """Images of the ten digits, with a null and an entailed attribute among the real ones.

  Args:
    task: "half" (digit >= 5), "parity" or "digit".

  Returns:
    1797 images `[N, 8, 8, 1]` in 0..1; attributes identity (10), parity, ink (above
    the median), coin (random bits) and half.

  Raises:
    BadInput: another task.

  References:
    Alpaydin and Kaynak (1998), Optical Recognition of Handwritten Digits,
    https://doi.org/10.24432/C50P49
  """
  raw = load_digits()
  x = (raw.images[..., None] / 16).astype(np.float32)
  digit = raw.target.astype(np.int32)
  half = Attribute((digit >= 5).astype(np.int32), "discrete", ("0-4", "5-9"))
  parity = Attribute(digit % 2, "discrete", ("even", "odd"))
  identity = encode(digit)
  tasks = {"half": half, "parity": parity, "digit": identity}
  if task not in tasks:
    raise BadInput(f"dataset.task={task!r}, expected one of {', '.join(tasks)}")
  coin = np.random.default_rng(0).integers(2, size=len(x))
  return Dataset(
    name="digits",
    x=x,
    y=tasks[task].values,
    labels=tasks[task].labels,
    attributes={
      "identity": identity,
      "parity": parity,
      "ink": above_median(x.mean((1, 2, 3))),
      "coin": encode(coin),
      "half": half,
    },
    ids=np.arange(len(x)),
  )
