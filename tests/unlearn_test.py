"""Unlearning from a config: rows, controls, resuming, what diverges, every kind of subject.

This file is itself a data set and a critic, which `ovl.load` finds by its path.
"""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from ovl import cli, erasure, fit, load, results, workdir
from ovl.audit.api import _read
from ovl.audit.material import Material
from ovl.audit.settings import Settings as AuditSettings
from ovl.columns import encode
from ovl.judge import cells
from ovl.readings import trees
from ovl.readings.readers import _stage, readers
from ovl.run import Run
from ovl.subjects.erased import Erasing, _erase, _shuffled
from ovl.subjects.networks import layers
from ovl.types import Attribute, BadInput, Dataset, Eraser, Lane, Row
from ovl.unlearn import Settings, run
from ovl.unlearn.attack import Attack, cases, permuted, raw
from ovl.unlearn.penalised import Context, _aims, _trained, points, subjects

HERE = str(pathlib.Path(__file__))
PARTS = {"train": 0.4, "probe": 0.3, "stop": 0.08, "test": 0.22}
SEEDS = [3, 4, 5]
HSIC, IRENE = {"weights": (0.0, 300.0)}, {"weights": (0.0, 3.0)}


def dataset(draw=0, rows=1500):
  """Six normal inputs, a fixed split; the task is the sign of the sum of the first two.

  shade: which third of the second, so part of it is beyond the task. age: the same as a
  quantity. coin: independent of everything, of as many classes as the shade, so that its
  programs are the same. copy: the task.
  """
  gen = np.random.default_rng([draw, 12])
  x = gen.normal(size=(rows, 6)).astype(np.float32)
  y = (x[:, 0] + x[:, 1] > 0).astype(np.int32)
  edges = (np.cumsum(list(PARTS.values()))[:-1] * rows).astype(int)
  part = np.empty(rows, "<U5")
  for name, some in zip(PARTS, np.split(gen.permutation(rows), edges), strict=True):
    part[some] = name
  attributes = {
    "shade": encode(np.digitize(x[:, 1], (-0.5, 0.5))),
    "coin": encode(gen.integers(0, 3, rows)),
    "copy": encode(y),
    "age": Attribute(40 + 9.0 * x[:, 1] + gen.normal(size=rows), "continuous"),
  }
  labels = ("no", "yes")
  return Dataset("planted", x, y, labels, attributes, np.arange(rows), split=part)


def critic(attribute="discrete", chance=0.004):
  """HSIC that now and then, by the key of seed and step, is no number."""
  whole = load("critics", "hsic", attribute=attribute)

  def value(params, view, key):
    lost = jax.random.uniform(key) < chance
    return jnp.where(lost, jnp.nan, whole.value(params, view, key))

  return whole._replace(value=value)


def config(**unlearn):
  # One `fit` everywhere: the program of no_penalty is compiled once.
  section = {
    "attribute": "shade",
    "taps": ("fc2",),
    "attackers": ("linear",),
  }
  return {
    "seed": 3,
    "seeds": 3,
    "dataset": {"name": HERE},
    "model": {"name": "mlp", "hidden": (16, 8)},
    "fit": {"epochs": 20, "batch_size": 100, "learning_rate": 1e-2},
    "unlearn": section | unlearn,
  }


def whole_config():
  # In the order of names, as the command line has it: a ConfigDict sorts.
  penalties = {"hsic": dict(HSIC), "irene": dict(IRENE)}
  return config(penalties=penalties, erasers={"leace": {}, "mean_projection": {}})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  home = tmp_path_factory.mktemp("run") / "w"
  said = []
  result, page = run(whole_config(), home, lambda share, what: said.append((share, what)))
  return home, result, page, said


def aggregates(rows, metric):
  """(subject, setting) -> the row over seeds; those of single attackers left out."""
  return {
    (r.subject, r.setting): r
    for r in rows
    if r.metric == metric and r.seed is None and "attacker" not in r.setting
  }


def weight(w):
  return json.dumps({"weight": w})


SUBJECTS = [
  ("no_penalty", ""), ("untrained", ""), ("leace", ""), ("mean_projection", ""),
  ("hsic", weight(0.0)), ("hsic", weight(300.0)),
  ("irene", weight(0.0)), ("irene", weight(3.0)),
]  # fmt: skip


CONTROLS = ("label", "majority", "raw", "permuted")


# ---- the run as a whole --------------------------------------------------------------


def test_workdir_holds_what_is_promised(finished):
  home, result, page, _ = finished
  names = ("config.json", "run.json", "rows.jsonl", "rows.csv", "report.html")
  for name in (*names, "plots/front.svg", "plots/front.png"):
    assert (home / name).stat().st_size > 0
  assert page == home / "report.html"
  record = json.loads((home / "run.json").read_text())
  assert record["status"] == "complete"
  assert record["schema"] == workdir.SCHEMA
  assert record["config"]["unlearn"]["attribute"] == "shade"
  assert record["warnings"] == list(result.about.warnings)
  assert {"jax", "python"} <= record["versions"].keys()
  assert results.read(home) == [
    type(r)(**(type(r)()._asdict() | results.to_dict(r))) for r in result.rows
  ]


def test_progress_only_rises_through_training_and_attack(finished):
  *_, said = finished
  stages = [s for s, what in said if not what.startswith("erasing")]
  assert stages == sorted(stages)
  assert stages[-1] == 1.0


def test_rows_keep_the_contract(finished):
  _, result, *_ = finished
  for row in result.rows:
    assert row.kind == "unlearn"
    assert (row.seed is None) != (row.num_seeds is None), row
    assert row.metric
    if row.metric == "on_front":  # a yes or no: no interval
      assert row.value in (0.0, 1.0)
      continue
    assert row.unit, row
    assert row.value is not None
    assert np.isfinite(row.value), row
    if row.metric == "detectable_share":  # a property of the test: no interval
      continue
    assert row.low <= row.value + 1e-6 <= row.high + 2e-6, row
    assert row.level == 0.95
    assert row.chance is not None, row
    assert row.num_seeds in (None, 3)
    assert row.seed in (None, *SEEDS)
  for metric in ("task_accuracy", "accuracy", "share", "share_beyond_task"):
    for subject, setting in SUBJECTS:
      mine = [
        r.seed
        for r in result.rows
        if (r.subject, r.setting, r.metric) == (subject, setting, metric)
        and r.seed is not None
      ]
      assert mine == SEEDS, (subject, setting, metric)


def test_every_subject_has_every_metric(finished):
  _, result, *_ = finished
  rows = result.rows
  for metric in ("task_accuracy", "accuracy", "share", "share_beyond_task", "on_front"):
    found = aggregates(rows, metric)
    assert [key for key in found if key[0] not in CONTROLS] == SUBJECTS
  for metric in ("removed_share", "task_cost"):
    assert list(aggregates(rows, metric)) == SUBJECTS[1:]  # no_penalty is what is compared
  for (subject, _), row in aggregates(rows, "share_beyond_task").items():
    if subject not in CONTROLS:
      assert row.verdict
      assert 0 < row.p <= 1
  assert {("label", ""), ("majority", "")} <= aggregates(rows, "share").keys()
  read = {(r.subject, r.method) for r in rows if r.metric == "critic_information"}
  assert read == {("irene", "irene")}  # HSIC has no nats
  attacked = {
    (r.subject, s.get("weight"), r.metric)
    for r in rows
    if (s := json.loads(r.setting or "{}")).get("attacker") == "linear"
  }
  assert len(attacked) == len(SUBJECTS) * 3  # share, accuracy, information
  flags = {row.flag for (s, _), row in aggregates(rows, "share_beyond_task").items()
           if s not in CONTROLS}  # fmt: skip
  assert flags <= {"reliable", "unreliable", "below_resolution", "critic_fooled"}
  for metric in ("certified_low", "detectable_share"):
    found = aggregates(rows, metric)
    assert [key for key in found if key[0] not in CONTROLS] == SUBJECTS
  assert aggregates(rows, "certified_low")["no_penalty", ""].low > 0
  assert aggregates(rows, "certified_low")["raw", ""].low > 0


def test_the_input_is_read_and_a_shuffled_attribute_is_not(finished):
  _, result, *_ = finished
  share = aggregates(result.rows, "share")
  assert share["raw", ""].value > 0.5
  assert share["raw", ""].layer == "input"
  # Shuffled within task classes: what the label tells of it stays.
  shuffled = aggregates(result.rows, "share_beyond_task")["permuted", ""]
  assert abs(shuffled.value) < 0.05
  assert shuffled.layer == "fc2"


def test_no_two_rows_are_about_the_same(finished, tmp_path):
  """Also of two taps: what labels alone say is said once."""
  _, result, *_ = finished
  two, _ = run(config(taps=("fc1", "fc2")), tmp_path / "w")
  for rows in (result.rows, two.rows):
    keys = [
      (r.subject, r.setting, r.layer, r.attribute, r.metric, r.method, r.seed)
      if r.metric == "critic_information"
      else (r.subject, r.setting, r.layer, r.attribute, r.metric, r.seed)
      for r in rows
    ]
    assert len(keys) == len(set(keys))
  assert {r.layer for r in two.rows} == {"", "input", "fc1", "fc2"}


def test_what_was_planted_is_found(finished):
  _, result, *_ = finished
  share = aggregates(result.rows, "share_beyond_task")
  assert share["no_penalty", ""].verdict == "leaks"
  assert share["no_penalty", ""].low > 0.05
  assert share["hsic", weight(300.0)].verdict in ("reduced", "removed")
  assert aggregates(result.rows, "task_accuracy")["no_penalty", ""].value > 0.95
  # The penalty cannot know what of the shade the task needs.
  assert aggregates(result.rows, "task_cost")["hsic", weight(300.0)].low > 0


def test_an_interrupted_run_resumes_to_the_same_bytes(finished, tmp_path):
  home, *_ = finished
  rows = (home / "rows.csv").read_bytes()

  class Stop(Exception):
    pass

  cut = tmp_path / "cut"

  def until(word):
    said = []

    def progress(share, what):
      said.append(what)
      if what.startswith(word):
        raise Stop

    with pytest.raises(Stop):
      run(whole_config(), cut, progress)
    assert json.loads((cut / "run.json").read_text())["status"] == "running"
    return said

  until("training hsic")
  said = until("training irene")
  assert not any("training no_penalty" in s for s in said)
  said = until("linear reads")
  assert not any("training hsic" in s for s in said)
  said = until("permutation tests")
  assert not any(s.startswith("training") for s in said)
  said = []
  run(whole_config(), cut, lambda share, what: said.append(what))
  assert not any("training" in s or "reads" in s for s in said)
  assert (cut / "rows.csv").read_bytes() == rows


def test_the_command_line_runs_it_and_says_that_it_is_finished(finished, tmp_path, capsys):
  home, result, *_ = finished
  file, mine = tmp_path / "mine.py", tmp_path / "w"
  file.write_text(
    "from ml_collections import ConfigDict\n"
    f"def get_config():\n  return ConfigDict({whole_config()!r})\n"
  )
  words = ["ovl", "unlearn", f"--config={file}", f"--workdir={mine}"]
  assert cli.main(words) == 0
  first = capsys.readouterr().out
  assert result.table() in first
  assert f"report: {mine / 'report.html'}" in first
  for sentence in result.about.warnings:
    assert f"note: {sentence}" in first
  assert (mine / "rows.csv").read_bytes() == (home / "rows.csv").read_bytes()
  before = (mine / "rows.csv").stat().st_mtime_ns
  assert cli.main(words) == 0
  again = capsys.readouterr().out
  assert "is complete: nothing to do" in again
  assert result.table() in again
  assert (mine / "rows.csv").stat().st_mtime_ns == before
  assert cli.main([*words, "--config.seeds=4"]) == 2
  assert "another config" in capsys.readouterr().err


# ---- weight 0, and what is shared ----------------------------------------------------


@pytest.mark.parametrize("name", ["irene", "hsic"])
def test_weight_0_is_no_penalty(finished, name):
  _, result, *_ = finished
  for metric in ("task_accuracy", "accuracy", "share", "share_beyond_task"):
    one = {
      (r.subject, r.setting, r.seed): r.value for r in result.rows if r.metric == metric
    }
    for seed in (*SEEDS, None):
      plain = one["no_penalty", "", seed]
      assert one[name, weight(0.0), seed] == pytest.approx(plain, abs=1e-6)
  for metric in ("removed_share", "task_cost"):
    row = aggregates(result.rows, metric)[name, weight(0.0)]
    assert row.value == pytest.approx(0, abs=1e-6)
    assert row.p > 0.05


def test_weights_of_a_seed_share_initialisation_and_seeds_do_not(finished, monkeypatch):
  home, *_ = finished
  context = make_context(whole_config(), home)
  nets = []
  train = fit.Setup.train

  def watched(*given):
    nets.append(train(*given))
    return nets[-1]

  monkeypatch.setattr(fit.Setup, "train", watched)
  list(points(context))
  plain, *others = nets
  assert len(others) == 2
  for one in others:
    for a, b in zip(
      *map(jax.tree.leaves, (plain.first_params, one.first_params)), strict=True
    ):
      np.testing.assert_array_equal(np.repeat(a, 2, 0), b)
      assert a.ndim < 3 or not np.array_equal(a[0], a[1])
    # Even lanes have weight 0, odd ones went elsewhere.
    for a, b in zip(*map(jax.tree.leaves, (plain.params, one.params)), strict=True):
      np.testing.assert_allclose(a, b[::2], rtol=1e-4, atol=1e-5)
      assert np.abs(a - b[1::2]).max() > 1e-3


# ---- attackers -----------------------------------------------------------------------


def make_context(config, home=None):
  """The setup of a study; networks of a finished one are read, not trained."""
  setup = fit.prepare(config)
  frame = cells.frame(setup.part, setup.dataset.y, len(setup.dataset.labels), None)
  made = Settings(**config["unlearn"])
  return Context(setup, frame, made, Run(config, home))


def make_attack(context):
  """Who attacks in that study."""
  made, data, frame = context.made, context.setup.dataset, context.frame
  attribute = data.attributes[made.attribute]
  column = cells.column(made.attribute, attribute, data.y, frame)
  fresh = readers(made.attackers, column.kind, frame, made.schedule, "unlearn.attackers")
  return Attack(column, fresh, list(layers(context.setup)), made.max_width)


def forgetful():
  """A run of the same seed that remembers nothing."""
  return Run({"seed": 3})


def test_erasers_are_fitted_to_the_train_part(finished):
  home, *_ = finished
  context = make_context(whole_config(), home)
  setup, frame = context.setup, context.frame
  nets = setup.train(home / "checkpoints/nets/no_penalty")
  by_name = {p.name: p for p in points(context)}
  key = jax.random.key(0)
  for name in ("leace", "mean_projection"):
    for s in range(3):
      params = jax.tree.map(lambda leaf, s=s: leaf[s], nets.params)

      def z_of(rows, params=params):
        return setup.model.apply(params, (), jnp.asarray(setup.dataset.x[rows]))[1]["fc2"]

      rows = setup.part["train"][s]
      hot = np.eye(3, dtype=np.float32)[setup.dataset.attributes["shade"].values[rows]]
      mask = jnp.ones(len(rows))
      fitted = load("erasers", name).fit(z_of(rows), jnp.asarray(hot), mask, key)
      wanted = fitted.apply(fitted.arrays, z_of(frame.rows_SN[s]))
      np.testing.assert_allclose(by_name[name].taps["fc2"][s], wanted, atol=2e-3)
      assert (
        np.abs(by_name[name].taps["fc2"][s] - by_name["no_penalty"].taps["fc2"][s]).max()
        > 0.1
      )


@pytest.mark.parametrize("fixed", [True, False])
def test_attackers_learn_from_rows_nobody_saw(fixed):
  one = config()
  if not fixed:  # every seed splits for itself
    one["dataset"] = {"name": str(pathlib.Path(__file__).parent / "tiny.py")}
  context = make_context(one)
  frame, part = context.frame, context.setup.part
  for s in range(3):
    judged = frame.rows_SN[s]
    assert len(set(judged)) == len(judged) == sum(frame.sizes)
    assert not set(judged) & set(part["train"][s])
    for name in ("probe", "stop", "test"):
      np.testing.assert_array_equal(judged[frame.part(name)], part[name][s])


def test_the_best_attacker_is_as_good_as_scikit_learns_best(finished):
  home, *_ = finished
  one = config(attackers=("linear", "trees"))
  context = make_context(one, home)
  attack = make_attack(context)
  frame, column = context.frame, attack.column
  found = list(points(context))
  said = []
  told = Run(one, progress=lambda share, what: said.append(what))
  (plain, _) = cases(found, "fc2", attack, told)
  assert plain.by_attacker.keys() == {"linear", "trees"}
  assert any(t.startswith("trees reads: no_penalty") for t in said)
  ours = np.mean([m["accuracy"][0] for m in plain.best.metrics])
  probe, test = frame.part("probe"), frame.part("test")
  theirs = []
  for s in range(3):
    z, labels = found[0].taps["fc2"][s], column.s_SN[s]
    models = (
      make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
      HistGradientBoostingClassifier(random_state=0, max_iter=50),
    )
    with threadpool_limits(1):
      scores = [m.fit(z[probe], labels[probe]).score(z[test], labels[test]) for m in models]
    theirs.append(scores)
    for i, name in enumerate(("linear", "trees")):
      alone = plain.by_attacker[name].metrics[s]["accuracy"][0]
      assert alone == pytest.approx(scores[i], abs=0.06)
  best = np.mean(theirs, 0).max()
  assert best > 0.6  # of three classes
  assert ours == pytest.approx(best, abs=0.02)


def test_every_point_meets_the_same_attackers(tmp_path):
  penalties = {"hsic": dict(HSIC)}
  result, _ = run(
    config(
      attackers=("linear", "trees"), penalties=penalties, erasers={"oracle_leace": {}}
    ),
    tmp_path / "w",
  )
  met = {}
  for r in result.rows:
    setting = json.loads(r.setting or "{}")
    if attacker := setting.pop("attacker", None):
      met.setdefault((r.subject, json.dumps(setting)), set()).add(attacker)
  assert len(met) == 5
  assert set(map(frozenset, met.values())) == {frozenset({"linear", "trees"})}
  assert not any("trees" in note for note in result.about.notes)  # they learn from all rows
  # An eraser that is told the attribute writes a shuffled one into dead units, too.
  name = "oracle_leace"
  told = [r for r in result.rows if r.setting == json.dumps({"eraser": name})]
  assert {r.subject for r in told} == {"permuted"}
  assert {"share", "share_beyond_task"} <= {r.metric for r in told}
  head = aggregates(told, "share_beyond_task")["permuted", json.dumps({"eraser": name})]
  own = aggregates(result.rows, "share_beyond_task")[name, ""]
  assert (own.flag == "eraser_leaks") == (head.low > 0 or head.p <= 0.05)
  assert own.flag == "eraser_leaks"
  assert any(s.startswith("oracle_leace at fc2 writes") for s in result.about.warnings)


def test_an_oracle_that_is_told_a_shuffled_attribute(finished, monkeypatch):
  """What it is fitted to and what it is told, instead of any edit."""
  home, *_ = finished
  context = make_context(whole_config(), home)
  train_SN, frame = context.setup.part["train"], context.frame
  width = np.zeros((3, train_SN.shape[1], 4), np.float32)
  judged = np.zeros((3, sum(frame.sizes), 4), np.float32)
  heard = {}
  monkeypatch.setattr(erasure, "fit", lambda e, z, s, *rest: heard.update(fitted=s))
  monkeypatch.setattr(erasure, "on_host", lambda e, z, s: heard.update(told=s) or z)
  asked = Erasing(context.setup, None, frame, "shade", {}, None, "unlearn.erasers")
  _erase(Eraser(None, None, oracle=True), _shuffled(asked), width, judged)
  told_SN, at_SN = (heard[name].argmax(-1) for name in ("told", "fitted"))
  attack = make_attack(context)
  shuffled = cells.permuted(attack.column, frame)
  np.testing.assert_array_equal(told_SN, shuffled.s_SN)
  assert (told_SN != attack.column.s_SN).mean() > 0.2
  true_SN = context.setup.dataset.attributes["shade"].values[train_SN]
  y_SN = context.setup.dataset.y[train_SN]
  assert (at_SN != true_SN).mean() > 0.2
  assert (at_SN[0] != at_SN[1]).any()  # every model has an order of its own
  for s in range(3):
    for y in range(2):
      mine = y_SN[s] == y
      np.testing.assert_array_equal(
        np.bincount(at_SN[s, mine], minlength=3), np.bincount(true_SN[s, mine], minlength=3)
      )


@pytest.mark.parametrize("writes", [True, False])
def test_what_an_eraser_writes_is_read_and_nothing_else(finished, writes):
  home, *_ = finished
  context = make_context(whole_config(), home)
  attack = make_attack(context)
  found = [p for p in points(context) if p.name in ("no_penalty", "leace")]
  z_SND = found[0].taps["fc2"]
  if writes:
    hot = np.eye(3, dtype=np.float32)[cells.permuted(attack.column, context.frame).s_SN]
    z_SND = np.concatenate([z_SND, hot], 2)[..., -z_SND.shape[-1] :]
  found[1] = found[1]._replace(shuffled={"fc2": z_SND})
  plain, told = permuted(found, "fc2", attack, forgetful())
  assert (plain.lane.setting, told.lane.setting) == ("", json.dumps({"eraser": "leace"}))
  assert max(abs(value) for value, _ in plain.beyond) < 0.03
  for value, _ in told.beyond:
    assert value > 0.9 if writes else abs(value) < 0.03


def test_a_study_and_an_audit_read_the_same(finished):
  """Of the same rows by the same critic, against the same reference."""
  home, *_ = finished
  context = make_context(whole_config(), home)
  attack, plain = make_attack(context), next(points(context))
  (case,) = cases([plain], "fc2", attack, forgetful())
  lane, data = case.best.lane, context.setup.dataset
  material = Material(
    [], context.frame, [], context.setup.seeds, data.attributes, data.y, data.labels, None,
    Row(), "", {}, {}, [], [],
  )  # fmt: skip
  settings = AuditSettings(critics=("linear",))
  trained = [lane._replace(subject="trained")]
  (audited, shuffled), _ = _read(trained, [attack.column], material, settings, forgetful())
  held = permuted([plain], "fc2", attack, forgetful())
  for ours, theirs in ((case.best, audited), (held[0], shuffled)):
    for s in range(3):
      for a, b in ((ours.guess, theirs.guess), (ours.beyond_guess, theirs.beyond_guess)):
        np.testing.assert_allclose(a[s].q_N, b[s].q_N, atol=1e-4)
        np.testing.assert_allclose(a[s].base_N, b[s].base_N, atol=1e-4)
        assert a[s].weight == b[s].weight


def test_labels_are_asked_by_every_attacker_too(finished, monkeypatch):
  """And each attacker alone is judged against the same reference as all together."""
  home, *_ = finished
  context = make_context(config(attackers=("linear", "trees")), home)
  attack, seen = make_attack(context), []
  scored = cells.scored

  def watched(lane, column, at, found, frame, blind=None):
    seen.append((lane.subject, tuple(found), tuple(blind)))
    return scored(lane, column, at, found, frame, blind)

  monkeypatch.setattr(cells, "scored", watched)
  cases(list(points(context))[:1], "fc2", attack, forgetful())
  both = ("linear", "trees")
  assert seen == [("no_penalty", one, both) for one in (("linear",), ("trees",), both)]
  seen.clear()
  raw(context.setup.dataset.x, attack, forgetful())
  assert seen == [("raw", ("linear",), ("linear",))]


def test_what_was_found_is_named_by_all_that_it_hangs_on(finished, monkeypatch):
  home, *_ = finished
  context = make_context(whole_config(), home)
  attack = make_attack(context)
  z = np.zeros((3, 4, 2))
  one = Lane("club", "a/b", 0, z, '{"weight": 1.0}')
  others = [
    one._replace(setting='{"weight": 10.0}'), one._replace(setting='{"width": 1.0}'),
    one._replace(subject="irene"), one._replace(layer="a-b"),
  ]  # fmt: skip
  given = {"rows": 2000}
  cols = [attack.column]
  names = [_stage("trees", [lane], cols, given) for lane in (one, *others)]
  names += [_stage("trees", [one, others[0]], cols, given)]
  names += [_stage("linear", [one], cols, given)]
  names += [_stage("trees", [one], cols, {"rows": 1000})]
  names += [_stage("trees", [one], [cells.permuted(attack.column, context.frame)], given)]
  files = [context.run.path(*name).name for name in names]
  assert len(set(files)) == len(names)
  assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_.") for name in files)
  asked = []

  def stage(run, *names, make, of):
    asked.append(names)
    return make()

  monkeypatch.setattr(Run, "stage", stage)
  monkeypatch.setattr(trees, "read", lambda *_: ["found"])
  for cap in (2000, 100):
    monkeypatch.setattr(trees, "ROWS", cap)
    assert attack.readers._trees([one], cols, forgetful()) == ["found"]
  assert asked[0] != asked[1]


def test_a_coin_leaves_nothing_to_remove(tmp_path):
  penalties = {"irene": dict(IRENE)}
  result, _ = run(config(attribute="coin", penalties=penalties), tmp_path / "w")
  share = aggregates(result.rows, "share_beyond_task")
  assert share["no_penalty", ""].verdict == "no evidence"
  assert share["no_penalty", ""].p > 0.05
  assert share["no_penalty", ""].low <= 0
  for w in (0.0, 3.0):
    # Enough rows to show that there is little.
    assert share["irene", weight(w)].verdict == "nothing to remove"
  assert not result.about.warnings


def test_a_copy_of_the_task_is_entailed(tmp_path):
  result, page = run(config(attribute="copy", erasers={"leace": {}}), tmp_path / "w")
  found = aggregates(result.rows, "share_beyond_task")
  assert found.keys() == {("no_penalty", ""), ("untrained", ""), ("leace", "")}
  for row in found.values():
    assert np.isnan(row.value)  # empty on disk
    assert (row.p, row.verdict) == (None, "entailed by the task")
  assert not aggregates(result.rows, "removed_share")
  share = aggregates(result.rows, "share")
  assert share["no_penalty", ""].value > 0.8
  assert share["leace", ""].value < 0.2
  shown = page.read_text().split("<body>")[1].split("<details>")[0]
  assert "nan" not in shown


@pytest.mark.parametrize("name", ["no_penalty", "label", "raw", "permuted"])
def test_a_penalty_has_the_name_of_no_control(name):
  with pytest.raises(BadInput, match=f"penalties.{name}: the name is taken"):
    subjects(make_context(config(penalties={name: {"method": "irene"}})))


# ---- what diverges -------------------------------------------------------------------


def test_seeds_that_diverge_are_left_out_and_said(tmp_path):
  penalties = {"broken": {"method": HERE, "weights": (0.5, 1.0)}}
  result, page = run(config(penalties=penalties, monitors=("linear",)), tmp_path / "w")
  read = aggregates(result.rows, "critic_information")
  assert list(read) == [
    ("no_penalty", ""),
    ("broken", weight(0.5)),
    ("broken", weight(1.0)),
  ]
  assert {r.method for r in read.values()} == {"linear monitor"}
  lost = aggregates(result.rows, "diverged")
  # Weights of a seed share its keys, so they go together.
  assert lost.keys() == {("broken", weight(0.5)), ("broken", weight(1.0))}
  (dead,) = {row.value for row in lost.values()}
  assert 0 < dead < 3
  for w in (0.5, 1.0):
    setting = weight(w)
    left = [
      r.seed
      for r in result.rows
      if (r.subject, r.setting, r.metric) == ("broken", setting, "share")
      and r.seed is not None
    ]
    gone = [seed for seed in SEEDS if seed not in left]
    assert len(gone) == dead
    assert (
      f"broken {setting}: seeds {gone} diverged and are left out" in result.about.warnings
    )
    for metric in ("share", "task_accuracy", "share_beyond_task", "removed_share"):
      row = aggregates(result.rows, metric)["broken", setting]
      assert row.num_seeds == len(left), metric
      assert np.isfinite(row.value)
  assert "diverged and are left out" in page.read_text()


def test_a_weight_that_diverges_has_a_verdict_and_no_numbers(tmp_path):
  penalties = {"irene": {"weights": (0.0, 1e30)}}
  result, page = run(config(penalties=penalties), tmp_path / "w")
  mine = [r for r in result.rows if r.setting.startswith(weight(1e30)[:-1])]
  assert [(r.metric, r.verdict, r.value, r.num_seeds) for r in mine] == [
    ("share_beyond_task", "diverged", None, 0)
  ]
  (said,) = (s for s in result.about.warnings if "1e+30" in s)
  assert said.startswith("irene")
  assert "every model diverged" in said
  assert "diverged" in result.table()
  assert "diverged" in page.read_text()
  # The other weight of the same program is what it would have been.
  share = aggregates(result.rows, "share")
  plain = share["no_penalty", ""].value
  assert share["irene", weight(0.0)].value == pytest.approx(plain, abs=1e-6)


def test_a_subject_that_diverges_costs_the_others_nothing(tmp_path):
  one = config(penalties={"irene": {"weights": (1e30, 1e31)}})
  result, _ = run(one, tmp_path / "w")
  verdicts = aggregates(result.rows, "share_beyond_task")
  for w in (1e30, 1e31):
    assert verdicts["irene", weight(w)].verdict == "diverged"
  assert verdicts["no_penalty", ""].verdict == "leaks"


def test_nothing_is_compared_with_networks_that_all_diverged(tmp_path):
  one = config(penalties={})
  one["fit"] = one["fit"] | {"learning_rate": 1e38}
  with pytest.raises(FloatingPointError, match="without a penalty") as caught:
    run(one, tmp_path / "w")
  assert "\n" not in str(caught.value)


# ---- other kinds of subjects, end to end ---------------------------------------------


def test_a_mitigation_is_a_subject_and_goes_with_a_penalty(tmp_path):
  penalties = {
    "reweight": {"weights": (0.0, 1.0)},
    "both": {
      "method": "irene",
      "weights": (0.0, 1.0),
      "also": {"reweight": {"weight": 1.0}},
    },
  }
  result, _ = run(config(penalties=penalties), tmp_path / "w")
  share = aggregates(result.rows, "share")
  plain, one = share["no_penalty", ""].value, share["reweight", weight(1.0)].value
  assert share["reweight", weight(0.0)].value == pytest.approx(plain, abs=1e-6)
  assert abs(one - plain) > 1e-3
  # Of weight 0 what is left is what goes with it.
  assert share["both", weight(0.0)].value == pytest.approx(one, abs=1e-6)
  assert abs(share["both", weight(1.0)].value - one) > 1e-5
  read = [r for r in result.rows if r.metric == "critic_information" and r.method == "both"]
  assert len(read) == 2


@pytest.mark.slow
def test_detachment_between_modules(tmp_path):
  penalties = {
    "detachment": {
      "weights": (1.0,), "cuts": ("fc1",), "likelihood": "gaussian",
      "taps": ("fc1", "fc2"), "hidden": (8,),
    },
  }  # fmt: skip
  result, _ = run(config(penalties=penalties), tmp_path / "w")
  assert np.isfinite(aggregates(result.rows, "share")["detachment", weight(1.0)].value)
  assert aggregates(result.rows, "task_accuracy")["detachment", weight(1.0)].value > 0.6
  assert not aggregates(result.rows, "diverged")


@pytest.mark.slow
def test_a_quantity_is_removed_too(tmp_path):
  penalties = {"hsic": {"weights": (0.0, 300.0)}}
  one = config(
    attribute="age", penalties=penalties, erasers={"leace": {}},
    attackers=("linear", "trees"),
  )  # fmt: skip
  result, page = run(one, tmp_path / "w")
  left = aggregates(result.rows, "r2")
  assert left["no_penalty", ""].value > 0.4
  assert left["hsic", weight(300.0)].value < left["no_penalty", ""].value - 0.2
  assert left["hsic", weight(0.0)].value == pytest.approx(left["no_penalty", ""].value)
  assert aggregates(result.rows, "share_beyond_task")["no_penalty", ""].verdict == "leaks"
  assert not aggregates(result.rows, "accuracy")
  assert "nan" not in page.read_text().split("<body>")[1].split("<details>")[0]
  with pytest.raises(BadInput, match="quantity"):
    run(config(attribute="age", penalties={"reweight": {}}), tmp_path / "v")


@pytest.mark.parametrize("mitigation", ["l2", "input_noise"])
def test_a_mitigation_without_groups_goes_with_a_quantity(mitigation, tmp_path):
  penalties = {mitigation: {"weights": (0.01,)}}
  penalties["hsic"] = {"weights": (1.0,), "also": {mitigation: {"weight": 0.01}}}
  context = make_context(config(attribute="age", penalties=penalties))
  tried = {one.name: one for one in subjects(context)}
  assert tried[mitigation].grouped == tried["hsic"].grouped == ()
  nets = _trained(context, "hsic", _aims(context, tried["hsic"]), 1, (0, 1))
  assert nets.alive.all()
