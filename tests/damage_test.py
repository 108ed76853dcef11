"""What disks, clocks and other processes do to a run: the last good state, and a line."""

import contextlib
import gc
import itertools
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest
from whole import NETWORKS

from ovl import cli, kept, run, workdir
from ovl.types import Row

# Where Orbax fails it leaves threads that end without a loop to tell.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

CONFIG = NETWORKS | {
  "seeds": 2,
  "model": {"name": "mlp", "hidden": [4]},
  "audit": {"critics": ["linear"]},
}
FILE = "from ml_collections import ConfigDict\nget_config = lambda: ConfigDict({})\n"


class Ended(Exception):
  """Of a process, as far as its files can tell."""


def judged(home, until=2.0, said=None):
  """The bytes of a run's tables; it ends before where its progress says so."""

  def progress(share, word):
    if until <= share < 1:
      raise Ended

  say = (lambda line: None) if said is None else said.append
  with contextlib.suppress(Ended):
    run.run("audit", CONFIG, home, progress, say)
    return [(home / name).read_bytes() for name in ("rows.csv", "rows.jsonl")]


@pytest.fixture(autouse=True)
def _collected():
  """What Orbax left is not for the next test to find."""
  yield
  gc.collect()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  home = tmp_path_factory.mktemp("whole") / "w"
  return home, judged(home)


@pytest.fixture(scope="module")
def half(tmp_path_factory):
  """Ended in training, two checkpoints behind it."""
  home = tmp_path_factory.mktemp("half") / "w"
  judged(home, 0.26)
  assert saved(home) == ["14", "7"]
  return home


@pytest.fixture
def cut(half, tmp_path):
  return shutil.copytree(half, tmp_path / "w")


def saved(home):
  """Names of checkpoints, the newest first."""
  return sorted(os.listdir(home / "checkpoints" / "nets"), key=lambda name: -int(name))


def files(folder):
  return [path for path in sorted(folder.rglob("*")) if path.is_file()]


# ---- checkpoints -----------------------------------------------------------------------


def truncated(path):
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garbled(path):
  path.write_bytes(np.random.default_rng(0).bytes(path.stat().st_size))


def emptied(path):
  path.write_bytes(b"")


HURTS = {
  "truncated": (truncated, "*"),
  "garbled": (garbled, "*"),
  "one byte": (lambda path: path.write_bytes(b"x" + path.read_bytes()[1:]), "d/*"),
  "values": (garbled, "d/*"),
  "names": (emptied, "_METADATA"),
  "gone": (lambda path: path.unlink(), "*"),
}


def hurt(folder, how):
  change, which = HURTS[how]
  found = [path for path in files(folder) if which == "*" or path.match(which)]
  assert found
  for path in found:
    change(path)


@pytest.mark.parametrize("how", HURTS)
def test_the_checkpoint_before_a_damaged_one_is_used(cut, whole, how):
  hurt(cut / "checkpoints" / "nets" / "14", how)
  with pytest.warns(UserWarning, match="a damaged checkpoint") as told:
    assert judged(cut) == whole[1]
  (line,) = {str(each.message) for each in told}
  assert "\n" not in line
  assert "nets-damaged-14.1" in line
  assert saved(cut) == saved(whole[0])


def test_where_all_are_damaged_training_begins_again(cut, whole):
  for step in ("7", "14"):
    hurt(cut / "checkpoints" / "nets" / step, "truncated")
  with pytest.warns(UserWarning, match="a damaged checkpoint"):
    assert judged(cut) == whole[1]


def test_half_a_checkpoint_is_none(cut, whole):
  """What a process left that was killed while it saved."""
  nets = cut / "checkpoints" / "nets"
  partial = nets / "21.orbax-checkpoint-tmp-17"
  shutil.copytree(nets / "14", partial)
  (partial / "commit_success.txt").unlink(missing_ok=True)
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    assert judged(cut) == whole[1]
  assert saved(cut) == saved(whole[0])


# ---- stages ------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [truncated, garbled, emptied])
def test_a_damaged_stage_is_said_and_made_again(whole, tmp_path, how):
  home = shutil.copytree(whole[0], tmp_path / "w")
  stages, said = list(home.rglob("*.npz")), []
  assert len(stages) == 2
  for stage in stages:
    how(stage)
  assert judged(home, said=said) == whole[1]
  assert len(said) == 2
  assert all("cannot be read" in line and "worked out again" in line for line in said)


@pytest.mark.parametrize("how", [truncated, garbled])
def test_damaged_rows_are_said_and_made_again(tmp_path, how):
  said = []

  def rows():
    made = [Row(metric="score", value=1 / 3, seed=s) for s in range(3)]
    return kept.rows(tmp_path / "told", lambda: made, said.append)

  first = rows()
  how(tmp_path / "told.jsonl")
  assert rows() == first
  (line,) = said
  assert "told.jsonl cannot be read" in line


# ---- disks, clocks, locks --------------------------------------------------------------


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
  """`ovl audit` of the same config -> status, what it says on stderr but for progress."""
  monkeypatch.chdir(tmp_path)
  (tmp_path / "tiny.py").write_text(
    "import json\nfrom ml_collections import ConfigDict\n"
    f"def get_config():\n  return ConfigDict(json.loads({json.dumps(CONFIG)!r}))\n"
  )

  def call(home="w"):
    words = ["ovl", "audit", "--config=tiny.py", f"--workdir={home}", "--log_every=9"]
    status = cli.main(words)
    lines = capsys.readouterr().err.splitlines()
    return status, [line for line in lines if "left" not in line]

  return call


@contextlib.contextmanager
def no_file_above(size):
  """A disk that is full from there on: writing fails in the middle of a file."""
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _ended():
  """As at the end of a process: what Orbax began beside the work has come to its end."""
  for thread in threading.enumerate():
    if thread is not threading.current_thread() and not thread.daemon:
      thread.join(5)


@pytest.mark.parametrize("size", [100, 900, 3000, 30_000, 100_000])
def test_a_full_disk_is_a_line_and_the_same_command_goes_on(command, tmp_path, size):
  """Of the config, a checkpoint, a stage, the tables."""
  with no_file_above(size):
    status, lines = command()
  assert status == 2
  assert len(lines) == 1, lines
  assert re.fullmatch("ovl: cannot write w[^ ]*: File too large", lines[0])
  assert not list(tmp_path.rglob("*.partial"))
  _ended()
  status, lines = command()
  assert not lines, lines
  assert status == 0
  assert command() == (0, [])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_a_line(command, tmp_path):
  (tmp_path / "shut").mkdir(mode=0o500)
  status, lines = command("shut/w")
  assert status == 2
  assert lines == ["ovl: cannot write shut/w: Permission denied"]


def test_a_folder_that_cannot_be_is_a_line(command, tmp_path):
  (tmp_path / "file").write_text("")
  status, lines = command("file/w")
  assert status == 2
  assert lines == ["ovl: cannot write file/w: Not a directory"]


def test_a_clock_that_is_set_back(whole, cut, monkeypatch):
  """By a day at every look, from the middle of a run on."""
  true, looks = time.time, itertools.count()
  monkeypatch.setattr(time, "time", lambda: true() - 86400 * next(looks))
  assert judged(cut) == whole[1]
  for name in ("run.json", "about.json"):
    assert json.loads((cut / name).read_text())["wall_s"] == 0


HOLDER = """
import pathlib, sys, time
from ovl import workdir
with workdir.locked(pathlib.Path(sys.argv[1])):
  print("held", flush=True)
  time.sleep(100)
"""


def test_the_lock_of_the_living_holds_and_that_of_the_dead_does_not(command, tmp_path):
  home = tmp_path / "w"
  call = [sys.executable, "-c", HOLDER, str(home)]
  with subprocess.Popen(call, stdout=subprocess.PIPE) as holder:
    assert holder.stdout.readline() == b"held\n"
    status, lines = command()
    assert status == 2
    (line,) = lines
    assert "another process is at work there" in line
    holder.kill()
  assert (home / workdir.LOCK).exists()
  assert command() == (0, [])
