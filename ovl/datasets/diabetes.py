"""scikit-learn's diabetes: clinical measurements without sex and age."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_diabetes

from ovl.columns import above_median, encode
from ovl.types import Dataset


def dataset() -> Dataset:
  """Progression above its median from 8 measurements; the attributes are sex and age.

  Returns:
    442 rows `[N, 8]`, standardised over all rows; sex as coded by the source, age in
    years.

  References:
    Efron, Hastie, Johnstone and Tibshirani (2004), Least Angle Regression, section 1,
    https://doi.org/10.1214/009053604000000067
  """
  raw = load_diabetes(scaled=False)
  column = dict(zip(raw.feature_names, raw.data.T, strict=True))
  sex, age = column.pop("sex"), column.pop("age")
  x = np.stack(list(column.values()), axis=1)
  progression = above_median(raw.target)
  return Dataset(
    name="diabetes",
    x=((x - x.mean(0)) / x.std(0)).astype(np.float32),
    y=progression.values,
    labels=progression.labels,
    attributes={"sex": encode(sex), "age": encode(age, kind="continuous")},
    ids=np.arange(len(x)),
    note="Sex and age are not in the input; the source does not say which code is which.",
  )
