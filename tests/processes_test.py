"""Several processes do what one does, and what is killed goes on as if it had not been."""

import json
import math
import pathlib
import subprocess
import sys

import pytest
from whole import CONFIGS, arrays

from ovl import results

WHOLE = str(pathlib.Path(__file__).parent / "whole.py")
VERBS = sorted(CONFIGS)


def told(*words, limit=900):
  done = subprocess.run(
    [sys.executable, WHOLE, *map(str, words)],
    capture_output=True,
    text=True,
    timeout=limit,
    check=False,
  )
  assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
  return done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
  """Every verb by one process."""
  home = tmp_path_factory.mktemp("alone")
  arrays(home)
  return home, of_processes(1, home)


def asked(verb, home):
  paths = {name: str(home / f"{name}.npy") for name in ("x", "y")} if verb == "mi" else {}
  return CONFIGS[verb] | paths


def of_processes(count, home):
  """verb -> rows."""
  jobs = [(v, asked(v, home), str(home / f"{count}-{v}")) for v in VERBS]
  assert json.loads(told("join", count, json.dumps(jobs))) == [0] * count
  return {verb: results.read(pathlib.Path(folder)) for verb, _, folder in jobs}


def close(a, b):
  if isinstance(a, float) and isinstance(b, float):
    return math.isclose(a, b, rel_tol=1e-2, abs_tol=2e-3) or (a != a and b != b)
  return a == b


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_several_processes_are_one(count, alone):
  home, one = alone
  many = of_processes(count, home)
  for verb in VERBS:
    assert len(many[verb]) == len(one[verb])
    for mine, its in zip(many[verb], one[verb], strict=True):
      apart = [
        (name, a, b)
        for name, a, b in zip(mine._fields, mine, its, strict=True)
        if not close(a, b)
      ]
      assert mine.metric == "seconds" or not apart, (verb, mine.metric, apart)


@pytest.mark.parametrize("verb", VERBS)
def test_killed_ten_times_ends_in_the_same_bytes(verb):
  assert told("kill", verb, 10) == f"{verb}: killed 10 times, the same rows"


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_killed_a_hundred_times_ends_in_the_same_bytes(verb):
  told("kill", verb, 100, limit=7200)
