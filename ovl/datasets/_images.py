"""What MNIST and its successors share: two official parts of 28 x 28 images."""

from __future__ import annotations

import os
import pathlib

import numpy as np
from scipy import ndimage
from sklearn.datasets import load_digits

from ovl.columns import above_median
from ovl.datasets import _idx
from ovl.types import BadInput, Dataset

KINDS = ("images-idx3-ubyte", "labels-idx1-ubyte")
FILES = tuple(f"{part}-{kind}" for part in ("train", "t10k") for kind in KINDS)
DIGITS = tuple("0123456789")
FEWEST = 20  # images of a part


def official(
  name: str,
  folder: str,
  labels: tuple[str, ...],
  data_dir: str | None,
  limit: int | None,
  test_limit: int | None,
) -> Dataset:
  """Train and test part as published, or without files scikit-learn's digits.

  Args:
    name: of the data set.
    folder: of its files below `data_dir`.
    labels: of its classes.
    data_dir: default $OVL_DATA.
    limit: the first train images alone.
    test_limit: the first test images alone.

  Raises:
    BadInput: files missing, unreadable or of other images; limits below 20.
  """
  for said, asked in (("limit", limit), ("test_limit", test_limit)):
    if asked is not None and asked < FEWEST:
      raise BadInput(f"dataset.{said}={asked}, expected at least {FEWEST}")
  root, note = data_dir or os.environ.get("OVL_DATA"), ""
  if root:
    read = [_idx.read(pathlib.Path(root) / folder, file, FILES) for file in FILES]
    for file, images, codes in zip(FILES[::2], read[::2], read[1::2], strict=True):
      if images.shape != (len(codes), 28, 28) or codes.max() >= len(labels):
        raise BadInput(f"{root}/{folder}: {file} does not belong to its labels")
    first = slice(limit), slice(limit), slice(test_limit), slice(test_limit)
    read = [part[some] for part, some in zip(read, first, strict=True)]
    x = np.concatenate(read[::2])[..., None] / np.float32(255)
    y, trained = np.concatenate(read[1::2]), len(read[1])
  else:
    raw, labels = load_digits(), DIGITS
    fifth = np.arange(len(raw.target)) % 5 == 4
    train, test = np.flatnonzero(~fifth)[:limit], np.flatnonzero(fifth)[:test_limit]
    rows, trained = np.concatenate([train, test]), len(train)
    x = larger(raw.images[rows]).astype(np.float32)
    y = raw.target[rows]
    note = (
      f"Not the images of {folder}: scikit-learn's digits, redrawn larger. Set "
      "dataset.data_dir or $OVL_DATA for the real ones."
    )
  return Dataset(
    name=name,
    x=x,
    y=y.astype(np.int32),
    labels=labels,
    attributes={"ink": above_median(x.mean((1, 2, 3)))},
    ids=np.arange(len(y)),
    split=np.where(np.arange(len(y)) < trained, "train", "test"),
    note=note,
  )


def larger(images_N88: np.ndarray, slant: float = 0.0) -> np.ndarray:
  """scikit-learn's digits, 0..16, as `[N, 28, 28, 1]` in 0..1, sheared by the slant."""
  # Where a pixel of the 28 x 28 image lies among the 8 x 8: smaller, and sheared.
  place = np.array([[1, 0, 0], [0, 8 / 28, 0], [0, slant * 8 / 28, 8 / 28]])
  centre = np.array([0, 3.5, 3.5]) - place @ np.array([0, 13.5, 13.5])
  shape = (len(images_N88), 28, 28)
  big = ndimage.affine_transform(images_N88 / 16, place, centre, shape, order=1)
  return big[..., None]
