"""A tiny config of every verb that trains or reads, of seconds; and processes that run it.

`python tests/whole.py kill VERB TIMES`: kills a verb at random moments, and says whether
what it ends in is what an uninterrupted run ends in, byte for byte.
"""

import json
import os
import pathlib
import random
import signal
import socket
import sys
import tempfile
import time
import traceback

import jax
import numpy as np

TINY = str(pathlib.Path(__file__).parent / "tiny.py")
NETWORKS = {
  "seed": 3,
  "seeds": 4,
  "dataset": {"name": TINY, "rows": 600, "only": ["hidden"]},
  "model": {"name": "mlp", "hidden": [6, 4]},
  "fit": {"epochs": 3, "batch_size": 40, "save_every": 1},
}
CONFIGS = {
  "audit": NETWORKS
  | {"audit": {"critics": ["linear", "mlp", "hsic"], "schedule": {"epochs": 3}}},
  "unlearn": NETWORKS
  | {
    "unlearn": {
      "attribute": "hidden",
      "taps": ["fc1", "fc2"],
      "attackers": ["linear"],
      "erasers": {"leace": {}},
      "penalties": {"irene": {"weights": [1.0]}},
    }
  },
  "memorise": NETWORKS
  | {
    "dataset": {"name": "digits", "task": "digit"},
    "memorise": {"patterns": ["S2"], "doses": [0, 3], "target": 0},
  },
  "mi": {
    "x": "x.npy", "y": "y.npy", "method": "linear", "seeds": 4, "level": 0.95,
    "groups": "", "kind": "", "seed": 0,
  },
}  # fmt: skip


def arrays(home):
  """What `mi` reads."""
  gen = np.random.default_rng(0)
  y = gen.normal(size=400)
  np.save(home / "x.npy", np.stack([y + gen.normal(size=400), gen.normal(size=400)], 1))
  np.save(home / "y.npy", y)


def forked(child, count=1):
  """Starts `child(index)` in processes of their own: nothing is imported twice.

  JAX's backend must not have been started here.
  """
  pids = []
  for index in range(count):
    pid = os.fork()
    if pid == 0:
      status = 1
      try:
        child(index)
        status = 0
      except BaseException:
        traceback.print_exc()
      finally:
        sys.stderr.flush()
        os._exit(status)
    pids.append(pid)
  return pids


def ended(pids):
  """Exit statuses, negative of a signal."""
  return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def runs(jobs):
  """Runs `(verb, config, folder)` one after another."""
  from ovl import processes, run

  processes.listen()
  for verb, config, home in jobs:
    run.run(verb, config, pathlib.Path(home))


def joined(count, jobs):
  """The same by processes that are joined; returns their exit statuses."""
  with socket.socket() as free:
    free.bind(("localhost", 0))
    port = free.getsockname()[1]

  def child(index):
    from ovl import processes

    processes.start(f"localhost:{port},{count},{index}")
    runs(jobs)
    jax.distributed.shutdown()

  return ended(forked(child, count))


def killed(verb, times, home):
  """Kills a verb so often, lets it end, and returns the moments of its deaths.

  Raises:
    AssertionError: the rows are not those of a run that nobody killed.
  """
  asked, gen = CONFIGS[verb], random.Random()
  for name in ("compiled", "whole"):  # what is compiled is kept, so the second is measured
    begun = time.monotonic()
    assert ended(forked(lambda _, name=name: runs([(verb, asked, home / name)]))) == [0]
  took, waits = time.monotonic() - begun, []
  for _ in range(times):
    (pid,) = forked(lambda _: runs([(verb, asked, home / "cut")]))
    waits.append(gen.uniform(0, took))
    time.sleep(waits[-1])
    os.kill(pid, signal.SIGKILL)
    ended([pid])
  assert ended(forked(lambda _: runs([(verb, asked, home / "cut")]))) == [0]
  for name in ("rows.csv", "rows.jsonl"):
    same = (home / "cut" / name).read_bytes() == (home / "whole" / name).read_bytes()
    assert same, f"{name} of {verb} differs after deaths at {waits}"
  return waits


def main(argv):
  what, *rest = argv
  import ovl.cli  # noqa: F401 - before the fork

  with tempfile.TemporaryDirectory() as folder:
    home = pathlib.Path(folder)
    os.chdir(home)
    arrays(home)
    if what == "kill":
      verb, times = rest
      waits = killed(verb, int(times), home)
      print(f"{verb}: killed {len(waits)} times, the same rows")  # noqa: T201
    elif what == "join":
      jobs = json.loads(rest[1])
      print(json.dumps(joined(int(rest[0]), jobs)))  # noqa: T201


if __name__ == "__main__":
  main(sys.argv[1:])
