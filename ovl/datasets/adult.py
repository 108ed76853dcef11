"""UCI Adult: does a net that predicts income also learn the person's sex?"""

from __future__ import annotations

import csv
import os
import pathlib

import numpy as np

from ovl.columns import encode
from ovl.types import Attribute, BadInput, Dataset

COLUMNS = (
  "age", "workclass", "fnlwgt", "education", "education-num", "marital-status",
  "occupation", "relationship", "race", "sex", "capital-gain", "capital-loss",
  "hours-per-week", "native-country", "income",
)  # fmt: skip
NUMBERS = ("age", "education-num", "capital-gain", "capital-loss", "hours-per-week")
WORDS = (
  "workclass", "education", "marital-status", "occupation", "relationship",
  "native-country",
)  # fmt: skip
FILES = ("adult.data", "adult.test")
INCOME = ("<=50K", ">50K")


def dataset(data_dir: str | None = None, limit: int | None = None) -> Dataset:
  """48,842 persons of the census of 1994; the task is income above 50,000 dollars.

  Inputs leave out sex, race and the survey weight; relationship and marital status stay,
  so the inputs still tell much of sex. Numbers are standardised (capital gain and loss
  after log(1 + x)), words one-hot; "?" is a word of its own.

  Args:
    data_dir: the folder that holds `adult/`; default $OVL_DATA, and without it 3,000
      made-up persons of the same columns.
    limit: keeps that many persons, evenly spaced.

  Returns:
    Inputs `[N, D]`; attributes sex, race and age (a quantity).

  Raises:
    BadInput: files missing or not Adult's.

  References:
    Becker and Kohavi (1996), Adult, UCI Machine Learning Repository,
    https://doi.org/10.24432/C5XW20
  """
  if limit is not None and limit < 100:
    raise BadInput(f"dataset.limit={limit}: expected at least 100")
  root, note = data_dir or os.environ.get("OVL_DATA"), ""
  if root:
    rows = _read(pathlib.Path(root))
  else:
    rows = _made_up()
    note = (
      "Not UCI Adult: made-up persons. Set dataset.data_dir or $OVL_DATA for the real ones."
    )
  if limit is not None and limit < len(rows):
    rows = [rows[i] for i in np.linspace(0, len(rows) - 1, limit).astype(int)]
  table = dict(zip(COLUMNS, map(np.array, zip(*rows, strict=True)), strict=True))
  parts = []
  for name in NUMBERS:
    x = table[name].astype(np.float64)
    x = np.log1p(x) if name.startswith("capital") else x
    parts.append(((x - x.mean()) / max(x.std(), 1e-12))[:, None])
  for name in WORDS:
    values, code = np.unique(table[name], return_inverse=True)
    parts.append(np.eye(len(values))[code])
  return Dataset(
    name="adult",
    x=np.concatenate(parts, 1).astype(np.float32),
    y=(table["income"] == INCOME[1]).astype(np.int32),
    labels=INCOME,
    attributes={
      "sex": encode(table["sex"]),
      "race": encode(table["race"]),
      "age": Attribute(table["age"].astype(np.float64), "continuous"),
    },
    ids=np.arange(len(rows)),
    note=note,
  )


def _read(root: pathlib.Path) -> list[list[str]]:
  folder = root / "adult" if (root / "adult").is_dir() else root
  rows: list[list[str]] = []
  for name in FILES:
    path = folder / name
    if not path.is_file():
      raise BadInput(f"dataset.data_dir={root} needs {' and '.join(FILES)}")
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(csv.reader(lines, skipinitialspace=True), 1):
      if not line or line[0].startswith("|"):  # a comment opens the test file
        continue
      line[-1] = line[-1].rstrip(".")  # its labels end in a full stop
      if len(line) != len(COLUMNS) or line[-1] not in INCOME:
        raise BadInput(f"{path}:{number}: not a row of Adult")
      rows.append(line)
  return rows


def _made_up(size: int = 3000) -> list[list[str]]:
  """Persons whose work and marriage go with their sex, and income with work and years."""
  gen = np.random.default_rng(0)
  sex = gen.integers(0, 2, size)
  age = gen.integers(18, 70, size)
  school = gen.integers(1, 17, size)
  work = np.where(gen.random(size) < 0.75, sex, gen.integers(0, 2, size))
  married = gen.random(size) < 0.4 + 0.2 * sex
  hours = np.clip(gen.normal(37 + 4 * sex, 8), 5, 80).astype(int)
  score = 0.25 * (school - 9) + 0.04 * (age - 40) + 1.2 * married + 0.5 * work - 0.8
  rich = gen.random(size) < 1 / (1 + np.exp(-1.5 * score))
  gain = np.where(rich & (gen.random(size) < 0.2), gen.integers(1000, 20000, size), 0)
  return [
    [
      str(age[i]), "Private", "1", f"grade-{school[i]}", str(school[i]),
      "Married-civ-spouse" if married[i] else "Never-married",
      ("Adm-clerical", "Craft-repair")[work[i]],
      (("Wife", "Husband")[sex[i]] if married[i] else "Not-in-family"),
      "White", ("Female", "Male")[sex[i]], str(gain[i]), "0", str(hours[i]),
      "United-States", INCOME[int(rich[i])],
    ]
    for i in range(size)
  ]  # fmt: skip
