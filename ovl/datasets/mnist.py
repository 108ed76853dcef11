"""MNIST: handwritten digits, in their official parts."""

from __future__ import annotations

from ovl.datasets import _images
from ovl.types import Dataset


def dataset(
  data_dir: str | None = None, limit: int | None = None, test_limit: int | None = None
) -> Dataset:
  """Ten digits; the attribute is ink above the median.

  Args:
    data_dir: the folder that holds `mnist/`, files gzipped or not; default $OVL_DATA, and
      without it a small stand-in.
    limit: keeps the first train images only.
    test_limit: keeps the first test images only.

  Returns:
    60,000 train and 10,000 test images `[N, 28, 28, 1]` in 0..1.
    None are set apart for critics: these are parts for `ovl memorise`.

  Raises:
    BadInput: files missing or unreadable below `data_dir`; limits below 20.

  References:
    LeCun, Bottou, Bengio and Haffner (1998), https://doi.org/10.1109/5.726791
  """
  return _images.official("mnist", "mnist", _images.DIGITS, data_dir, limit, test_limit)
