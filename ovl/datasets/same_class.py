"""Known mutual information on real images: what two of them share is their class."""

from __future__ import annotations

import numpy as np
from scipy.special import entr
from sklearn.datasets import load_digits

from ovl.datasets._known import pack, pick
from ovl.types import Attribute, BadInput, Dataset

TASKS = {"pairs": "y", "channel": "s"}
NOTE = "The truth assumes that an image determines its class."


def dataset(
  task: str = "pairs", n: int = 10_000, seed: int = 0, bits: int = 1, flip: float = 0.1
) -> Dataset:
  """Digits 0..2^b - 1, equiprobable, and something that depends on the class C alone.

  "pairs": another image of the same class. As C is a function of either image,
  I = H(C) = b log 2. "channel": the bits of C, each flipped with probability beta:
  I = b (log 2 - h(beta)), h the binary entropy. Both hold exactly only if an image
  determines its class.

  There are about 180 images a class: rows repeat them, and `groups` names the image of
  x, so that none is on two sides of a split. Partners are never inputs: half of each
  class's images are inputs, the others partners.

  Args:
    task: "pairs" or "channel".
    n: rows.
    seed: of the sample.
    bits: b, 1 to 3.
    flip: beta, 0 to 1.

  Returns:
    x `[n, 64]` pixels in 0..1; attribute "y" `[n, 64]` or "s" (2^b codes, labels in
    bits); truth in nats; groups.

  Raises:
    BadInput: another task, or settings outside of their range.

  References:
    Lee and Rhee (2024), A Benchmark Suite for Evaluating Neural Mutual Information
    Estimators on Unstructured Datasets, https://arxiv.org/abs/2410.10924
  """
  pick(TASKS, task)
  if bits not in (1, 2, 3):
    raise BadInput(f"dataset.bits={bits!r}, expected 1, 2 or 3: there are ten digits")
  if not 0 <= flip <= 1:
    raise BadInput(f"dataset.flip={flip!r}, expected a probability")
  raw, rng = load_digits(), np.random.default_rng(seed)
  pixels_ID = raw.data / 16
  class_N = rng.integers(2**bits, size=n)
  side = 2 if task == "pairs" else 1
  image_N = _images(rng, raw.target, class_N, slice(0, None, side))
  if task == "pairs":
    partner_N = _images(rng, raw.target, class_N, slice(1, None, side))
    attribute, lost = Attribute(pixels_ID[partner_N], "vector"), 0.0
  else:
    flipped_NB = rng.random((n, bits)) < flip
    s_N = class_N ^ (flipped_NB @ 2 ** np.arange(bits))
    labels = tuple(f"{code:0{bits}b}" for code in range(2**bits))
    attribute = Attribute(s_N.astype(np.int32), "discrete", labels)
    lost = float(entr(flip) + entr(1 - flip))
  truth = bits * (np.log(2) - lost)
  return pack("same_class", pixels_ID[image_N], attribute, truth, image_N, NOTE)


def _images(
  rng: np.random.Generator, target_I: np.ndarray, class_N: np.ndarray, part: slice
) -> np.ndarray:
  """A random image `[N]` of each row's class, among that part of the class's images."""
  image_N = np.empty_like(class_N)
  for c in np.unique(class_N):
    rows_R = np.flatnonzero(class_N == c)
    image_N[rows_R] = rng.choice(np.flatnonzero(target_I == c)[part], rows_R.size)
  return image_N
