"""`ovl bench mi`: every number measured, nothing measured twice."""

import json
import re

import pytest

from ovl import bench, results
from ovl.cli import main
from ovl.types import BadInput

CONFIG = {
  "tasks": ("mixtures:shift?width=4", "known_mi:1v1-normal-0.75"),
  "methods": ("linear", "copula", "ross"),
  "sizes": (400,),
  "draws": 3,
  "seed": 0,
  "mi": {"seeds": 1},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  directory = tmp_path_factory.mktemp("bench")
  result, page = bench.run(CONFIG, directory, lambda share, said: None)
  return directory, result.rows, page


def test_rows_hold_what_was_measured(finished):
  _, rows, _ = finished
  # ross reads classes, copula quantities, linear classes: each where it can.
  assert {(r.task, r.method) for r in rows} == {
    ("shift", "linear"), ("shift", "ross"), ("1v1-normal-0.75", "copula"),
  }  # fmt: skip
  for row in rows:
    assert (row.seed is None) != (row.num_seeds is None)
    if row.metric == "information" and row.seed is not None:
      assert row.low <= row.value <= row.high
      assert row.level == 0.95
  one = {r.metric: r.value for r in rows if r.seed == 1 and r.method == "linear"}
  truth = json.loads(next(r.setting for r in rows if r.method == "linear"))["truth"]
  assert one["error"] == pytest.approx(one["information"] - truth, abs=1e-4)
  assert one["certified_low"] < truth
  errors = [r.value for r in rows if r.metric == "error" and r.seed is None]
  assert len(errors) == 3
  assert max(map(abs, errors)) < 0.2


def test_page_says_it_all(finished):
  _, _, page = finished
  for text in (page.read_text(), page.with_suffix(".md").read_text()):
    assert "median error" in text
    assert "shift (width 4)" in text
  assert "| 1v1-normal-0.75 | 400 | 0.413 | copula |" in text


def test_a_finished_cell_is_not_measured_again(finished, monkeypatch):
  directory, rows, _ = finished
  monkeypatch.setattr(bench.mi.mi, "mutual_information", None)
  again, _ = bench.run(CONFIG, directory, lambda share, said: None)
  assert again.rows == rows
  assert results.read(directory)


@pytest.mark.parametrize(
  ("tasks", "said"),
  [(("known_mi:1v1-normal",), "1v1-normal-0.75"), (("knwn_mi",), "known_mi")],
)
def test_unknown_tasks_name_the_nearest(tmp_path, tasks, said):
  with pytest.raises(BadInput, match=said):
    bench.run(CONFIG | {"tasks": tasks}, tmp_path, lambda share, said: None)


def test_smoke_runs_from_the_command_line(tmp_path, capsys):
  words = ["ovl", "bench", "mi", "--config=mi:smoke", f"--workdir={tmp_path / 'w'}"]
  less = ["--config.draws=1", "--config.tasks=('mixtures:shift',)"]
  assert main([*words, *less]) == 0
  out = capsys.readouterr().out
  assert re.search(r"^ auto +1 ", out, re.MULTILINE)
  assert main([*words, *less]) == 0
  assert "nothing to do" in capsys.readouterr().out
  assert main(["ovl", "bench", "speed"]) == 2
  assert "expected mi" in capsys.readouterr().err
