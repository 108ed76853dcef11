"""Sweeps: a grid of tiny jobs, shared out, killed, started again, in one table."""

import contextlib
import csv
import importlib.util
import io
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import time

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from pyarrow import parquet

from ovl import cli, gang, results, sweep
from ovl.sweep.page import page
from ovl.types import BadInput, Row

work = importlib.import_module("ovl.sweep.work")  # the room's `work` is a function

LAUNCH = pathlib.Path(__file__).parents[1] / "launch" / "sweep.py"

# A verb that takes as long as it is told to, stops between its stages, and has two rows.
VERB = """
import time
from dataclasses import dataclass
from ovl.report import Section, Table
from ovl.run import Result, Verb
from ovl.types import BadInput, Row

class Page:
  def terminal(rows, about):
    return Table(["value"], "n", [[str(row.value)] for row in rows])
  def sections(rows, about):
    return [Section("Rows", table=Page.terminal(rows, about))]

@dataclass(frozen=True)
class Settings:
  rate: float = 1.0
  word: str = "a"
  bad: float = -1.0
  stages: int = 1

def study(run):
  c = run.config["tiny"]
  if c["rate"] == c["bad"]:
    raise BadInput(f"tiny.rate={c['rate']}: this one is bad")
  run.begin()
  made = lambda: [Row(metric="score", attribute="<b>$x$", value=c["rate"] + len(c["word"]))]
  for number in range(c["stages"]):
    time.sleep(0.05)
    rows = run.rows(f"stage{number}", make=made)
  rows += [row._replace(seed=0) for row in rows]
  return Result(rows, run.about(verb=VERB_FILE, title="tiny"))

VERB_FILE = __file__
VERB = Verb("A tiny verb.", study, Page, config="config.py", settings={"tiny": Settings})
"""
CONFIG = """
from ml_collections import ConfigDict
WORDS = ("long",)
def get_config(*words):
  stages = 40 if "long" in words else 1
  return ConfigDict(dict(tiny=dict(rate=1.0, word="a", bad=-1.0, stages=stages)))
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  pathlib.Path("verb.py").write_text(VERB)
  pathlib.Path("config.py").write_text(CONFIG)
  return tmp_path


def jobs(*sweeps, words=(), config="config.py", out="o"):
  return sweep.jobs("verb.py", config, sweeps, list(words), pathlib.Path(out))


@pytest.fixture
def quick(here, monkeypatch):
  """Jobs run in this process: what is tested is not how one is started."""
  ran = []

  def run(commands, stopped, say):
    ((*_, verb), words) = commands[0][:5], commands[0][5:]
    ran.append(words)
    told = io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
      status = cli.main(["ovl", verb, *words])
    for line in told.getvalue().splitlines():
      say(0, line)
    return status

  monkeypatch.setattr(work.gang, "run", run)
  return ran


# ---- the grid ------------------------------------------------------------------------


def test_a_grid_is_every_combination_the_last_changing_fastest(here):
  found = jobs("tiny.rate=1,1e-3", "tiny.word='a,b',c,(1,2)")
  assert [list(job.overrides.values()) for job in found] == [
    [rate, word] for rate in (1, 1e-3) for word in ("a,b", "c", (1, 2))
  ]
  assert len({job.name for job in found}) == 6
  assert all(job.directory.parent == pathlib.Path("o") for job in found)
  assert found[3].words == [
    "--config=config.py", "--config.tiny.rate=1e-3", "--config.tiny.word='a,b'",
    f"--workdir=o/{found[3].name}",
  ]  # fmt: skip
  assert found[3].config["tiny"]["rate"] == 1e-3
  one = jobs(words=["--config.tiny.rate=3"])
  assert [job.name for job in one] == ["run"]
  assert one[0].config["tiny"]["rate"] == 3
  same, other = jobs("tiny.rate=1e-3")[0], jobs("tiny.rate=.001")[0]
  assert same.name == other.name  # one number, however it is written


@pytest.mark.parametrize(
  ("sweeps", "words", "said"),
  [
    (["tiny.rate"], [], "expected KEY=VALUE,VALUE"),
    (["tiny.rate=1,,2"], [], "without empty values"),
    (["=1"], [], "expected KEY=VALUE,VALUE"),
    (["tiny.rate=1,1.0e0,1"], [], "is there twice"),
    (["tiny.rate=1", "tiny.rate=2"], [], "given twice"),
    (["tiny.rat=1"], [], "did you mean"),
    (["tiny.rate=fast"], [], "tiny.rate"),
    ([], ["--workdir=x"], "itself"),
    ([], ["--config=x"], "itself"),
    ([], ["--confg.tiny.rate=2"], "unknown"),
  ],
)
def test_bad_input_is_refused_before_the_first_job(here, sweeps, words, said):
  with pytest.raises(BadInput, match=said) as caught:
    jobs(*sweeps, words=words)
  assert len(str(caught.value).splitlines()) <= 4
  assert not pathlib.Path("o").exists()


def test_a_workdir_is_no_folder_of_workdirs(here):
  pathlib.Path("o").mkdir()
  pathlib.Path("o/config.json").touch()
  with pytest.raises(BadInput, match="is the workdir of a run"):
    jobs("tiny.rate=1")


def test_the_default_folder_is_called_after_what_is_swept():
  assert str(sweep.home("unlearn", "colour:all,smoke")) == (
    "ovl-runs/sweep-unlearn-colour-all-smoke"
  )
  assert str(sweep.home("my/verb.py", "my/c.py")) == "ovl-runs/sweep-verb-c"
  assert str(sweep.home("audit", "")) == "ovl-runs/sweep-audit"


# ---- shares --------------------------------------------------------------------------


def slurm(task, count, low=0, step=1):
  named = {"ID": task, "COUNT": count, "MIN": low, "STEP": step}
  return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in named.items()}


@pytest.mark.parametrize(
  ("index", "count", "environment", "expected"),
  [
    (None, None, {}, (0, 1)),
    (2, 5, {}, (2, 5)),
    (None, None, slurm(3, 8), (3, 8)),
    (None, None, slurm(1, 8, low=1), (0, 8)),
    (None, None, slurm(6, 4, step=2), (3, 4)),
    (None, 8, slurm(3, 2), (3, 8)),  # of an array some are given again
    (None, 4, {"JOB_COMPLETION_INDEX": "3"}, (3, 4)),
    (None, None, {"JOB_COMPLETION_INDEX": "3"}, (0, 1)),  # hosts of one job
    (1, 2, slurm(3, 8), (1, 2)),
  ],
)
def test_a_process_knows_its_part(index, count, environment, expected):
  assert sweep.share(index, count, environment) == expected


@pytest.mark.parametrize(
  ("index", "count", "environment", "said"),
  [
    (3, None, {}, "without --count"),
    (None, 3, {}, "without --index"),
    (3, 3, {}, "expected 0 to 2"),
    (None, None, slurm(7, 2), "expected 0 to 1; of an array with gaps, give --count"),
  ],
)
def test_a_part_that_cannot_be_is_refused(index, count, environment, said):
  with pytest.raises(BadInput, match=said):
    sweep.share(index, count, environment)


def test_parts_are_every_job_once():
  every = list(range(13))
  parts = [every[i::n] for i, n in (sweep.share(i, 5, {}) for i in range(5))]
  assert sorted(job for part in parts for job in part) == every


# ---- work and table ------------------------------------------------------------------


def table(out="o"):
  with (pathlib.Path(out) / "rows.csv").open() as file:
    return list(csv.DictReader(file))


def test_what_is_complete_is_not_done_twice(quick):
  found = jobs("tiny.rate=1,2", "tiny.word=a,bb")
  said = []
  assert sweep.work(found[:2], said.append) == ({}, False)
  assert len(quick) == 2
  assert sweep.collect(found, {}, pathlib.Path("o"), "T") == [job.name for job in found[:2]]
  assert "2 of 4 jobs are not here yet" in pathlib.Path("o/sweep.md").read_text()
  assert sweep.work(found, said.append) == ({}, False)
  assert len(quick) == 4
  assert [line.split(": ")[-1] for line in said if "runs" not in line][2:4] == [
    "complete"
  ] * 2
  assert sweep.collect(found, {}, pathlib.Path("o"), "T") == [job.name for job in found]
  rows = table()
  assert len(rows) == 8
  assert [(row["job"], row["seed"]) for row in rows] == [
    (job.name, seed) for job in found for seed in ("", "0")
  ]
  for row, job in zip(rows[::2], found, strict=True):
    rate, word = job.overrides.values()
    assert (float(row["config.tiny.rate"]), row["config.tiny.word"]) == (rate, word)
    assert float(row["value"]) == rate + len(word)
  lines = pathlib.Path("o/rows.jsonl").read_text().splitlines()
  assert [json.loads(line)["job"] for line in lines] == [row["job"] for row in rows]
  columns = parquet.read_table("o/rows.parquet").to_pydict()
  assert list(columns) == ["job", "config.tiny.rate", "config.tiny.word", *Row._fields]
  assert columns["value"] == [float(row["value"]) for row in rows]
  assert columns["config.tiny.rate"] == [1, 1, 1, 1, 2, 2, 2, 2]
  assert columns["seed"] == [None, 0] * 4


def test_another_config_or_a_changed_file_is_not_taken_for_complete(quick):
  sweep.work(jobs("tiny.rate=1"), print)
  (again,) = jobs("tiny.rate=1")
  assert again.complete
  (other,) = jobs("tiny.rate=1", words=["--config.tiny.word=bb"])
  assert not other.complete
  failed, stopped = sweep.work([other], print)
  assert not stopped
  assert "belongs to another config" in failed[other.name]
  pathlib.Path("verb.py").write_text(VERB + "\n# another\n")
  assert not again.complete
  assert sweep.work(jobs("tiny.rate=1"), print) == ({}, False)
  assert (again.directory.parent / f"{again.name}.1").is_dir()  # moved aside by ovl


def test_a_job_that_fails_does_not_cost_the_others(quick):
  found = jobs("tiny.rate=1,2,3", words=["--config.tiny.bad=2"])
  said = []
  failed, stopped = sweep.work(found, said.append)
  assert not stopped
  assert failed == {found[1].name: "exit status 2: ovl: tiny.rate=2.0: this one is bad"}
  assert "this one is bad" in found[1].log.read_text()
  done = sweep.collect(found, failed, pathlib.Path("o"), "T")
  assert done == [found[0].name, found[2].name]
  assert {row["job"] for row in table()} == set(done)
  assert "this one is bad" in pathlib.Path("o/sweep.html").read_text()


def test_told_to_stop_it_begins_no_other(here, monkeypatch):
  found = jobs("tiny.rate=1,2,3")
  ran = []
  for status in (0, 143, 130):  # saved; ended before it could listen; interrupted
    monkeypatch.setattr(work, "PATIENCE", 0.2)
    monkeypatch.setattr(
      work.gang, "run", lambda commands, *_, s=status: ran.append(commands) or s
    )
    assert sweep.work(found, print) == ({}, True)
  assert len(ran) == 3


# ---- the command ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def loaded():
  spec = importlib.util.spec_from_file_location("launch_sweep", LAUNCH)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  yield module
  for name in (
    "verb", "config", "sweep", "out", "index", "count", "strict", "dry_run",
  ):  # fmt: skip
    delattr(flags.FLAGS, name)


@pytest.fixture
def command(loaded, quick, capsys):
  """launch/sweep.py in this process: what it said, on which side, and its exit status."""

  def run(*words):
    with flagsaver.flagsaver():
      status = loaded.main(flags.FLAGS(["sweep", "--verb=verb.py", *words]))
    out, err = capsys.readouterr()
    return out.splitlines(), err, status

  return run


def test_the_command_lists_what_failed_and_is_strict_where_asked(command):
  words = ["--config=config.py", "--sweep=tiny.rate=1,2,3", "--out=o"]
  bad = ["--", "--config.tiny.bad=2"]
  said, _, status = command(*words, *bad)
  assert status == 0
  assert said[-2] == "2 of 3 jobs complete: o/rows.csv, o/sweep.html"
  assert said[-1].startswith("failed: tiny-rate-2-")
  assert command(*words, "--strict", *bad)[2] == 1
  said, _, status = command(*words, "--dry_run", "--index=1", "--count=2", *bad)
  (job,) = jobs("tiny.rate=2", words=bad[1:])
  assert (said, status) == ([shlex.join(work.command(job))], 0)
  said, _, status = command(*words, "--dry_run", *bad)
  assert [line.startswith("# complete: ") for line in said] == [True, False, True]


def test_the_only_job_is_never_lost_in_silence(command):
  words = ["--config=config.py", "--out=o"]
  assert command(*words, "--", "--config.tiny.bad=1.0")[2] == 1
  assert command("--config=config.py", "--out=p")[2] == 0


def test_the_command_refuses_in_a_line(command):
  said, err, status = command("--config=config.py", "--sweep=tiny.rat=1")
  assert (said, status) == ([], 2)
  assert err.startswith("sweep: --config.tiny.rat is unknown: did you mean")
  assert not pathlib.Path("ovl-runs").exists()


DOC = (LAUNCH.parents[1] / "docs" / "launch.md").read_text(encoding="utf-8")
SAID = sorted(set(re.findall(r"^(?:\$ )?.*launch/\S+ .*?(--verb=.*)$", DOC, re.M)))


@pytest.mark.parametrize("line", SAID)
def test_what_the_page_sweeps_can_be_swept(loaded, tmp_path, monkeypatch, capsys, line):
  monkeypatch.chdir(tmp_path)
  words = shlex.split(line.removesuffix('"') if line.count('"') % 2 else line)
  with flagsaver.flagsaver():
    assert loaded.main(flags.FLAGS(["sweep", "--dry_run", *words])) == 0
  assert capsys.readouterr().out.count(" -m ovl ") >= 1
  assert list(tmp_path.iterdir()) == []


def test_the_page_has_sweeps():
  assert len(SAID) >= 8


# ---- the page ------------------------------------------------------------------------


def test_the_page_shows_what_the_overrides_change_and_nothing_is_markup(quick):
  found = jobs("tiny.rate=1,2", "tiny.word=<i>,bb")
  sweep.work(found, print)
  sweep.collect(found, {}, pathlib.Path("o"), "Sweep of <verb>")
  html = pathlib.Path("o/sweep.html").read_text()
  for raw in ("<i>", "<b>$x$", "<verb>"):
    assert raw not in html
    assert raw.replace("<", "&lt;").replace(">", "&gt;") in html
  assert html.count("<tr>") == 1 + 4
  assert pathlib.Path("o/plots/sweep.png").stat().st_size > 1000
  for job in found:
    assert f'href="{job.name}/report.html"' in html
  before = html, pathlib.Path("o/rows.csv").read_bytes()
  sweep.collect(found, {}, pathlib.Path("o"), "Sweep of <verb>")
  assert before == (
    pathlib.Path("o/sweep.html").read_text(),
    pathlib.Path("o/rows.csv").read_bytes(),
  )


def test_cells_are_chosen_by_what_differs_controls_left_out(here):
  found = jobs("tiny.rate=1,2,3")
  gen = np.random.default_rng(0)

  def rows(scale):
    base = Row(metric="share_beyond_task", attribute="a", num_seeds=3, value=0.5)
    some = [
      base._replace(layer=f"fc{i}", value=0.5 + 0.1 * i * scale, low=0.1) for i in range(9)
    ]
    some += [base._replace(subject="untrained", value=float(gen.normal(0, 99)))]
    some += [base._replace(metric="auc", layer="fc1", value=float(gen.normal(0, 99)))]
    return [*some, base._replace(seed=0, value=float(gen.normal(0, 99)))]

  made = page(found, {job.name: rows(i) for i, job in enumerate(found)}, {}, "T")
  heads = made.sections[1].table.heads
  assert list(heads[:2]) == ["tiny.rate", "state"]
  assert list(heads[2:]) == [f"share beyond task, a, fc{i}" for i in range(3, 9)]


def test_a_page_of_hundreds_of_jobs_stays_readable(here):
  found = jobs("tiny.rate=" + ",".join(str(rate) for rate in range(300)))
  row = Row(metric="score", attribute="a", value=1.0)
  made = page(found, {job.name: [row] for job in found}, {}, "T")
  svg = made.pictures[0].svg
  width = float(re.search(r'width="([\d.]+)pt"', svg)[1])
  assert width < 30 * 72
  assert sum(f">{rate}<" in svg for rate in range(300)) < 90
  assert len(made.sections[1].table.lines) == 300


# ---- processes of their own ----------------------------------------------------------


def start(*words):
  return subprocess.Popen(
    [sys.executable, str(LAUNCH), "--verb=verb.py", "--out=o", *words],
    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    env={k: v for k, v in os.environ.items() if not k.startswith("SLURM_")},
  )  # fmt: skip


def test_six_jobs_killed_once_and_started_again_are_one_table(here):
  words = ["--config=config.py:long", "--sweep=tiny.rate=1,2,3", "--sweep=tiny.word=a,bb"]
  killed = start(*words)
  said = []
  while not said or not said[-1].startswith("[3/6]"):
    said.append(killed.stdout.readline())
  found = jobs(
    *(word.removeprefix("--sweep=") for word in words[1:]), config="config.py:long"
  )
  until = time.monotonic() + 60
  while not (found[2].directory / "config.json").exists():  # at work on the third
    assert time.monotonic() < until
    time.sleep(0.02)
  killed.kill()
  killed.communicate(timeout=60)
  assert [job.complete for job in found] == [True, True, False, False, False, False]
  assert not pathlib.Path("o/rows.csv").exists()
  kept = [(job.directory / "run.json").stat().st_mtime_ns for job in found[:2]]

  again = start(*words, "--strict")
  said, _ = again.communicate(timeout=200)
  assert again.returncode == 0, said
  assert said.splitlines()[-1].startswith("6 of 6 jobs complete: o/rows.csv")
  assert [(job.directory / "run.json").stat().st_mtime_ns for job in found[:2]] == kept
  rows = table()
  assert [row["job"] for row in rows[::2]] == [job.name for job in found]
  assert len(rows) == 12
  for job in found:
    assert results.read(job.directory)[0].value == float(
      next(row["value"] for row in rows if row["job"] == job.name)
    )


def test_a_sweep_that_is_told_to_end_saves_and_says_75(here):
  words = ["--config=config.py:long", "--sweep=tiny.rate=1,2"]
  started = start(*words)
  found = jobs("tiny.rate=1,2", config="config.py:long")
  while not (found[0].directory / "config.json").exists():
    time.sleep(0.02)
  started.terminate()
  said, _ = started.communicate(timeout=60)
  assert started.returncode == gang.UNFINISHED, said
  assert said.splitlines()[-1] == "stopped; the same command goes on"
  assert not found[0].complete
  assert not found[1].directory.exists()
