"""Two runs side by side: differences of nothing are 0, and intervals cover."""

import json

import numpy as np
import pytest

from ovl import about, results
from ovl.about import About
from ovl.cli import main
from ovl.report import compare
from ovl.report.compare import Side, difference
from ovl.types import BadInput, Row

GEN = np.random.default_rng(0)


def side(name, values_CS, seeds=None, **common):
  """Rows of cells x models: shares of two layers, and task accuracy."""
  rows = []
  places = [("fc1", "sex"), ("fc2", "sex"), ("", "")]
  for (layer, attribute), x_S in zip(places, values_CS, strict=True):
    metric = "share_beyond_task" if layer else "task_accuracy"
    row = Row(
      subject="trained", layer=layer, attribute=attribute, metric=metric,
      **{"dataset": "d", "task": "t"} | common,
    )  # fmt: skip
    each = range(len(x_S)) if seeds is None else seeds
    rows += [row._replace(seed=s, value=float(x)) for s, x in zip(each, x_S, strict=True)]
    whole = row._replace(num_seeds=len(x_S), value=float(np.mean(x_S)), low=0.1, high=0.9)
    rows.append(whole)
    rows.append(whole._replace(metric="auc"))
  return Side(name, rows, About("audit", f"Title of {name}", {}))


def lines(first, second):
  return {(line[1], line[4]): line for line in compare.table(first, second).lines}


def test_a_run_and_itself_differ_by_nothing():
  one = side("a", GEN.normal(0.5, 0.1, (3, 4)))
  found = lines(one, one._replace(name="b"))
  assert list(found) == [
    ("fc1", "share beyond task"), ("fc2", "share beyond task"), ("", "task accuracy"),
  ]  # fmt: skip
  for line in found.values():
    assert line[5] == line[6]
    assert line[7:] == ["0.000 [0.000, 0.000]", "4 pairs"]


def test_a_difference_is_found_with_the_interval_of_scipy():
  from scipy import stats

  a_S, d_S = GEN.normal(0.5, 0.2, 6), GEN.normal(0.1, 0.01, 6)
  a, b = dict(enumerate(a_S)), dict(enumerate(a_S + d_S))
  known = stats.ttest_rel(a_S + d_S, a_S).confidence_interval(0.9)
  found = difference(a, b, True, 0.9)
  assert found[:3] == pytest.approx((d_S.mean(), *known))
  b_S = GEN.normal(0.8, 0.02, 4)
  known = stats.ttest_ind(b_S, a_S, equal_var=False).confidence_interval(0.9)
  found = difference(a, dict(enumerate(b_S)), False, 0.9)
  assert found[:3] == pytest.approx((b_S.mean() - a_S.mean(), *known))
  assert found.models == "6 and 4"


@pytest.mark.parametrize("paired", [True, False])
def test_intervals_of_equal_populations_cover(paired):
  tries, missed = 2000, 0
  for _ in range(tries):
    S, other = (4, 4) if paired else (3, 6)
    of_seed = GEN.normal(0.5, 0.3, S) if paired else 0.5
    a = dict(enumerate(of_seed + GEN.normal(0, 0.1, S)))
    b = dict(enumerate((of_seed if paired else 0.5) + GEN.normal(0, 0.1, other)))
    found = difference(a, b, paired, 0.95)
    missed += not found.low <= 0 <= found.high
  assert 0.035 < missed / tries < 0.07  # 3 standard errors about .05, and Welch's own error


def test_only_the_same_models_are_paired():
  values_CS = GEN.normal(0.5, 0.1, (3, 3))
  one = side("a", values_CS)
  assert compare.same(one, side("b", values_CS))
  assert not compare.same(one, side("b", values_CS, seeds=(1, 2, 3)))
  assert not compare.same(one, side("b", values_CS, dataset="e"))
  assert not compare.same(one, side("b", values_CS, task="u"))
  found = compare.table(one, side("b", values_CS, seeds=(1, 2, 3)))
  assert {line[-1] for line in found.lines} == {"3 and 3"}
  assert "not paired (Welch)" in found.notes[0]
  assert "paired by seed" in compare.table(one, side("b", values_CS)).notes[0]


def test_a_model_that_is_missing_leaves_its_pair_out():
  values_CS = GEN.normal(0.5, 0.1, (3, 4))
  one, other = side("a", values_CS), side("b", values_CS + 0.1)
  lost = [row for row in other.rows if (row.layer, row.seed) != ("fc1", 2)]
  found = lines(one, other._replace(rows=lost))
  assert found["fc1", "share beyond task"][-1] == "3 pairs"
  assert found["fc1", "share beyond task"][7].startswith("0.100")
  assert found["fc2", "share beyond task"][-1] == "4 pairs"


def test_a_single_model_has_no_interval_and_no_model_no_difference():
  one, other = side("a", [[0.5]] * 3), side("b", [[0.7]] * 3)
  assert {line[7] for line in lines(one, other).values()} == {"0.200"}
  bare = other._replace(rows=[row for row in other.rows if row.seed is None])
  for line in lines(one, bare).values():
    assert line[7:] == ["", "1 and 0"]


def test_cells_of_one_run_alone_are_counted_and_none_in_common_is_refused():
  one, other = side("a", [[0.5]] * 3), side("b", [[0.7]] * 3)
  less = other._replace(rows=[row for row in other.rows if row.layer != "fc2"])
  assert "1 cells of a, 0 of b" in compare.table(one, less).notes[1]
  none = other._replace(rows=[row._replace(subject="x") for row in other.rows])
  with pytest.raises(BadInput, match="no cell in common"):
    compare.table(one, none)


def test_settings_are_cells_of_their_own():
  one, other = side("a", [[0.5]] * 3), side("b", [[0.7]] * 3)

  def dosed(one):
    return one._replace(
      rows=[*one.rows, *(r._replace(setting='{"dose": 3}') for r in one.rows)]
    )

  found = compare.table(dosed(one), dosed(other)).lines
  assert [line[3] for line in found] == ["", "", "dose 3", "dose 3", "", "dose 3"]


@pytest.fixture
def finished(tmp_path, monkeypatch):
  """Workdirs "a" and "b<i>" as finished runs leave them."""
  monkeypatch.chdir(tmp_path)
  for name, shift in (("a", 0.0), ("b<i>", 0.1)):
    one = side(name, np.array([[0.5, 0.6], [0.3, 0.2], [0.9, 0.8]]) + shift)
    results.write(one.rows, tmp_path / name)
    about.write(one.about, tmp_path / name)
  return tmp_path


def test_command_line(finished, capsys):
  assert main(["ovl", "report", "a", "b<i>"]) == 0
  out = capsys.readouterr().out
  assert "0.100 [0.100, 0.100]" in out
  assert "2 pairs" in out
  assert not list(finished.glob("*/compare.*"))
  assert main(["ovl", "report", "a", "b<i>", "--workdir=c"]) == 0
  assert "report: c/compare.html" in capsys.readouterr().out
  page = (finished / "c/compare.html").read_text(encoding="utf-8")
  assert "b&lt;i&gt;" in page
  assert "<i>" not in page
  assert "Title of a" in page
  assert "| 0.100 [0.100, 0.100] | 2 pairs |" in (finished / "c/compare.md").read_text()


@pytest.mark.parametrize(
  ("words", "said"),
  [
    ([], "no workdir"),
    (["a", "a", "a"], "3 workdirs"),
    (["nowhere"], "nowhere/rows.jsonl: no such file"),
    (["a", "nowhere"], "nowhere/rows.jsonl: no such file"),
    (["a", "--workdir=x"], "--workdir is for W1 W2"),
    (["a", "--wrkdir=x"], "wrkdir"),
    (["half"], "half/about.json: no such file"),
  ],
)
def test_bad_input_is_one_line(finished, capsys, words, said):
  (finished / "half").mkdir()
  (finished / "half/rows.jsonl").write_bytes((finished / "a/rows.jsonl").read_bytes())
  assert main(["ovl", "report", *words]) == 2
  captured = capsys.readouterr()
  assert captured.out == ""
  assert captured.err.startswith("ovl: ")
  assert captured.err.count("\n") == 1
  assert said in captured.err


def test_help_says_how(capsys):
  assert main(["ovl", "report", "--help"]) == 0
  assert "W1 W2 [--workdir=DIR]" in capsys.readouterr().out


def test_about_of_another_shape_is_one_line(finished, capsys):
  (finished / "a/about.json").write_text(json.dumps({"verb": "audit", "colour": 1}))
  assert main(["ovl", "report", "a"]) == 2
  assert "expected what a finished run wrote" in capsys.readouterr().err
