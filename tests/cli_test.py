"""The command line: what a person types, what comes back, and every bad input."""

import os
import pathlib

import numpy as np
import pytest

from ovl import cli

TINY = str(pathlib.Path(__file__).parent / "tiny.py")


@pytest.fixture
def ovl(capsys, monkeypatch, tmp_path):
  """Runs a command line in an empty folder -> status, stdout, stderr."""
  monkeypatch.chdir(tmp_path)

  def call(*words):
    status = cli.main(["ovl", *words])
    captured = capsys.readouterr()
    return status, captured.out, captured.err

  return call


def save(path="acts.npz", N=500, effect=2.0, **more):
  gen = np.random.default_rng(0)
  s = gen.integers(0, 2, N)
  z = gen.normal(size=(N, 4))
  z[:, 0] += effect * s
  np.savez(path, **{"taps/fc": z, "attributes/sex": s} | more)
  return z, s


LINEAR = "--config.audit.critics=('linear',)"


def test_help_and_version(ovl):
  assert ovl("--help")[0] == 0
  assert "ovl 0." in ovl("--version")[1]
  status, said, _ = ovl("audit", "--help")
  assert status == 0
  for word in ("--workdir", "--config", "--fail_above", "digits"):
    assert word in said


def test_activations_end_to_end_and_idempotent(ovl):
  save()
  status, said, _ = ovl("audit", "acts.npz", LINEAR)
  assert status == 0
  assert "leaks" in said
  assert pathlib.Path("ovl-runs/audit-acts/report.html").is_file()
  before = pathlib.Path("ovl-runs/audit-acts/rows.csv").stat().st_mtime_ns
  status, said, _ = ovl("audit", "acts.npz", LINEAR)
  assert status == 0
  assert "complete" in said
  assert pathlib.Path("ovl-runs/audit-acts/rows.csv").stat().st_mtime_ns == before
  assert ovl("audit", "acts.npz", LINEAR, "--fail_above=0.1")[0] == 1
  assert ovl("audit", "acts.npz", LINEAR, "--fail_above=0.99")[0] == 0
  status, _, said = ovl("audit", "acts.npz")
  assert status == 2
  assert "another config" in said


def test_folder_of_mapped_arrays(ovl):
  z, s = save()
  os.makedirs("acts/taps")
  np.save("acts/taps/fc.npy", z)
  lines = ["sex,id"] + [f"{v},{i}" for i, v in enumerate(s)]
  pathlib.Path("acts/attributes.csv").write_text("\n".join(lines))
  status, said, _ = ovl("audit", "acts", LINEAR)
  assert status == 0
  assert "sex" in said


@pytest.mark.parametrize(
  ("words", "said"),
  [
    (["adit"], ["adit", "audit"]),
    (["audit", "--workdri=x"], ["workdri", "workdir"]),
    (["audit", "--config=digit"], ["digit", "digits"]),
    (["audit", "--config=nowhere.py"], ["nowhere.py", "no such file"]),
    (["audit", "--config=digits:smok"], ["smok", "smoke"]),
    (["audit", "--config=digits:smoke", "--config.fit.epoch=3"], ["epoch"]),
    (["audit", "--config=digits:smoke", "--config.fit.epochs=many"], ["epochs", "many"]),
    (["audit", "--config=digits:smoke", "--config.model.name=mpl"], ["mpl", "mlp"]),
    (["audit", "--config=digits:smoke", "--config.dataset.task=hlf"], ["hlf", "half"]),
    (["audit", "--config=digits:smoke", "--config.fit.batch_size=5000"], ["batch_size"]),
    (
      ["audit", "--config=digits:smoke", "--config.audit.critics=('lin',)"],
      ["lin", "linear"],
    ),
    (["audit", "--config=digits:smoke", "--config.seeds=0"], ["seeds"]),
    (["audit", "--fail_above=much"], ["fail_above", "much"]),
    (["audit", "a.npz", "b.npz"], ["expected one"]),
    (["audit", "missing.npz"], ["missing.npz"]),
  ],
)
def test_bad_words_are_a_readable_line_and_status_2(ovl, words, said):
  status, _, err = ovl(*words)
  assert status == 2
  for word in said:
    assert word in err
  lines = [line for line in err.splitlines() if line.startswith("ovl:")]
  assert len(lines) == 1
  assert err.count("\n") <= 8
  assert "Traceback" not in err


@pytest.mark.parametrize(
  ("more", "said"),
  [
    ({"attributes/o": np.array([{}, 1], object)}, "o"),
    ({"attributes/short": np.zeros(3, int)}, "short"),
    ({"taps/fc": np.full((500, 4), np.nan)}, "fc"),
    ({"taps/inf": np.r_[[[np.inf]], np.zeros((499, 1))]}, "inf"),
    ({"groups": np.zeros(500, int)}, "group"),
    ({"attributes/sex": np.r_[1, np.zeros(499, int)]}, "sex"),
    ({"tap/x": np.zeros((500, 2))}, "taps"),
  ],
)
def test_bad_files_name_the_argument(ovl, more, said):
  save(**more)
  status, _, err = ovl("audit", "acts.npz", LINEAR)
  assert status == 2
  assert said in err
  assert "Traceback" not in err


def test_too_few_rows_for_the_split(ovl):
  save(N=12)
  status, _, err = ovl("audit", "acts.npz", LINEAR)
  assert status == 2
  assert "enough" in err or "few" in err


def test_unwritable_workdir(ovl):
  save()
  pathlib.Path("file").write_text("")
  status, _, err = ovl("audit", "acts.npz", LINEAR, "--workdir=file/w")
  assert status == 2
  assert "cannot write" in err


def test_workdir_with_other_things_in_it_is_left_alone(ovl):
  save()
  pathlib.Path("mine").mkdir()
  pathlib.Path("mine/thesis.txt").write_text("years")
  status, _, err = ovl("audit", "acts.npz", LINEAR, "--workdir=mine")
  assert status == 2
  assert "holds other files" in err
  assert os.listdir("mine") == ["thesis.txt"]


def test_interrupt_says_how_to_go_on(ovl, monkeypatch):
  save()

  def interrupt(*args):
    raise KeyboardInterrupt

  monkeypatch.setattr(cli, "run_audit", interrupt)
  status, _, err = ovl("audit", "acts.npz")
  assert status == 130
  assert "resumes" in err


def test_every_experiment_has_a_working_smoke_branch_or_none():
  for name, path in cli.configs().items():
    if name == "mi":
      assert cli.parse("bench", ["mi", "--config=mi:smoke"])[0].config.draws == 2
      assert "ovl bench mi --config=mi:smoke" in path.read_text()
      continue
    values, _, label = cli.parse("audit", [f"--config={name}"])
    assert values.config.audit.critics
    assert label == name
    assert f"ovl audit --config={name}" in path.read_text() or name == "arrays"
