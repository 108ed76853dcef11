"""Tiny runs of every verb, row by row against rows that were looked at and kept.

Numbers agree to what two processors agree on; words, counts and the order of rows exactly.
Where a change is meant: `python -m pytest tests/golden_test.py --renew`, then read the
difference in `tests/golden/` line by line, and say in CHANGELOG.md what moved and why.
"""

import csv
import math
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from ovl.types import Row

VERB = "import sys; from ovl.cli import main; sys.exit(main(sys.argv))"
HOME = pathlib.Path(__file__).parent / "golden"
NUMBERS = {"value": 0.01, "low": 0.02, "high": 0.02, "p": 0.05, "chance": 0.005}
# The run's id is a digest of the config, and seconds are never the same.
PASSED = ("run",)
RUNS = {
  "audit": (
    "audit", "--config=digits:smoke", "--config.seeds=2", "--config.fit.epochs=4",
  ),
  "audit-arrays": ("audit", "taps.npz", "--config.audit.critics=('linear',)"),
  "unlearn": ("unlearn", "--config=forget.py"),
  "bench-mi": (
    "bench", "mi", "--config=mi:smoke", "--config.tasks=('mixtures:shift',)",
    "--config.methods=('linear',)", "--config.sizes=(400,)",
  ),
}  # fmt: skip
FORGET = """
from ml_collections import ConfigDict


def get_config():
  return ConfigDict(dict(
    seed=0, seeds=2, dataset=dict(name="colour", rho=0.5),
    model=dict(name="mlp", hidden=(16, 8)),
    fit=dict(epochs=3, batch_size=119),
    unlearn=dict(
      attribute="colour", taps=("fc1", "fc2"),
      penalties=dict(hsic=dict(weights=(1.0, 10.0))),
      erasers=dict(leace={}, oracle_leace={}), monitors=("linear",),
      attackers=("linear", "trees"), level=0.95,
    ),
  ))
"""


def taps(path):
  """Two models, two taps, a class, a rare class and a quantity; persons."""
  gen = np.random.default_rng(3)
  S, N = 2, 600
  person = np.arange(N) % 60
  sex, age = gen.integers(0, 2, 60)[person], gen.normal(size=60)[person]
  task = gen.integers(0, 3, N)
  z_SND = gen.normal(size=(S, N, 6))
  z_SND[:, :, 0] += 1.5 * sex + 0.5 * (task == 1)
  z_SND[:, :, 1] += age
  np.savez(
    path,
    **{
      "seeds": np.arange(S), "taps/block0/conv": z_SND, "taps/fc": z_SND[..., 2:],
      "attributes/sex": sex, "attributes/age": age, "attributes/rare": person == 7,
      "task": task, "groups": person,
    },
  )  # fmt: skip


def read(path):
  with path.open(encoding="utf-8", newline="") as file:
    return list(csv.DictReader(file))


def differences(mine, kept):
  """Every cell of the table that is not what it was."""
  out = []
  for number, (new, old) in enumerate(zip(mine, kept, strict=False), 2):
    for column in Row._fields:
      a, b = new[column], old[column]
      if column in PASSED or a == b or new["metric"] == "seconds":
        continue
      limit = NUMBERS.get(column)
      if limit is not None and a and b and math.isclose(
        float(a), float(b), abs_tol=limit, rel_tol=limit
      ):  # fmt: skip
        continue
      where = f"{old['subject']} {old['layer']} {old['attribute']} {old['metric']}"
      out.append(f"line {number}, {where}, seed {old['seed']!r}: {column} {b!r} -> {a!r}")
  if len(mine) != len(kept):
    out.append(f"{len(kept)} rows -> {len(mine)} rows")
  return out


@pytest.mark.parametrize("name", RUNS)
def test_rows_are_what_they_were(name, tmp_path, monkeypatch, request):
  monkeypatch.chdir(tmp_path)
  taps("taps.npz")
  pathlib.Path("forget.py").write_text(FORGET, encoding="utf-8")
  # In a process of its own: what users get is compiled by the whole compiler.
  subprocess.run(
    [sys.executable, "-c", VERB, *RUNS[name], "--workdir=run"],
    check=True,
    env=os.environ | {"XLA_FLAGS": ""},
  )
  mine, home = tmp_path / "run" / "rows.csv", HOME / f"{name}.csv"
  if request.config.getoption("--renew"):
    home.parent.mkdir(exist_ok=True)
    home.write_bytes(mine.read_bytes())
  said = differences(read(mine), read(home))
  assert not said, (
    f"{len(said)} cells of {name} moved; if that is meant, see this file's first lines\n"
    + "\n".join(said[:20])
  )


def test_every_kind_of_change_is_seen():
  kept = read(HOME / "audit.csv")
  at = next(i for i, row in enumerate(kept) if row["value"] and row["metric"] == "share")
  for column, value in (
    ("value", "9"),
    ("verdict", "none"),
    ("layer_index", "7"),
    ("p", ""),
  ):
    moved = [dict(row) for row in kept]
    moved[at][column] = value
    assert differences(moved, kept) or kept[at][column] == value
  assert differences(kept[:-1], kept)
