"""MNIST with the writers that QMNIST traced: does the digit net know who wrote?"""

from __future__ import annotations

import os
import pathlib

import numpy as np
from sklearn.datasets import load_digits

from ovl.columns import codes
from ovl.datasets import _idx, _images
from ovl.types import Attribute, BadInput, Dataset

GROUPS = ("census employee", "high-school student")
IMAGES = "mnist/train-images-idx3-ubyte"
DIGITS = "mnist/train-labels-idx1-ubyte"
WRITERS = "qmnist-labels/qmnist-train-labels-idx2-int"
NUM_WRITERS = 60  # of the made-up stand-in


def dataset(data_dir: str | None = None, limit: int | None = None) -> Dataset:
  """The ten digits; the attribute is the group of the writer, groups are the writers.

  Args:
    data_dir: the folder that holds `mnist/` and `qmnist-labels/`, files gzipped or
      not; default $OVL_DATA, and without it a small made-up stand-in.
    limit: keeps the first rows only.

  Returns:
    Up to 60000 images `[N, 28, 28, 1]` in 0..1 of 539 writers.

  Raises:
    BadInput: files missing or unreadable below `data_dir`; `limit` below 1.

  References:
    Yadav and Bottou (2019), Cold Case: the Lost MNIST Digits,
    https://arxiv.org/abs/1905.10498
  """
  if limit is not None and limit < 1:
    raise BadInput(f"dataset.limit={limit}, expected at least 1")
  root = data_dir or os.environ.get("OVL_DATA")
  if root:
    x, digit, group, writer = _real(pathlib.Path(root))
    note = ""
  else:
    x, digit, group, writer = _made_up()
    note = (
      "Not MNIST: scikit-learn's digits redrawn by 60 made-up writers whose group sets "
      "slant and stroke. Set dataset.data_dir or $OVL_DATA for the real images."
    )
  return Dataset(
    name="mnist_writers",
    x=x[:limit],
    y=digit[:limit].astype(np.int32),
    labels=tuple("0123456789"),
    attributes={
      "writer_group": Attribute(group[:limit].astype(np.int32), "discrete", GROUPS)
    },
    groups=codes(writer[:limit]),
    ids=np.arange(len(x[:limit])),
    note=note,
  )


def _real(root: pathlib.Path) -> tuple[np.ndarray, ...]:
  wanted = (IMAGES, DIGITS, WRITERS)
  x, digit, table = (_idx.read(root, name, wanted) for name in wanted)
  if len(x) != len(digit) or not np.array_equal(digit, table[:, 0]):
    raise BadInput(f"{root}: {WRITERS} does not belong to the images of {IMAGES}")
  series = table[:, 1]
  group = np.select([series == 4, series < 2], [1, 0], -1)
  return x[..., None] / np.float32(255), digit, group, table[:, 2]


def _made_up() -> tuple[np.ndarray, ...]:
  raw = load_digits()
  gen = np.random.default_rng(0)
  writer = gen.integers(NUM_WRITERS, size=len(raw.target))
  group_W = np.arange(NUM_WRITERS) % 2
  slant_W = gen.normal(0.2 * group_W - 0.1, 0.15)
  stroke_W = gen.normal(0.3 * group_W - 0.15, 0.2)
  x = np.empty((len(writer), 28, 28, 1), np.float32)
  for w in range(NUM_WRITERS):
    mine = writer == w
    big = _images.larger(raw.images[mine], slant_W[w])
    x[mine] = big ** np.exp(stroke_W[w])
  return x, raw.target, group_W[writer], writer
