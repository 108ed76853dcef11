"""A verb from outside, and what stands once in the package because all verbs share it."""

import ast
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from ovl import cli, results
from ovl.report import Section, Table
from ovl.run import verb, verbs

HERE = pathlib.Path(__file__).parent
TOY = str(HERE / "fewshot.py")
OVL = HERE.parent / "ovl"
CONFIG = """
from ml_collections import ConfigDict


def get_config():
  return ConfigDict(dict(
    seed=0, seeds=2, dataset=dict(name="digits", task="half"),
    model=dict(name="mlp", hidden=(8,)), fit=dict(epochs=2, batch_size=128),
    fewshot=dict(attribute="identity", sizes=(60, 300)),
  ))
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  home = tmp_path_factory.mktemp("toy")
  (home / "few.py").write_text(CONFIG)
  words = ["ovl", TOY, f"--config={home / 'few.py'}", f"--workdir={home / 'w'}"]
  assert cli.main(words) == 0
  return home, words


def test_the_toy_verb_runs_end_to_end(finished, capsys):
  home, words = finished
  rows = [
    row
    for row in results.read(home / "w")
    if row.metric == "share_beyond_task" and row.num_seeds
  ]
  few, many = rows
  assert (few.n_train, many.n_train) == (60, 300)
  assert many.value > few.value > 0
  assert (few.layer, few.layer_index, few.width) == ("fc1", 0, 8)
  page = (home / "w/report.html").read_text()
  assert "How few labelled rows" in page
  assert "identity" in page
  assert cli.main(words) == 0
  assert "complete: nothing to do" in capsys.readouterr().out
  before = {p.name: p.read_bytes() for p in (home / "w").iterdir() if p.is_file()}
  (home / "w/report.html").unlink()
  assert cli.main(["ovl", "report", str(home / "w")]) == 0
  assert (home / "w/report.html").read_bytes() == before["report.html"]


@pytest.mark.parametrize(
  ("change", "said"),
  [
    ("--config.fewshot.tap=fc9", "did you mean 'fc1'"),
    ("--config.fewshot.attribute=identiti", "did you mean 'identity'"),
    ("--config.fewshot.sizes=(3,)", "expected at least"),
    ("--config.fewshot.size=(3,)", "did you mean 'fewshot.sizes'"),
    ("--config.fewshot.sizes=(100000,)", "the probe part has"),
  ],
)
def test_the_toy_verb_refuses_bad_input(finished, capsys, change, said):
  home, words = finished
  assert cli.main([*words[:3], f"--workdir={home / 'bad'}", change]) == 2
  assert said in capsys.readouterr().err
  assert not (home / "bad/config.json").exists()  # free for the corrected command


def test_the_toy_verb_resumes_what_was_killed(finished, tmp_path):
  home, words = finished
  wanted = (home / "w/rows.csv").read_bytes()
  command = [sys.executable, "-c", "from ovl.cli import console; console()"]
  command += [*words[1:3], f"--workdir={tmp_path / 'w'}"]
  env = os.environ | {"PYTHONPATH": str(OVL.parent)}
  killed = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
  nets = tmp_path / "w/checkpoints/nets"
  for _ in range(600):  # until there is something to resume
    if nets.exists() or killed.poll() is not None:
      break
    time.sleep(0.1)
  killed.send_signal(signal.SIGKILL)
  killed.wait()
  again = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
  assert again.returncode == 0, again.stderr
  assert (tmp_path / "w/rows.csv").read_bytes() == wanted


def test_the_toy_verb_is_short():
  program, page = (HERE / "fewshot.py").read_text().split("# ---- the report")
  assert len(program.splitlines()) <= 150
  assert len(page.splitlines()) <= 80


def test_every_verb_has_a_page_and_documented_settings():
  for name in verbs():
    one = verb(name)
    assert callable(one.page.terminal)
    assert callable(one.page.sections)
    assert one.said
    for settings in one.settings.values():
      assert "Attributes:" in (settings.__doc__ or "")
  assert Section("x", table=Table(("a",), "t", [["b"]])).title == "x"


ONCE = {
  "the progress type": r"Callable\[\[float, str\], None\]",
  "the quiet reporter": r"def quiet\(",
  "the writing of layer_index": r"layer_index=",
  "what is said of a finished run": r"complete: nothing to do",
  "the making of a mesh": r"\bMesh\(",
  # A plan is for devices that are only described.
  "the program's mesh": r"\bmesh\.make\((?!.*chip)",
  "the reading of a config's file": r"get_config\(",
  "the nearest name": r"get_close_matches\(",
}


@pytest.mark.parametrize("what", ONCE)
def test_it_stands_once(what):
  places = []
  for path in sorted(OVL.rglob("*.py")):
    code = _without_docstrings(path.read_text())
    places += [f"{path.name}: {m.group()}" for m in re.finditer(ONCE[what], code)]
  assert len({place.partition(":")[0] for place in places}) == 1, places


def _without_docstrings(text):
  tree = ast.parse(text)
  for node in ast.walk(tree):
    kinds = (ast.Module, ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)
    if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
      node.body[0] = ast.Pass()
  return ast.unparse(tree)
