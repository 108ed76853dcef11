"""The command line: what a person types, what comes back, and every bad input."""

import os
import pathlib

import numpy as np
import pytest

from ovl import cli, run

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


def parsed(name, *words):
  """What a verb's words mean."""
  return cli.parse(name, run.verb(name), list(words))


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


@pytest.mark.parametrize("workdir", [[], ["--workdir=w"]])
@pytest.mark.parametrize("status", ["complete", "running"])
def test_a_changed_file_gets_an_answer_of_its_own(ovl, workdir, status):
  words = ["audit", "acts.npz", LINEAR, "--fail_above=0.1", *workdir]
  save(effect=0.0)
  assert ovl(*words)[0] == 0
  home = pathlib.Path("w" if workdir else "ovl-runs/audit-acts")
  record = (home / "run.json").read_text()
  (home / "run.json").write_text(record.replace('"complete"', f'"{status}"'))
  save(effect=6.0)
  code, said, err = ovl(*words)
  assert code == 1
  assert "above 0.1" in said
  assert [line for line in err.splitlines() if line.startswith("ovl:")] == [
    f"ovl: path: not what it was; the run that was in {home} is in {home.resolve()}.1"
  ]
  assert pathlib.Path(f"{home}.1/rows.csv").is_file()
  code, _, err = ovl("audit", "acts.npz", LINEAR, "--workdir=fresh", "--fail_above=0.1")
  assert (home / "rows.csv").read_bytes() == pathlib.Path("fresh/rows.csv").read_bytes()


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

  monkeypatch.setattr(cli, "run", interrupt)
  status, _, err = ovl("audit", "acts.npz")
  assert status == 130
  assert "resumes" in err


def test_every_experiment_has_a_working_smoke_branch_or_none():
  for name, path in cli.configs().items():
    if name in ("mi", "verdicts"):
      assert parsed("bench", name, f"--config={name}:smoke")[0].config.draws == 2
      assert f"ovl bench {name} --config={name}:smoke" in path.read_text()
      continue
    config, label, _ = cli.named([f"--config={name}"], "digits")
    (verb,) = {"unlearn", "memorise", "audit"} & set(config)
    values, _, label = parsed(verb, f"--config={name}")
    first = {"unlearn": "taps", "audit": "critics", "memorise": "patterns"}[verb]
    assert values.config[verb][first]
    assert label == name
    assert f"ovl {verb} --config={name}" in path.read_text() or name == "arrays"


@pytest.mark.parametrize(
  ("words", "value"),
  [
    (["audit", "--config=digits", "--config.fit.checkpoint=x"], "x"),
    (["audit", "--config=digits", "--config.fit.milestones=(3, 4)"], (3, 4)),
    (["audit", "--config=digits", "--config.audit.schedule.epochs=3"], 3),
    (["audit", "--config=digits", "--config.audit.release.clip=2"], 2.0),
    (["audit", "a.npz", "--config.audit.release.name=gaussian"], "gaussian"),
    (["audit", "--config=mine.py", "--config.model.hidden=(3,)"], (3,)),
    (["audit", "--config=mine.py", "--config.dataset.rows=30"], 30),
    (["audit", "--config=mine.py", "--config.split.test=.1"], 0.1),
    (["unlearn", "--config=colour", "--config.unlearn.schedule.patience=2"], 2),
    (["unlearn", "--config=mine.py", "--config.unlearn.attackers=('mlp',)"], ("mlp",)),
    (["unlearn", "--config=mine.py", "--config.unlearn.erasers.leace.rank=2"], 2),
    (["unlearn", "--config=mine.py", "--config.unlearn.penalties.p.order=x"], "x"),
    (["unlearn", "--config=mine.py", "--config.unlearn.penalties.p.taps=('a',)"], ("a",)),
    (["unlearn", "--config=mine.py", "--config.unlearn.penalties.p.weights=(1.,)"], (1.0,)),
    (["unlearn", "--config=mine.py", "--config.unlearn.penalties.p.cuts=('a',)"], ("a",)),
    (["unlearn", "--config=mine.py", "--config.unlearn.penalties.p.hidden=(3,)"], (3,)),
    (["unlearn", "--config=mine.py", "--config.unlearn.penalties.p.also.l2.weight=3"], 3.0),
    (["bench", "mi", "--config=mi:smoke", "--config.mi.schedule.patience=4"], 4),
    (["bench", "mi", "--config=mi:smoke", "--config.mi.counterparts=8"], 8),
  ],
)
def test_every_documented_setting_can_be_given_with_every_experiment(ovl, words, value):
  penalties = {"p": {"method": "irene", "also": {"l2": {}}}}
  study(
    dataset={"name": TINY},
    audit={},
    unlearn={"penalties": penalties, "erasers": {"leace": {}}},
  )
  config = parsed(*words)[0].config
  key = words[-1].removeprefix("--config.").partition("=")[0]
  assert cli.keys(config).count(key) == 1
  for part in key.split("."):
    config = config[part]
  assert config == value


@pytest.mark.parametrize(
  ("words", "said"),
  [
    (["audit", "--config=digits", "--config.fit.epochs.x=3"], "fit.epochs"),
    (["audit", "--config=digits", "--config.fit.chekpoint=x"], "fit.checkpoint"),
    (["audit", "--config=digits", "--config.unlearn.level=.9"], "audit.level"),
    (["audit", "a.npz", "--config.fit.checkpoint=x"], "fit.checkpoint"),  # trains nothing
    (["audit", "--config=digits", "--config.model.clases=3"], "model.clases"),
    (["unlearn", "--config=mine.py", "--config.unlearn.penalties.q.order=x"], "p.method"),
    (
      ["unlearn", "--config=mine.py", "--config.unlearn.penalties.p.weight=3."],
      "p.weights",
    ),
    (
      ["unlearn", "--config=mine.py", "--config.unlearn.penalties.p.also.l2.weights=3."],
      "l2.weight",
    ),
  ],
)
def test_a_setting_of_nothing_is_refused(ovl, words, said):
  study(unlearn={"penalties": {"p": {"method": "irene", "also": {"l2": {}}}}})
  status, _, err = ovl(*words)
  assert status == 2
  assert "is unknown" in err
  assert said in err
  assert err.count("\n") == 1


def test_a_setting_the_experiment_leaves_out_is_obeyed(ovl):
  study(audit={"critics": ("linear",)})
  status, _, err = ovl("audit", "--config=mine.py", "--config.fit.optimiser=adm")
  assert status == 2
  assert "fit.optimiser='adm'" in err


# ---- ovl unlearn ---------------------------------------------------------------------


def study(path="mine.py", unlearn=None, **sections):
  """Writes an experiment of one epoch; penalties cannot be added on the command line.

  One that runs to its end is in unlearn_test.py.
  """
  unlearn = {"attribute": "hidden", "taps": ("fc2",), "attackers": ("linear",)} | (
    unlearn or {}
  )
  config = {
    "seed": 0,
    "seeds": 2,
    "dataset": {"name": TINY, "rows": 600},
    "model": {"name": "mlp", "hidden": (8, 4)},
    "fit": {"epochs": 1, "batch_size": 100},
    "unlearn": unlearn,
  } | sections
  pathlib.Path(path).write_text(
    "from ml_collections import ConfigDict\ninf, nan = float('inf'), float('nan')\n"
    f"def get_config():\n  return ConfigDict({config!r})\n"
  )


def test_unlearn_help_names_its_flags(ovl):
  status, said, _ = ovl("unlearn", "--help")
  assert status == 0
  for word in ("--workdir", "--config", "colour", "fresh attackers"):
    assert word in said


STAGELESS = """
from ovl import load
def model(classes=2):
  return load("models", "mlp", classes=classes, hidden=(8, 4))._replace(stages=())
"""


@pytest.mark.parametrize(
  ("unlearn", "said"),
  [
    ({"taps": ("fc3",)}, ["fc3", "did you mean 'fc2'"]),
    ({"taps": ()}, ["taps", "empty"]),
    ({"attribute": "hiden"}, ["hiden", "did you mean 'hidden'"]),
    ({"atribute": "hidden"}, ["unlearn.atribute", "attribute"]),
    ({"penalties": {"irine": {}}}, ["penalties.irine", "did you mean 'irene'"]),
    ({"penalties": {"reweigh": {}}}, ["reweigh", "did you mean 'reweight'"]),
    ({"penalties": {"irene": {"hiden": (3,)}}}, ["irene", "hiden", "hidden"]),
    ({"penalties": {"irene": {"taps": ("fc9",)}}}, ["irene", "fc9"]),
    ({"penalties": {"irene": {"attribute": "hiden"}}}, ["hiden", "hidden"]),
    ({"penalties": {"irene": {"every": 0}}}, ["irene.every=0", "at least 1"]),
    ({"penalties": {"irene": {"ramp": "slow"}}}, ["ramp", "slow", "dann"]),
    ({"penalties": {"irene": {"weights": (1.0, -1.0)}}}, ["irene", "-1", "at least 0"]),
    ({"penalties": {"irene": {"weights": (float("inf"),)}}}, ["irene", "inf", "finite"]),
    ({"penalties": {"irene": {"weights": (float("nan"),)}}}, ["irene", "nan", "finite"]),
    ({"penalties": {"irene": {"weights": ()}}}, ["irene.weights", "at least one"]),
    ({"penalties": {"irene": {"weights": (1.0, 1.0)}}}, ["irene.weights", "none twice"]),
    ({"penalties": {"irene": {"weights": 1.0}}}, ["irene.weights=1.0", "several"]),
    ({"penalties": {"irene": {"weights": ("x",)}}}, ["irene", "'x'", "finite"]),
    ({"penalties": {"irene": {"also": {"reweight": {"weight": -1}}}}}, ["reweight", "-1"]),
    ({"penalties": {"irene": {"weight": 3.0}}}, ["irene.weight", "did you mean 'weights'"]),
    ({"penalties": {"l2": {"weight": 3.0}}}, ["l2.weight", "did you mean 'weights'"]),
    (
      {"penalties": {"irene": {"also": {"reweight": {"weights": (5.0,)}}}}},
      ["irene.also.reweight.weights", "did you mean 'weight'"],
    ),
    (
      {"penalties": {"irene": {"also": {"hsic": {"cuts": ("fc1",)}}}}},
      ["hsic.cuts", "irene.cuts"],
    ),
    (
      {"penalties": {"l2": {"also": {"hsic": {"task_weight": 9.0}}}}},
      ["hsic.task_weight", "l2.task_weight"],
    ),
    (
      {"penalties": {"irene": {"also": {"hsic": {"also": {}}}}}},
      ["hsic.also", "irene.also"],
    ),
    ({"penalties": {"irene": {"also": {"irene": {}}}}}, ["also.irene", "taken"]),
    ({"penalties": {"l2": {"attribute": "hidden"}}}, ["l2.attribute", "no attribute"]),
    ({"penalties": {"linear": {}}}, ["linear", "no penalty"]),
    ({"penalties": {"reweight": {"taps": ("fc1",)}}}, ["reweight", "mitigation", "taps"]),
    ({"penalties": {"untrained": {"method": "irene"}}}, ["untrained", "taken"]),
    ({"penalties": {"irene": {"cuts": ("fc1",)}}}, ["cuts", "fc1"]),
    ({"penalties": {"irene": {"cuts": ("fc7",)}}}, ["cuts", "fc7"]),
    ({"erasers": {"leece": {}}}, ["erasers.leece", "did you mean 'leace'"]),
    ({"erasers": {"leace": {"rnk": 3}}}, ["leace", "rnk"]),
    ({"attackers": ("trees",)}, ["attackers", "linear"]),
    ({"attackers": ()}, ["attackers", "linear"]),
    ({"attackers": ("liner",)}, ["attackers", "liner", "linear"]),
    ({"attackers": ("club",)}, ["attackers", "club", "penalty"]),
    ({"monitors": ("liner",)}, ["liner", "linear"]),
    ({"schedule": {"stps": 3}}, ["unlearn.schedule.stps"]),
    ({"level": 1.5}, ["level", "1.5"]),
  ],
)
def test_bad_unlearning_is_a_readable_line_and_status_2(ovl, unlearn, said):
  study(unlearn=unlearn)
  status, _, err = ovl("unlearn", "--config=mine.py")
  assert status == 2
  for word in said:
    assert word in err
  lines = [line for line in err.splitlines() if line.startswith("ovl:")]
  assert len(lines) == 1
  assert err.count("\n") <= 8
  assert "Traceback" not in err


@pytest.mark.parametrize(
  "unlearn",
  [
    {"taps": ("fc3",)},
    {"penalties": {"irine": {}}},
    {"penalties": {"irene": {"taps": ("fc9",)}}},
    {"penalties": {"irene": {"cuts": ("fc1",)}}},
    {"erasers": {"leace": {"rnk": 3}}},
    {"attackers": ("liner",)},
    {"schedule": {"stps": 3}},
  ],
)
def test_a_name_that_is_mended_runs_in_the_same_workdir(ovl, unlearn):
  study(unlearn=unlearn)
  assert ovl("unlearn", "--config=mine.py")[0] == 2
  assert not pathlib.Path("ovl-runs").exists()


@pytest.mark.parametrize(
  ("unlearn", "said"),
  [({"penalties": {"irene": {}}}, "penalties"), ({"monitors": ("mlp",)}, "monitors")],
)
def test_given_networks_are_not_penalised(ovl, unlearn, said):
  study(unlearn=unlearn, fit={"epochs": 1, "batch_size": 100, "checkpoint": "nets"})
  status, _, err = ovl("unlearn", "--config=mine.py")
  assert status == 2
  assert "fit.checkpoint='nets'" in err
  assert f"unlearn.{said} would do nothing" in err
  assert not pathlib.Path("ovl-runs").exists()


def test_an_eraser_needs_stages(ovl):
  pathlib.Path("flat.py").write_text(STAGELESS)
  study(unlearn={"erasers": {"leace": {}}}, model={"name": "flat.py"})
  status, _, err = ovl("unlearn", "--config=mine.py")
  assert status == 2
  assert "no stages" in err


@pytest.mark.parametrize("rho", ["0.0", "1.5", "-1"])
def test_rho_is_a_share(ovl, rho):
  status, _, err = ovl("unlearn", "--config=colour:smoke", f"--config.dataset.rho={rho}")
  assert status == 2
  assert f"dataset.rho={float(rho)}" in err
  assert "expected in (0, 1]" in err


def test_an_interrupted_study_says_how_to_go_on(ovl, monkeypatch):
  def interrupt(*args):
    raise KeyboardInterrupt

  monkeypatch.setattr(cli, "run", interrupt)
  status, _, err = ovl("unlearn")
  assert status == 130
  assert "resumes" in err


def test_how_each_attribute_is_read_is_said_first_and_can_be_changed(ovl):
  gen = np.random.default_rng(0)
  _, s = save()
  age, code = gen.integers(18, 78, len(s)), gen.integers(0, 30, len(s)) * 10
  save(**{"attributes/age": age, "attributes/zip": code})
  status, said, err = ovl("audit", "acts.npz", LINEAR, "--discrete=zip,sex")
  assert status == 0
  lines = [
    line for line in err.splitlines() if line.startswith(("sex", "age", "zip", "note"))
  ]
  assert lines == [
    "sex: 2 classes (0, 1)",
    f"age: a quantity, {age.min()} to {age.max()}",
    "zip: 30 classes (0, 10, 20, 30, ...)",
    f"note: attributes/age has {len(set(age))} distinct whole numbers in 500 rows and is "
    "read as a quantity; discrete=age reads classes",
  ]
  assert "note: attributes/age" in said
  words = ("audit", "acts.npz", LINEAR, "--continuous=age,zip", "--workdir=other")
  status, said, err = ovl(*words)
  assert status == 0
  assert "note" not in err + said
  assert "zip: a quantity" in err
  assert "complete" in ovl(*words)[1]
  status, _, err = ovl("audit", "acts.npz", LINEAR, "--workdir=other")
  assert status == 2  # read otherwise, it is another run
  assert "another config" in err


@pytest.mark.parametrize(
  ("words", "said"),
  [
    (["acts.npz", "--continuous=agee"], "continuous names 'agee'"),
    (["acts.npz", "--continuous=sex", "--discrete=sex"], "continuous and discrete"),
    (["acts.npz", "--channels=frist"], "did you mean 'first'"),
    (["acts.npz", "--pool=mean"], "for taps [N, T, D]"),
    (["--continuous=age"], "--continuous is for given activations"),
  ],
)
def test_bad_words_on_how_to_read(ovl, words, said):
  save()
  status, _, err = ovl("audit", *words)
  assert status == 2
  assert said in err
  assert "Traceback" not in err


def test_ovl_mi_says_how_y_is_read_on_stderr(ovl):
  gen = np.random.default_rng(0)
  x = gen.normal(size=200)
  np.save("x.npy", x)
  np.save("y.npy", np.rint(30 * x).astype(int))
  status, said, err = ovl("mi", "x.npy", "y.npy", "--method=cca")
  assert status == 0
  assert "y has" in err
  assert "kind='discrete' reads classes" in err
  assert "note: y has" in said
  told = ovl("mi", "x.npy", "y.npy", "--method=cca", "--kind=continuous")
  assert "note" not in told[1] + told[2]
