"""The audit from a config and from arrays: rows, controls, resuming, same bytes."""

import json
import pathlib
import warnings

import numpy as np
import pytest

import ovl
import ovl.cli
from ovl import fit, results, workdir
from ovl.about import About
from ovl.audit import Settings, make_settings, run
from ovl.audit.material import from_config
from ovl.run import Result, Run
from ovl.types import BadInput, Row

TINY = str(pathlib.Path(__file__).parent / "tiny.py")


def config(**data):
  return {
    "seed": 3,
    "seeds": 3,
    "dataset": {"name": TINY, **data},
    "model": {"name": "mlp", "hidden": (6,)},
    "fit": {"epochs": 3, "batch_size": 100},
    "audit": {"critics": ("linear",)},
  }


def blank(value):
  """No number: None where a column does not apply, nan where nothing can be said."""
  return value is None or np.isnan(value)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  home = tmp_path_factory.mktemp("run")
  result, page = run(config(), home / "w")
  return home / "w", result, page


def test_audit_stays_callable_after_the_command_line_is_imported():
  import ovl.audit

  assert callable(ovl.audit)


def test_workdir_holds_what_is_promised(finished):
  home, result, page = finished
  names = ("config.json", "run.json", "about.json", "rows.jsonl", "rows.csv")
  for name in (*names, "report.html"):
    assert (home / name).stat().st_size > 0
  assert page == home / "report.html"
  assert list((home / "plots").glob("*.png"))
  record = json.loads((home / "run.json").read_text())
  assert record["status"] == "complete"
  assert record["schema"] == workdir.SCHEMA
  assert record["config"]["seeds"] == 3
  assert {"jax", "python"} <= record["versions"].keys()
  assert len(results.read(home)) == len(result.rows)


def test_same_command_same_bytes_also_when_resumed(finished, tmp_path):
  home, *_ = finished
  rows = (home / "rows.csv").read_bytes()
  run(config(), tmp_path / "again")
  assert (tmp_path / "again/rows.csv").read_bytes() == rows

  class Stop(Exception):
    pass

  def stop(share, said):
    if said == "permutation tests":
      raise Stop

  with pytest.raises(Stop):
    run(config(), tmp_path / "cut", stop)
  assert json.loads((tmp_path / "cut/run.json").read_text())["status"] == "running"
  said = []
  run(config(), tmp_path / "cut", lambda share, what: said.append(what))
  assert not any("training" in s or "reads" in s for s in said), (
    "a finished stage ran again"
  )
  assert (tmp_path / "cut/rows.csv").read_bytes() == rows


def test_rows_keep_the_contract(finished):
  _, result, _ = finished
  rows = result.rows
  assert {r.subject for r in rows} == {
    "trained", "untrained", "raw", "label", "majority", "permuted",
  }  # fmt: skip
  for row in rows:
    assert (row.seed is None) != (row.num_seeds is None)
    assert row.metric
    assert row.unit
    if row.seed is not None:
      assert row.seed in (3, 4, 5)
    if not blank(row.value) and row.metric != "detectable_share":
      assert row.low <= row.value + 1e-6 <= row.high + 2e-6, row
      assert row.level == 0.95
      assert row.chance is not None, row
  cells = [r for r in rows if r.verdict and r.metric == "share_beyond_task"]
  assert len(cells) == 3 * 3  # attributes x taps
  copy = [r for r in cells if r.attribute == "copy"]
  assert all(blank(r.value) and r.p is None for r in copy)
  assert {r.verdict for r in copy} <= {"entailed by the task", "no evidence"}
  metrics = {r.metric for r in rows}
  assert {
    "accuracy", "balanced_accuracy", "auc", "recall", "information", "share",
    "share_beyond_task", "excess_share", "detectable_share", "task_accuracy",
    "certified_low",
  } == metrics  # fmt: skip


def test_controls_stay_at_chance(finished):
  _, result, _ = finished
  for row in result.rows:
    if row.seed is None and row.metric == "share_beyond_task" and row.subject == "permuted":
      assert abs(row.value) < 0.03
    if row.seed is None and row.metric == "information" and row.subject == "majority":
      assert row.value == 0
  hidden = {
    r.subject: r.value
    for r in result.rows
    if r.seed is None and r.metric == "accuracy" and r.attribute == "hidden"
    and r.layer in ("", "input", "fc1")
  }  # fmt: skip
  assert hidden["raw"] > 0.9
  assert hidden["label"] < 0.6


def test_verdicts_of_too_little(tmp_path):
  gen = np.random.default_rng(0)
  z = gen.normal(size=(600, 4))
  rare = np.zeros(600, int)
  rare[:8] = 1
  result = ovl.audit(
    {"z": z},
    {"rare": rare, "one": np.ones(600, int), "coin": gen.integers(0, 2, 600)},
    critics="linear",
  )
  said = {
    r.attribute: r.verdict
    for r in result.rows
    if r.metric == "share_beyond_task" and r.verdict
  }
  assert said == {
    "rare": "too few examples",
    "one": "constant attribute",
    "coin": "no evidence",
  }
  with pytest.raises(BadInput, match="none has enough examples"):
    ovl.audit({"z": z}, {"rare": rare}, critics="linear")


def test_strings_gaps_and_quantities():
  gen = np.random.default_rng(0)
  N = 900
  s = gen.integers(0, 2, N)
  sex = np.array(["f", "m"], object)[s]
  sex[::7] = None
  age = 40 + 12 * gen.normal(size=N)
  z = gen.normal(size=(N, 6))
  z[:, 0] += 2 * s
  z[:, 1] += (age - 40) / 12
  age[::5] = np.nan
  result = ovl.audit({"z": z}, {"sex": sex, "age": age}, critics=("linear", "mlp"))
  value = {
    (r.attribute, r.metric): r.value
    for r in result.rows
    if r.seed is None and r.subject == "trained"
  }
  # A sum of two unit normals: half of the variance is the age's.
  assert value["age", "r2"] == pytest.approx(0.5, abs=0.1)
  assert value["age", "share_beyond_task"] == pytest.approx(0.5, abs=0.1)
  assert value["sex", "accuracy"] > 0.8
  labels = {json.loads(r.setting)["class"] for r in result.rows if r.metric == "recall"}
  assert labels == {"f", "m"}
  counts = {r.attribute: r.n_eval for r in result.rows if r.metric == "information"}
  assert counts["sex"] < 450 * 0.9


def test_one_model_says_that_the_unit_is_not_the_model(tmp_path):
  gen = np.random.default_rng(0)
  z, s = gen.normal(size=(400, 3)), gen.integers(0, 2, 400)
  assert ovl.audit({"z": z}, {"s": s}, critics="linear").meta["unit"] == "examples"
  grouped = ovl.audit({"z": z}, {"s": s}, groups=np.arange(400) // 4, critics="linear")
  assert grouped.meta["unit"] == "groups"
  page = grouped.report(tmp_path)
  assert "model" in page.read_text()
  assert "no evidence" in grouped.table()


def test_a_lower_level_narrows_intervals_and_is_said():
  gen = np.random.default_rng(0)
  z, s = gen.normal(size=(400, 3)), gen.integers(0, 2, 400)
  z[:, 0] += s
  widths = []
  for level in (0.95, 0.6):
    (row,) = (
      r
      for r in ovl.audit({"z": z}, {"s": s}, critics="linear", level=level).rows
      if r.metric == "share_beyond_task" and r.verdict
    )
    assert row.level == level
    widths.append(row.high - row.low)
  assert widths[1] < 0.7 * widths[0]


def test_settings_are_refused_and_each_changes_something():
  with pytest.raises(BadInput, match="max_width"):
    make_settings({"max_with": 3})
  for bad in ({"critics": ()}, {"level": 1.2}, {"max_width": 0}):
    with pytest.raises(BadInput):
      make_settings(bad)
  setup, this = fit.prepare(config()), Run(config())
  for limit, widest in ((4, 4), (None, 6)):
    material = from_config(setup, Settings(max_width=limit), this)
    taps = [z_SND for one in material.subjects for z_SND in one.taps.values()]
    assert max(z_SND.shape[-1] for z_SND in taps) == widest


def test_gate_counts_only_what_surely_leaks():
  def row(verdict, low):
    return Row(metric="share_beyond_task", verdict=verdict, low=low, value=0.5)

  rows = [row("leaks", 0.2), row("overlearned", 0.05), row("no evidence", 0.9)]
  assert Result(rows, About("audit", "", {})).failures(0.1) == rows[:1]


# ---- certificates, releases, critics that predict nothing ----------------------------


@pytest.fixture(scope="module")
def given():
  gen = np.random.default_rng(0)
  s = gen.integers(0, 2, 900)
  z = gen.normal(size=(900, 6))
  z[:, 0] += 3 * s
  return z, s, gen.integers(0, 2, 900)


def test_nats_come_with_a_certified_lower_bound_and_with_scores(given):
  z, s, coin = given
  result = ovl.audit({"z": z}, {"s": s, "coin": coin}, critics=("linear", "ross", "hsic"))
  rows = [r for r in result.rows if r.subject == "trained" and r.seed is None]
  one = {
    (r.attribute, r.metric, r.method) if r.method in ("ross", "hsic") else
    (r.attribute, r.metric): r
    for r in rows
  }  # fmt: skip
  sure, guess = one["s", "certified_low"], one["s", "information"]
  assert 0.2 < sure.value < guess.value
  assert sure.bound == "lower"
  assert sure.high == pytest.approx(np.log(2))
  assert one["coin", "certified_low"].value == 0.0
  assert one["s", "information", "ross"].value == pytest.approx(guess.value, abs=0.12)
  assert one["s", "hsic", "hsic"].low > one["coin", "hsic", "hsic"].high
  assert one["coin", "hsic", "hsic"].low <= 0.002


def test_a_release_is_bracketed(given):
  z, s, _ = given
  noise = {"name": "gaussian", "clip": 2.0, "sigma": 1.5}
  result = ovl.audit({"z": z}, {"s": s}, critics=("linear",), release=noise)
  one = {r.metric: r for r in result.rows if r.subject == "trained" and r.seed is None}
  bound = ovl.load("releases", **noise).bound(2, 6)
  assert one["certified_high"].value == pytest.approx(bound)
  assert one["certified_low"].value <= one["information"].value < bound < np.log(2)
  clear = ovl.audit({"z": z}, {"s": s}, critics=("linear",))
  there = next(r for r in clear.rows if r.metric == "information" and r.seed is None)
  assert there.value > one["information"].value + 0.1


@pytest.mark.parametrize(
  ("critics", "said"),
  [("club", "penalty"), (("ross",), "none predicts"), ("cca", "none predicts")],
)
def test_critics_that_cannot_judge_are_refused(given, critics, said):
  z, s, _ = given
  with pytest.raises(BadInput, match=said):
    ovl.audit({"z": z}, {"s": s, "size": z[:, 1]}, critics=critics)


def test_copies_of_a_model_count_once():
  """One of three is its own; the others are one network, given twice."""
  gen = np.random.default_rng(0)
  s = gen.integers(0, 2, 400)
  one, other = (gen.normal(size=(400, 3)) + s[:, None] for _ in range(2))
  given = {"z": np.stack([one, other, one])}
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    found = ovl.audit(given, {"s": s}, seeds=[3, 5, 7], critics="linear")
  share = next(r for r in found.rows if r.metric == "share_beyond_task" and r.num_seeds)
  assert share.num_seeds == 2
  assert {r.seed for r in found.rows} - {None} == {3, 5}
  assert "1 of 3 models are copies of others: counted once" in found.about.warnings
