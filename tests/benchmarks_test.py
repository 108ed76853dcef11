"""Benchmarks at their small size: they check their answer and say so."""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]


def smoke(name):
  done = subprocess.run(
    [sys.executable, ROOT / "benchmarks" / name, "--smoke"],
    capture_output=True, text=True, check=True, cwd=ROOT,
  )  # fmt: skip
  return json.loads(done.stdout.splitlines()[-1])


def test_the_audit_of_a_folder_agrees_with_scikit_learn_in_bounded_memory():
  result = smoke("arrays.py")
  assert result["name"] == "arrays-smoke"
  assert result["agree"]
  assert 0 < result["peak_gb"] < 2
  assert abs(result["more_taps_gb"]) < 0.3
  assert result["ours_s"] > 0 < result["peer_s"]


def test_lanes_train_as_networks_alone_do():
  result = smoke("scaling.py")
  assert result["agree"]
  assert [line["lanes"] for line in result["table"]] == [1, 2, 4]
  assert result["table"][0]["efficiency"] == 1
  peaks = [line["peak_mib"] for line in result["table"]]
  assert peaks == sorted(peaks)
  assert all(line["ceiling_share"] > 0 for line in result["table"])
