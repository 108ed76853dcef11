"""`ovl report W` draws what the run itself drew, byte by byte."""

import csv
import pathlib
import shutil

import numpy as np
import pytest

from ovl import about as described
from ovl.about import About
from ovl.bench import verdicts
from ovl.cli import main
from ovl.run import Result
from ovl.types import Row

GOLDEN = pathlib.Path(__file__).parent / "golden"
KINDS = {name: str(kind) for name, kind in Row.__annotations__.items()}
RUNS = {
  "audit": ("audit", {"seed": 0}),
  "audit-arrays": ("audit", {"path": "taps.npz"}),
  "unlearn": ("unlearn", {"unlearn": {"attribute": "colour"}}),
  "bench-mi": ("bench", {"tasks": ("mixtures:shift",)}),
}


def kept(name):
  """The rows of a tiny run, with the digits that a file does not keep."""
  with (GOLDEN / f"{name}.csv").open(encoding="utf-8", newline="") as file:
    for line in csv.DictReader(file):
      row = {key: word for key, word in line.items() if word}
      for key in row:
        if "int" in KINDS[key]:
          row[key] = int(row[key])
        elif "float" in KINDS[key]:
          row[key] = float(row[key]) * (1 + 3e-8)
      yield Row(**row)


def drawn(home):
  """What is drawn in a workdir: path -> bytes."""
  found = [*home.glob("report.*"), *home.glob("plots/*")]
  return {path.relative_to(home): path.read_bytes() for path in found}


def again(home):
  before = drawn(home)
  assert {path.name for path in before} >= {"report.html", "report.md"}
  for path in home.glob("report.*"):
    path.unlink()
  shutil.rmtree(home / "plots", ignore_errors=True)
  assert main(["ovl", "report", str(home)]) == 0
  return before, drawn(home)


def whole(name):
  """A result in memory, with what a file turns into something else: tuples, float32."""
  verb, config = RUNS[name]
  about = About(
    verb, "T", config, num_models=2, split={"train": 10, "test": 5}, readers=("linear",),
    reduced={"conv": ((8, 8), 16)}, warnings=("one",), versions=described.versions(),
    attributes={"sex": {"kind": "discrete", "classes": 2, "entropy": 0.69}}, wall_s=1.25,
  )  # fmt: skip
  return Result(list(kept(name)), about)


@pytest.mark.parametrize("name", RUNS)
def test_same_bytes(name, tmp_path, capsys):
  result = whole(name)
  result.report(tmp_path)
  before, after = again(tmp_path)
  assert before == after
  assert result.table() in capsys.readouterr().out


def test_same_bytes_after_the_command_line(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  gen = np.random.default_rng(0)
  x = gen.normal(size=(400, 2))
  np.save("x.npy", x)
  np.save("y.npy", (x[:, 0] + gen.normal(size=400) > 0).astype(int))
  words = ["x.npy", "y.npy", "--method=linear", "--seeds=1", "--workdir=w"]
  assert main(["ovl", "mi", *words]) == 0
  before, after = again(tmp_path / "w")
  assert before == after


@pytest.mark.parametrize("name", ["audit", "unlearn"])
def test_every_row_of_a_setting_is_on_the_page(name, tmp_path):
  """A number that stands nowhere else is found."""
  rows = list(kept(name))
  settings = [i for i, row in enumerate(rows) if row.setting and row.seed is None]
  marked = {i: float(f"0.{1000 + place}") for place, i in enumerate(settings)}
  for i, value in marked.items():
    rows[i] = rows[i]._replace(value=10 * value, low=None, high=None)
  text = whole(name)._replace(rows=rows).report(tmp_path).with_suffix(".md").read_text()
  lost = [rows[i] for i, value in marked.items() if f"{10 * value:.3f}" not in text]
  assert len(marked) > 30
  assert not lost


def test_the_study_of_verdicts_too(tmp_path):
  worlds = [("coins", 0.05, 400), ("known | leak", 0.4, 300)]
  rows = [
    Row(kind="bench", task=world, seed=draw, metric=metric, value=value, n_eval=trials)
    for world, rate, trials in worlds
    for draw in range(2)
    for metric, value in (("false_cell", rate * trials), ("seconds", 1.5))
  ]
  rows += verdicts.aggregates(rows, 0.95)
  about = About("bench", "T", {"worlds": ("coins",)}, level=0.95)
  text = Result(rows, about).report(tmp_path).with_suffix(".md").read_text()
  worst = text.split("## Out of reach")[1].split("##")[0]
  assert "known \\| leak" in worst
  assert "coins" not in worst
  assert (
    "| a cell that knows nothing has p <= .05 by itself | 5 % | 2 | 1 | 0 | 1 |" in text
  )
  before, after = again(tmp_path)
  assert before == after
