"""scikit-learn's breast cancer: cell measurements without the texture columns."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_breast_cancer

from ovl.columns import above_median
from ovl.types import Dataset


def dataset() -> Dataset:
  """Malignant or benign from 27 measurements; the attribute is the removed texture.

  Returns:
    569 rows `[N, 27]`, standardised over all rows.

  References:
    Street, Wolberg and Mangasarian (1993), Breast Cancer Wisconsin (Diagnostic),
    https://doi.org/10.24432/C5DW2B
  """
  raw = load_breast_cancer()
  texture = np.array(["texture" in name for name in raw.feature_names])
  x = raw.data[:, ~texture]
  mean_texture = raw.data[:, list(raw.feature_names).index("mean texture")]
  return Dataset(
    name="breast_cancer",
    x=((x - x.mean(0)) / x.std(0)).astype(np.float32),
    y=(raw.target == 0).astype(np.int32),
    labels=("benign", "malignant"),
    attributes={"texture": above_median(mean_texture)},
    ids=np.arange(len(x)),
    note="The three texture columns are not in the input.",
  )
