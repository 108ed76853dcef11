"""scikit-learn's digits on coloured ground: a shortcut that training rewards."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from ovl.datasets import _colour
from ovl.types import Dataset

PARTS = {"train": 0.4, "probe": 0.3, "stop": 0.05, "test": 0.25}


def dataset(rho: float = 0.9, draw: int = 0) -> Dataset:
  """The ten digits; the attribute is the colour of the ground.

  In the train part a share rho of each digit has the digit's own colour; in the others
  colour and digit are independent, so accuracy there is unbiased, and what is known of
  the colour is not the digit.

  Args:
    rho: in (0, 1]; .1 is unbiased.
    draw: of the parts and the colours.

  Returns:
    1797 images `[N, 8, 8, 3]` in -1..1; attribute colour (10).

  Raises:
    BadInput: rho outside (0, 1].

  References:
    Bahng et al. (2020), Learning De-biased Representations with Biased Representations,
    https://arxiv.org/abs/1910.02806: the recipe, on MNIST with its strokes cut to white.
  """
  _colour.check(rho)
  raw = load_digits()
  digit = raw.target.astype(np.int32)
  gen = np.random.default_rng([draw, 10])
  edges = np.cumsum(list(PARTS.values()))[:-1]
  part = np.empty(len(digit), "<U5")
  for k in range(10):
    rows = gen.permutation(np.flatnonzero(digit == k))
    for name, some in zip(
      PARTS, np.split(rows, (edges * len(rows)).astype(int)), strict=True
    ):
      part[some] = name
  colour = _colour.by_part(digit, part, rho, gen)
  return Dataset(
    name="colour",
    x=_colour.paint(raw.images / 16, colour),
    y=digit,
    labels=tuple("0123456789"),
    attributes={"colour": _colour.attribute(colour)},
    ids=np.arange(len(digit)),
    split=part,
    note=f"{100 * rho:g} % of the train part have their digit's colour; no other part.",
  )
