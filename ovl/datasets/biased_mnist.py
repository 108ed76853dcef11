"""Biased-MNIST: the digits of MNIST on a ground whose colour gives them away."""

from __future__ import annotations

import os
import pathlib

import numpy as np

from ovl.datasets import _colour, _idx
from ovl.types import BadInput, Dataset

TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
HELD_OUT = 10_000  # of the train images, where the test files are absent
JUDGED = {"probe": 0.5, "stop": 0.1, "test": 0.4}


def dataset(
  data_dir: str | None = None,
  rho: float = 0.99,
  side: int = 28,
  limit: int | None = None,
  draw: int = 0,
) -> Dataset:
  """White digits on one of ten colours, biased in the train part alone.

  Any pixel that is not 0 is white. Of each digit `int(n rho)` train images have the
  digit's colour, the rest the nine others in equal chunks. The 10,000 test images are
  unbiased (rho .1): half of them train the attackers, a tenth stops them, the rest judges.

  Args:
    data_dir: the folder that holds `mnist/`, files gzipped or not; default $OVL_DATA, and
      without it scikit-learn's digits, 8 x 8, redrawn larger.
    rho: in (0, 1]; published: .99, .995, .997, .999.
    side: 28, or 14: every second row and column, the mean of four pixels.
    limit: keeps that many train images only.
    draw: of the colours and the parts.

  Returns:
    70,000 images `[N, side, side, 3]` in -1..1; attribute colour (10).

  Raises:
    BadInput: files missing or unreadable; rho outside (0, 1]; another side.

  References:
    Bahng et al. (2020), https://arxiv.org/abs/1910.02806; colours and chunks as there.
  """
  _colour.check(rho)
  if side not in (14, 28):
    raise BadInput(f"dataset.side={side}: expected 28 or 14")
  if limit is not None and limit < 10:
    raise BadInput(f"dataset.limit={limit}: expected at least 10")
  gen = np.random.default_rng([draw, 28])
  root = data_dir or os.environ.get("OVL_DATA")
  x, digit, judged, note = _real(pathlib.Path(root), gen) if root else _made_up(gen)
  if limit is not None:
    kept = np.concatenate([np.flatnonzero(~judged)[:limit], np.flatnonzero(judged)])
    x, digit, judged = x[kept], digit[kept], judged[kept]
  part = np.full(len(digit), "train", "<U5")
  rows = gen.permutation(np.flatnonzero(judged))
  edges = (np.cumsum(list(JUDGED.values()))[:-1] * len(rows)).astype(int)
  for name, some in zip(JUDGED, np.split(rows, edges), strict=True):
    part[some] = name
  colour = _colour.by_part(digit, part, rho, gen)
  ink = (x > 0).astype(np.float32)
  if side == 14:
    ink = ink.reshape(-1, 14, 2, 14, 2).mean((2, 4))
  return Dataset(
    name="biased_mnist",
    x=_colour.paint(ink, colour),
    y=digit.astype(np.int32),
    labels=tuple("0123456789"),
    attributes={"colour": _colour.attribute(colour)},
    ids=np.arange(len(digit)),
    split=part,
    note=note,
  )


def _real(root: pathlib.Path, gen: np.random.Generator) -> tuple:
  folder = root / "mnist" if (root / "mnist").is_dir() else root
  files = (*TRAIN, *TEST) if _idx.there(folder, TEST[0]) else TRAIN
  read = [_idx.read(folder, name, files) for name in files]
  if len(files) == len(TRAIN):
    judged = np.zeros(len(read[1]), bool)
    judged[gen.permutation(len(judged))[:HELD_OUT]] = True
    note = "The test files are absent: judged on 10,000 held-out train images."
    return read[0], read[1], judged, note
  judged = np.arange(len(read[1]) + len(read[3])) >= len(read[1])
  return np.concatenate(read[::2]), np.concatenate(read[1::2]), judged, ""


def _made_up(gen: np.random.Generator) -> tuple:
  from sklearn.datasets import load_digits

  raw = load_digits()
  big = np.kron(raw.images > 4, np.ones((3, 3))).astype(np.uint8)  # 24 x 24
  judged = gen.random(len(big)) < 0.4
  note = (
    "Not MNIST: scikit-learn's digits, enlarged. Set dataset.data_dir or $OVL_DATA for "
    "the real images."
  )
  return np.pad(big, ((0, 0), (2, 2), (2, 2))), raw.target, judged, note
