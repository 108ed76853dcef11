"""SIGTERM: what was done is saved, the exit status is 0, the same command goes on.

The file is also the process that runs and stops others: `python tests/stop_test.py` prints
what they did, as JSON.
"""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np
import pytest
from whole import NETWORKS, ended, forked

from ovl import checkpoint, cli, fit, mesh, processes
from ovl.load import load

CONFIG = NETWORKS | {
  "seeds": 2,
  "model": {"name": "mlp", "hidden": [4]},
  "fit": {"epochs": 60, "batch_size": 40, "save_every": 1000},
  "audit": {"critics": ["linear"]},
}
STEPS = 60 * 7
# Where it is stopped: processes, and what is on stderr then.
MOMENTS = {
  "training": (1, "training: loss"),
  "grid": (1, "linear reads: trained"),
  "joined": (2, "training: loss"),
}


@pytest.fixture(scope="module")
def found():
  done = subprocess.run(
    [sys.executable, __file__], capture_output=True, text=True, timeout=600, check=False
  )
  assert done.returncode == 0, done.stderr[-4000:]
  return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("moment", MOMENTS)
def test_it_ends_well_and_says_how_to_go_on(found, moment):
  count, _ = MOMENTS[moment]
  what = found[moment]
  assert what["statuses"] == [0] * count
  said = [line for line in what["said"] if line.startswith("stopped")]
  assert (
    said == ["stopped: what was done is kept, the same command goes on from there"] * count
  )
  assert not any("Traceback" in line for line in what["said"])
  assert what["status"] == "running"


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_same_command_ends_in_the_same_bytes(found, moment):
  assert found[moment]["again"] == [0] * MOMENTS[moment][0]
  assert found[moment]["same"] == [True, True]


@pytest.mark.parametrize("moment", ["training", "joined"])
def test_training_stops_between_two_steps_and_saves_that_one(found, moment):
  (step,) = found[moment]["saved"]
  assert 0 < step < STEPS


# ---- inside one training ---------------------------------------------------------------


@pytest.mark.parametrize("at", [1, 6, 7, 10])
def test_snapshots_and_the_best_epoch_survive_a_stop_at_any_step(tmp_path, monkeypatch, at):
  """Epochs of four steps; a network of each seed is kept on the way, and its best epoch."""
  gen = np.random.default_rng(1)
  x = gen.normal(size=(96, 8)).astype(np.float32)
  y = (x[:, 0] > 0).astype(np.int32)
  order = np.stack([gen.permutation(64) for _ in range(2)])
  model = load("models", "mlp", classes=2, hidden=(8,))
  keys = jax.vmap(jax.random.key)(np.arange(2))
  settings = fit.Settings(epochs=4, batch_size=16, save_every=1)

  def trained(folder, many):
    early = fit.Early(x[64:], y[64:], 2)
    objective = fit.Objective(snapshots=(1, 6, 7, 15), early=early)
    left = iter([False] * many)
    monkeypatch.setattr(processes, "stopping", lambda: next(left, True))
    args = (model, x, y, order, keys, settings, mesh.make(2))
    return fit.fit(*args, folder, objective=objective)

  whole = trained(None, 100)
  with pytest.raises(processes.Stopped):
    trained(tmp_path, at)
  assert checkpoint.latest(tmp_path) == at
  again = trained(tmp_path, 100)
  kept = [(n.params, n.snapshots, n.opt, n.epochs, n.alive) for n in (whole, again)]
  for a, b in zip(*map(jax.tree.leaves, kept), strict=True):
    np.testing.assert_array_equal(a, b)


# ---- the process that stops others -----------------------------------------------------


def begun(home, count, log):
  """Processes of one command; what each says on stderr is in a file."""
  with socket.socket() as free:
    free.bind(("localhost", 0))
    address = f"localhost:{free.getsockname()[1]}"

  def child(index):
    for number, name in ((1, "out"), (2, "err")):
      os.dup2(os.open(f"{log}.{name}{index}", os.O_CREAT | os.O_WRONLY), number)
    words = ["ovl", "audit", "--config=tiny.py", f"--workdir={home}", "--log_every=0.001"]
    if count > 1:
      words.append(f"--distributed={address},{count},{index}")
    status = cli.main(words)
    if count > 1:
      jax.distributed.shutdown()
    sys.stderr.flush()
    os._exit(status)

  return forked(child, count)


def stopped(home, moment):
  """A run that is stopped there, and then goes on."""
  count, word = MOMENTS[moment]
  pids, said = begun(home, count, f"{home}-1"), pathlib.Path(f"{home}-1.err0")
  end = time.monotonic() + 120
  while word not in (said.read_text() if said.exists() else ""):
    assert time.monotonic() < end, said.read_text()
    time.sleep(0.002)
  os.kill(pids[-1], signal.SIGTERM)
  found = {
    "statuses": ended(pids),
    "saved": checkpoint.steps(home / "checkpoints" / "nets"),
  }
  errors = [pathlib.Path(f"{home}-1.err{index}") for index in range(count)]
  found["said"] = [line for path in errors for line in path.read_text().splitlines()]
  found["status"] = json.loads((home / "run.json").read_text())["status"]
  found["again"] = ended(begun(home, count, f"{home}-2"))
  return found


def main(home):
  os.chdir(home)
  pathlib.Path("tiny.py").write_text(
    "import json\nfrom ml_collections import ConfigDict\n"
    f"def get_config():\n  return ConfigDict(json.loads({json.dumps(CONFIG)!r}))\n"
  )
  found = {}
  for count in (1, 2):
    assert ended(begun(home / f"whole{count}", count, home / "log")) == [0] * count
    for moment in (m for m, (number, _) in MOMENTS.items() if number == count):
      found[moment] = stopped(home / moment, moment)
      found[moment]["same"] = [
        (home / moment / n).read_bytes() == (home / f"whole{count}" / n).read_bytes()
        for n in ("rows.csv", "rows.jsonl")
      ]
  print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
  with tempfile.TemporaryDirectory() as folder:
    main(pathlib.Path(folder))
