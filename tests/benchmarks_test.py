"""The benchmark of given arrays at its small size: it checks its answer and says so."""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]


def test_the_audit_of_a_folder_agrees_with_scikit_learn_in_bounded_memory():
  done = subprocess.run(
    [sys.executable, ROOT / "benchmarks" / "arrays.py", "--smoke"],
    capture_output=True, text=True, check=True, cwd=ROOT,
  )  # fmt: skip
  result = json.loads(done.stdout.splitlines()[-1])
  assert result["name"] == "arrays-smoke"
  assert result["agree"]
  assert 0 < result["peak_gb"] < 2
  assert abs(result["more_taps_gb"]) < 0.3
  assert result["ours_s"] > 0 < result["peer_s"]
