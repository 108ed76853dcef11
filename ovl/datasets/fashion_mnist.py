"""Fashion-MNIST: articles of clothing, in their official parts."""

from __future__ import annotations

from ovl.datasets import _images
from ovl.types import Dataset

LABELS = (
  "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker",
  "bag", "ankle boot",
)  # fmt: skip


def dataset(
  data_dir: str | None = None, limit: int | None = None, test_limit: int | None = None
) -> Dataset:
  """Ten articles; the attribute is ink above the median.

  Args:
    data_dir: the folder that holds `fashion-mnist/`, files gzipped or not; default
      $OVL_DATA, and without it a small stand-in of digits.
    limit: keeps the first train images only.
    test_limit: keeps the first test images only.

  Returns:
    60,000 train and 10,000 test images `[N, 28, 28, 1]` in 0..1.
    None are set apart for critics: these are parts for `ovl memorise`.

  Raises:
    BadInput: files missing or unreadable below `data_dir`; limits below 20.

  References:
    Xiao, Rasul and Vollgraf (2017), https://arxiv.org/abs/1708.07747
  """
  return _images.official(
    "fashion_mnist", "fashion-mnist", LABELS, data_dir, limit, test_limit
  )
