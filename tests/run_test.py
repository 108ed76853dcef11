"""The frame of a program: safe names, stages that are kept, one process a folder."""

import json
import pathlib
import random
import re
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest

from ovl import files, run, workdir
from ovl.files import slug
from ovl.run import Run
from ovl.types import BadInput, Row

TINY = str(pathlib.Path(__file__).parent / "tiny.py")
ODD = [
  "block0/mlp", "block0-mlp", "block0\\mlp", "../../x", "x", "X", "A", "a", "", ".", "..",
  "/", "/etc/passwd", "my/critic.py", "ä", "ü", "con.", " a", "a ", "a\nb", "a\0b",
  "a" * 60, "a" * 61, "a" * 300, "a" * 299 + "b", "-a", "a-0123456789", "x-e3b0c44298",
]  # fmt: skip


def config(**sections):
  """Two networks of a few weights; sections are replaced."""
  return {
    "seed": 3,
    "seeds": 2,
    "dataset": {"name": TINY, "rows": 600, "only": ("hidden",)},
    "model": {"name": "mlp", "hidden": (6, 4)},
    "fit": {"epochs": 2, "batch_size": 80},
  } | sections


# ---- names ---------------------------------------------------------------------------


def test_two_names_never_share_a_file():
  """Also where capitals and small letters are the same, as on some disks."""
  gen = random.Random(0)
  drawn = ["".join(gen.choices("aA0/.-_ é", k=gen.randint(0, 9))) for _ in range(5000)]
  names = {*ODD, *drawn}
  names |= {slug(name) for name in names}  # names that look like made ones
  made = [slug(name) for name in names]
  assert len(set(made)) == len(names)
  assert all(re.fullmatch(r"[a-z0-9_-]{1,64}", name) for name in made)


def test_plain_names_stay_as_they_are():
  for name in ("fc1", "no_penalty", "mean_projection", "conv-2"):
    assert slug(name) == name
  assert slug(slug("Fc1")) != slug("Fc1")


@pytest.mark.parametrize("name", ODD)
def test_a_stage_stays_in_its_folder(tmp_path, name):
  home = tmp_path / "w"
  place = Run({}, home).path("nets", name)
  assert place.resolve().parent == (home / "checkpoints/nets").resolve()


# ---- stages --------------------------------------------------------------------------


class Pair(NamedTuple):
  left: np.ndarray
  right: np.ndarray


PAIRS = [
  Pair(np.arange(6, dtype=np.float32).reshape(2, 3), np.array([True, False])),
  Pair(np.array([np.nan, 1.0]), np.zeros((0, 4), np.int32)),
]


def same(some, others):
  assert len(some) == len(others)
  for one, other in zip(some, others, strict=True):
    for a, b in zip(one, other, strict=True):
      assert a.dtype == b.dtype
      np.testing.assert_array_equal(a, b)


def counting(value):
  """What makes a value, and how often it was asked to."""
  asked = []

  def make():
    asked.append(1)
    return value

  return make, asked


def test_a_stage_is_made_once_and_read_again(tmp_path):
  make, asked = counting(PAIRS)
  for _ in range(2):
    same(Run({}, tmp_path).stage("readings", "A", make=make, of=Pair), PAIRS)
  assert len(asked) == 1
  same(Run({}, tmp_path).stage("readings", "a", make=make, of=Pair), PAIRS)
  assert len(asked) == 2  # another name
  nothing, _ = counting([])
  for _ in range(2):
    assert Run({}, tmp_path).stage("none", make=nothing, of=Pair) == []


def test_without_a_folder_nothing_is_kept():
  make, asked = counting(PAIRS)
  row, rows_asked = counting([Row(metric="share", value=1.0)])
  for _ in range(2):
    same(Run({}).stage("a", make=make, of=Pair), PAIRS)
    assert Run({}).rows("a", make=row) == [Row(metric="share", value=1.0)]
  assert len(asked) == len(rows_asked) == 2
  assert Run({}).path("a") is None


def test_a_stage_is_whole_or_not_there(tmp_path, monkeypatch):
  this = Run({}, tmp_path)

  def broken():
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    this.stage("a", make=broken, of=Pair)

  def full(*_):
    raise OSError(28, "No space left on device")

  make, asked = counting(PAIRS)
  with monkeypatch.context() as patch:
    patch.setattr(files.os, "replace", full)
    with pytest.raises(BadInput, match="No space left"):
      this.stage("a", make=make, of=Pair)
  assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
  same(this.stage("a", make=make, of=Pair), PAIRS)
  assert len(asked) == 2


def test_rows_are_the_same_whether_made_or_read(tmp_path):
  some = [
    Row(metric="share", value=1 / 3, low=float("nan"), seed=3, setting='{"weight": 1.0}'),
    Row(metric="auc", value=0.5, attribute="größe"),
  ]
  make, asked = counting(some)
  first, again = (Run({}, tmp_path).rows("told", make=make) for _ in range(2))
  assert len(asked) == 1
  assert first == again
  assert first[0].value == pytest.approx(1 / 3, rel=1e-6)
  assert first[0].low is None
  assert first[1] == some[1]


# ---- one folder, one process ---------------------------------------------------------


def test_a_run_claims_its_folder_and_lets_go(tmp_path):
  home = tmp_path / "w"
  one, other = Run({"seed": 1}, home), Run({"seed": 1}, home)
  one.begin()
  assert json.loads((home / "run.json").read_text())["status"] == "running"
  with pytest.raises(BadInput, match="another process is at work there"):
    other.begin()
  one.end()
  other.begin()
  other.end()
  with pytest.raises(BadInput, match="another config"):
    Run({"seed": 2}, home).begin()


def test_a_second_process_is_refused_in_a_line(tmp_path):
  gen = np.random.default_rng(0)
  np.savez(
    tmp_path / "acts.npz",
    **{"taps/fc": gen.normal(size=(400, 3)), "attributes/s": gen.integers(0, 2, 400)},
  )
  home = tmp_path / "w"
  command = [
    sys.executable, "-c", "from ovl.cli import console; console()", "audit", "acts.npz",
    "--workdir=w",
  ]  # fmt: skip
  with workdir.locked(home):
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
  assert done.returncode == 2
  assert "Traceback" not in done.stderr
  (said,) = (line for line in done.stderr.splitlines() if line.startswith("ovl:"))
  assert said == (
    "ovl: --workdir=w: another process is at work there; wait for it, or give another"
  )
  assert [path.name for path in home.iterdir()] == [workdir.LOCK]


@pytest.mark.parametrize(
  ("name", "said"),
  [("adit", "did you mean 'audit'"), ("fitt", "did you mean 'fit'"), ("zzz", "expected")],
)
def test_a_section_that_nothing_reads_is_refused(tmp_path, name, said):
  with pytest.raises(BadInput) as caught:
    run.run("audit", config() | {name: {}}, tmp_path / "w")
  assert f"config.{name} is unknown" in str(caught.value)
  assert said in str(caught.value)
  assert not (tmp_path / "w").exists()


# ---- names in a whole run ------------------------------------------------------------

NET = """
from ovl import load
NAMES = {"fc1": "block0/mlp", "fc2": "../../x"}
def model(classes=2):
  plain = load("models", "mlp", classes=classes, hidden=(6, 4))
  def apply(*given, **more):
    logits, taps, state = plain.apply(*given, **more)
    return logits, {NAMES.get(name, name): z for name, z in taps.items()}, state
  return plain._replace(apply=apply, stages=())
"""
CRITIC = """
from ovl import load
def critic(attribute="discrete"):
  return load("critics", "linear", attribute=attribute)
"""
UNSAFE = {
  "audit": {"critics": ("my/critic.py", "linear")},
  "unlearn": {
    "attribute": "hidden",
    "taps": ("block0/mlp", "../../x"),
    "attackers": ("my/critic.py", "trees"),
    "penalties": {"../../x": {"method": "irene", "weights": (1.0,)}},
  },
}


@pytest.mark.parametrize("verb", ["audit", "unlearn"])
def test_odd_names_write_inside_the_folder_alone(tmp_path, monkeypatch, verb):
  monkeypatch.chdir(tmp_path)
  pathlib.Path("my").mkdir()
  pathlib.Path("my/critic.py").write_text(CRITIC)
  pathlib.Path("net.py").write_text(NET)
  home = pathlib.Path("a/b/w")
  before = {path for path in tmp_path.rglob("*") if path.is_file()}
  asked = config(model={"name": "net.py"}) | {verb: UNSAFE[verb]}
  result, _ = run.run(verb, asked, home)
  inside = (tmp_path / home).resolve()
  after = {path for path in tmp_path.rglob("*") if path.is_file()} - before
  assert all(inside in path.resolve().parents for path in after)
  assert {path.name for path in home.iterdir()} <= {
    workdir.LOCK, "config.json", "contents.json", "run.json", "about.json", "rows.jsonl",
    "rows.csv", "report.html", "report.md", "plots", "checkpoints",
  }  # fmt: skip
  assert {path.name for path in (home / "checkpoints").iterdir()} == {"nets", "readings"}
  assert {"block0/mlp", "../../x"} <= {row.layer for row in result.rows}
  if verb == "unlearn":
    assert "../../x" in {row.subject for row in result.rows}
    assert len(list((home / "checkpoints/nets").iterdir())) == 2
