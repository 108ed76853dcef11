"""What a run does to the machine: compiled programs, traces, curves, transfers, logs.

The file is also the process that runs others: `python tests/machine_test.py CACHE` prints
what they left, as JSON.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import jax
import numpy as np
import pytest
from whole import NETWORKS, ended, forked

from ovl import cli, fit, mesh, step
from ovl.load import load

CONFIG = NETWORKS | {
  "seeds": 2,
  "model": {"name": "mlp", "hidden": [4]},
  "audit": {"critics": ["linear"]},
}


def write(folder):
  (folder / "tiny.py").write_text(
    "import json\nfrom ml_collections import ConfigDict\n"
    f"def get_config():\n  return ConfigDict(json.loads({json.dumps(CONFIG)!r}))\n"
  )


# ---- other processes ------------------------------------------------------------------


@pytest.fixture(scope="module")
def found():
  """Nobody has set JAX's cache there: the user's folder is a new one."""
  mine = {name: value for name, value in os.environ.items() if "CACHE" not in name}
  done = subprocess.run(
    [sys.executable, __file__], env=mine, capture_output=True, text=True, timeout=600,
    check=False,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr[-4000:]
  return json.loads(done.stdout.splitlines()[-1])


def test_all_end_well(found):
  assert found["statuses"] == [0] * 3


def test_what_was_compiled_is_kept_and_serves_the_next_process(found):
  first, second, _ = found["programs"]
  assert first
  assert set(first) <= set(second)  # what takes about a tenth of a second may come later
  assert len(second) < 2 * len(first) + 2


def test_nocache_keeps_nothing(found):
  assert found["programs"][2] == []


def test_a_trace_is_written(found):
  assert [name for name in found["trace"] if "perfetto" in name]
  assert [name for name in found["trace"] if name.endswith(".xplane.pb")]


def test_lines_of_progress_for_logs(found):
  """A share, what is done, seconds so far and left; the last says all."""
  lines = found["lines"]
  assert len(lines) > 5
  assert all(re.fullmatch(r" *\d+% .+, \d+ s, \d+ s left", line) for line in lines)
  assert any(re.search(r"training: loss \d.\d+, [\d,]+ steps/s", line) for line in lines)
  assert lines[-1].startswith("100% done")


def runs(home, name, cached, *words):
  """One command in a process of its own; its progress is in a file."""

  def child(index):
    os.environ["XDG_CACHE_HOME"] = str(home / cached)
    os.dup2(os.open(f"{name}.err", os.O_CREAT | os.O_WRONLY), 2)
    os.dup2(os.open(f"{name}.out", os.O_CREAT | os.O_WRONLY), 1)
    os._exit(cli.main(["ovl", "audit", "--config=tiny.py", f"--workdir={name}", *words]))

  (status,) = ended(forked(child))
  return status, sorted(path.name for path in (home / cached).rglob("*-cache"))


def main(home):
  os.chdir(home)
  write(home)
  one = runs(home, "a", "cache", f"--profile={home / 'trace'}")
  two = runs(home, "b", "cache", "--log_every=0.001")
  three = runs(home, "c", "none", "--nocache", "--log_every=1000")
  statuses, programs = zip(one, two, three, strict=True)
  told = {
    "statuses": statuses,
    "programs": programs,
    "trace": [path.name for path in (home / "trace").rglob("*")],
    "lines": pathlib.Path("b.err").read_text().splitlines(),
  }
  print(json.dumps(told))  # noqa: T201


# ---- curves ------------------------------------------------------------------


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  write(tmp_path)

  def call(*words):
    status = cli.main(["ovl", "audit", "--config=tiny.py", "--log_every=1000", *words])
    return status, capsys.readouterr().err.splitlines()

  return call


def test_without_its_extra_a_flag_says_how_to_install_it(command, tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "tensorboardX", None)
  status, lines = command("--tensorboard=curves")
  assert status == 2
  assert lines == ['ovl: --tensorboard needs tensorboardX: pip install "ovl[tensorboard]"']
  assert not (tmp_path / "ovl-runs").exists()


def test_curves_of_every_network_are_written(command, tmp_path):
  pytest.importorskip("tensorboardX")
  assert command("--tensorboard=curves")[0] == 0
  (events,) = (tmp_path / "curves").iterdir()
  written = events.read_bytes()
  assert b"loss/0" in written
  assert b"loss/1" in written
  assert written.count(b"loss/0") == CONFIG["fit"]["epochs"]


# ---- transfers ------------------------------------------------------------------


def test_a_step_takes_nothing_to_the_devices_unasked(monkeypatch):
  """The guard is there: a batch that is left on the host is an error."""
  x = np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)
  y = (x[:, 0] > 0).astype(np.int32)
  args = (
    load("models", "mlp", classes=2, hidden=(4,)), x, y, np.arange(64)[None],
    jax.vmap(jax.random.key)(np.arange(1)), fit.Settings(epochs=2, batch_size=16),
    mesh.make(1),
  )  # fmt: skip
  fit.fit(*args, objective=fit.Objective(snapshots=(3,)))
  monkeypatch.setattr(
    fit.source.Source, "at",
    lambda self, order, start, size: (step.Batch(x, y, {}, {}), order),
  )  # fmt: skip
  with pytest.raises(jax.errors.JaxRuntimeError, match="Disallowed host-to-device"):
    fit.fit(*args)


if __name__ == "__main__":
  with tempfile.TemporaryDirectory() as folder:
    main(pathlib.Path(folder))
