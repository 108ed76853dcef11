"""What is said to prevent memorisation: known answers of each, and what none is called."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ovl import load, report
from ovl.cli import experiment
from ovl.memorise import dose as dose_
from ovl.memorise import lanes, page, settings
from ovl.memorise.study import study
from ovl.run import Run
from ovl.types import BadInput, Row

KEY = jax.random.key(3)
IMAGES = np.random.default_rng(0).uniform(size=(6, 5, 4, 2)).astype(np.float32)


# ---- mitigations -------------------------------------------------------------------------


def test_shifts_are_those_of_a_padded_roll():
  shift = load("mitigations", "random_shift")
  moved = np.asarray(shift.inputs(jnp.array(IMAGES), jnp.float32(2.7), KEY))
  by = np.asarray(jax.random.randint(KEY, (6, 2), -2, 3))
  assert len({tuple(b) for b in by}) > 1, "each image its own"
  for x, there, (down, right) in zip(IMAGES, moved, by, strict=True):
    padded = np.pad(x, ((2, 2), (2, 2), (0, 0)))
    twin = np.roll(padded, (down, right), (0, 1))[2:-2, 2:-2]
    np.testing.assert_array_equal(there, twin)


def test_shifts_reach_as_far_as_said_and_no_farther():
  shift = load("mitigations", "random_shift")
  x = np.zeros((400, 7, 7, 1), np.float32)
  x[:, 3, 3] = 1
  _, row, column, _ = np.nonzero(np.asarray(shift.inputs(jnp.array(x), 1.0, KEY)))
  assert len(row) == 400
  for place in (row, column):
    assert np.bincount(place, minlength=7).tolist()[:2] == [0, 0]
    assert np.bincount(place)[2:5].min() > 100
    assert place.max() == 4


def test_contrast_is_stretched_about_each_channels_mean():
  contrast = load("mitigations", "random_contrast")
  out = np.asarray(contrast.inputs(jnp.array(IMAGES), 0.5, KEY))
  mean = IMAGES.mean((1, 2), keepdims=True)
  f = (out - mean) / (IMAGES - mean)
  one = f.mean((1, 2, 3), keepdims=True)
  np.testing.assert_allclose(f, np.broadcast_to(one, f.shape), rtol=1e-2)
  assert len(np.unique(one)) == 6
  assert 0.5 <= one.min() < one.max() <= 1.5


@pytest.mark.parametrize("name", ["random_shift", "random_contrast"])
def test_what_is_no_image_is_refused(name):
  with pytest.raises(BadInput, match="expected images"):
    load("mitigations", name).inputs(jnp.ones((3, 4)), 1.0, KEY)


# ---- dropout and batch normalisation -----------------------------------------------------


def net(**settings):
  model = load("models", "mlp", classes=3, hidden=(8, 6), **settings)
  return model, *model.init(KEY, IMAGES)


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_dropout_of_rate_0_is_none_bit_for_bit(name):
  plain, none, half = (
    load("models", name, classes=3, hidden=(8,), **settings)
    for settings in ({}, {"dropout": 0.0}, {"dropout": 0.5})
  )
  params, state = jax.jit(plain.init)(KEY, IMAGES)
  said = [
    np.asarray(model.apply(params, state, IMAGES, key=KEY, train=train)[0])
    for model, train in ((plain, True), (none, True), (half, False), (half, True))
  ]
  assert (said[0] == said[1]).all()
  assert (said[0] == said[2]).all(), "only in training"
  assert (said[0] != said[3]).any()


def test_dropout_keeps_the_mean_and_drops_its_share():
  model, params, state = net(dropout=0.25)
  keys = jax.random.split(KEY, 4000)
  taps = jax.vmap(lambda k: model.apply(params, state, IMAGES, key=k, train=True)[1])(keys)
  plain = np.asarray(model.apply(params, state, IMAGES)[1]["fc1"])
  fc1 = np.asarray(taps["fc1"])
  on = plain > 0
  assert (fc1[:, on] == 0).mean() == pytest.approx(0.25, abs=0.01)
  kept = fc1[:, on] > 0
  np.testing.assert_allclose(
    fc1[:, on][kept], np.broadcast_to(plain[on] / 0.75, kept.shape)[kept], rtol=1e-5
  )
  with pytest.raises(BadInput, match="needs a key"):
    model.apply(params, state, IMAGES, train=True)
  with pytest.raises(BadInput, match=r"dropout=1\.0"):
    net(dropout=1.0)


def test_batch_normalisation_of_one_layer_is_a_hand_loop():
  model, params, state = net(norm=True)
  scale, shift = (np.random.default_rng(i).normal(size=8) for i in (1, 2))
  params["fc1"]["BatchNorm_0"] = {
    "scale": scale.astype(np.float32), "bias": shift.astype(np.float32),
  }  # fmt: skip
  _, taps, renewed = model.apply(params, state, IMAGES, train=True)
  h = IMAGES.reshape(6, -1).astype(np.float64) @ np.asarray(params["fc1"]["kernel"])
  for unit in range(8):
    column = h[:, unit]
    mean = sum(column) / 6
    spread = sum((value - mean) ** 2 for value in column) / 6
    twin = (column - mean) / np.sqrt(spread + 1e-5) * scale[unit] + shift[unit]
    np.testing.assert_allclose(taps["fc1"][:, unit], np.maximum(twin, 0), atol=2e-5)
    kept = renewed["fc1"]["BatchNorm_0"]
    assert float(kept["mean"][unit]) == pytest.approx(0.1 * mean, abs=1e-5)
    assert float(kept["var"][unit]) == pytest.approx(0.9 + 0.1 * spread, abs=1e-5)
  # Running statistics judge: rows do not see one another.
  alone = model.apply(params, renewed, IMAGES[:1])[0]
  np.testing.assert_allclose(alone, model.apply(params, renewed, IMAGES)[0][:1], atol=1e-5)


def test_initial_weights_are_those_of_pytorch_and_of_the_twin_without_normalisation():
  plain, norm = (
    lanes.as_pytorch(load("models", "mlp", classes=3, hidden=(8,), norm=norm))
    for norm in (False, True)
  )
  first, _ = plain.init(KEY, IMAGES)
  other, state = norm.init(KEY, IMAGES)
  for layer in ("fc1", "logits"):
    assert (first[layer]["kernel"] == other[layer]["kernel"]).all()
  assert (other["fc1"]["BatchNorm_0"]["scale"] == 1).all()
  assert (other["fc1"]["BatchNorm_0"]["bias"] == 0).all()
  assert (state["fc1"]["BatchNorm_0"]["var"] == 1).all()


# ---- verdicts ----------------------------------------------------------------------------

SEEDS, REGIME = range(12), (("regime", "r"),)
ASKED = settings.Settings(patterns=("S2",), doses=(0, 1, 3))


def study_of(score, accuracy=0.9):
  """Rows of made-up networks: `score(way, dose)` gives `[12]`, a null run is planted 0."""
  cells = []
  for way in ((), REGIME):
    for dose, null in ((0, False), (0, True), (1, False), (3, False)):
      if way and null:
        continue
      metrics = {metric: np.full(12, accuracy) for metric in dose_.METRICS}
      metrics["spurious_score"] = score(way, dose)
      cells.append(dose_.Cell("S2", dose, way, null, metrics, np.ones(12, bool)))
  return dose_.rows(cells, Row("r", "memorise", "made up"), SEEDS, ASKED)


def said(rows):
  return {
    json.loads(row.setting)["dose"]: (row.verdict, row.flag)
    for row in rows
    if row.metric == "removed_score"
  }


@pytest.mark.parametrize(
  ("plain", "untouched", "with_it", "expected"),
  [
    (0.5, 0.0, 0.5, ("does not prevent", "")),
    (0.5, 0.0, 0.3, ("reduces, does not prevent", "")),
    (0.5, 0.0, 0.01, ("prevents", "")),
    (0.0, 0.0, 0.0, ("nothing to prevent", "")),
    # Twins that call half of all images the target have no room for .6 more.
    (0.6, 0.5, 0.6, ("does not prevent", "at_ceiling")),
    (0.6, 0.5, 0.5, ("undecided", "at_ceiling")),
  ],
)
def test_a_way_of_training_is_called_what_was_put_in(plain, untouched, with_it, expected):
  gen = np.random.default_rng(1)

  def score(way, dose):
    level = (untouched, with_it) if way else (0.0, plain)
    return level[dose > 0] + 0.01 * gen.uniform(size=12)

  assert said(study_of(score)) == {1: expected, 3: expected}


def test_of_nothing_planted_no_way_is_called_anything():
  gen = np.random.default_rng(2)
  found = [said(study_of(lambda way, dose: gen.uniform(size=12))) for _ in range(200)]
  called = [any(word != "nothing to prevent" for word, _ in one.values()) for one in found]
  assert np.mean(called) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 200)


def test_a_way_that_does_nothing_is_not_said_to_reduce():
  gen = np.random.default_rng(3)

  def score(way, dose):
    return 0.4 * (dose > 0) + 0.3 * gen.uniform(size=12)

  found = [said(study_of(score)) for _ in range(200)]
  words = [{word for word, _ in one.values()} for one in found]
  assert np.mean(["does not prevent" in one for one in words]) > 0.95
  false = [any("reduces" in word or word == "prevents" for word in one) for one in words]
  assert np.mean(false) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 200)


# ---- the study ---------------------------------------------------------------------------


def config(**memorise):
  return {
    "seed": 0,
    "seeds": 3,
    "dataset": {"name": "digits", "task": "digit"},
    "model": {"name": "mlp", "hidden": (16,)},
    "fit": {"epochs": 6, "batch_size": 128, "learning_rate": 0.01},
    "memorise": {"patterns": ("R3",), "doses": (0, 5), "validation": 0.1} | memorise,
  }


def test_a_regime_is_paired_by_seed_and_one_that_changes_nothing_is_plain():
  asked = config(
    regimes={
      "nothing": {"model": {"dropout": 0.0}, "mitigations": {"random_shift": 0.0}},
      "dropout": {"model": {"dropout": 0.5}},
    }
  )
  result = study(Run(asked))
  removed = {
    json.loads(row.setting)["regime"]: row
    for row in result.rows
    if row.metric == "removed_score"
  }
  assert (removed["nothing"].value, removed["nothing"].low) == (0, 0)
  assert removed["dropout"].value != 0
  scores = {
    (row.setting, row.seed): row.value
    for row in result.rows
    if row.metric == "spurious_score" and row.subject == "planted"
  }
  for seed in range(3):
    twin = scores['{"dose": 5, "regime": "nothing"}', seed]
    assert scores['{"dose": 5}', seed] == twin
  assert result.about.split == {"train": 1293, "validation": 144, "test": 360}
  text = report.text(page, result.rows, result.about)
  assert "R3 with dropout: no dose is surely above its twins" in text
  assert any("prevents where" in note for note in result.about.notes)


def test_regimes_are_programs_of_their_own_on_the_same_images():
  asked = config(
    mitigations={"l2": (0.1,)},
    regimes={
      "early": {"memorise": {"patience": 2}, "fit": {"epochs": 9}},
      "clip": {"memorise": {"clip": "value", "clip_at": 0.5}},
      "moved": {"mitigations": {"random_shift": 1, "random_contrast": 0.2}},
    },
  )
  data, world = settings.world(asked, settings.Settings(**asked["memorise"]))
  early, clip, moved = (world.regimes[name] for name in ("early", "clip", "moved"))
  assert (early.patience, early.settings.epochs) == (2, 9)
  assert world.early is None
  assert early.early.x_V is world.x_V
  assert (clip.plan.clip, clip.weights) == ("value", {"clip": 0.5})
  assert [task.name for task in world.plan.tasks] == ["l2"]
  assert [task.name for task in moved.plan.tasks] == ["random_contrast", "random_shift"]
  assert all(one.x_N is world.x_N for one in world.regimes.values())
  # Nobody is in two parts.
  rows = np.concatenate([world.x_N, world.x_V, world.x_M]).reshape(len(data.y), -1)
  assert np.array_equal(np.sort(rows.sum(1)), np.sort(data.x.reshape(len(rows), -1).sum(1)))


def test_networks_of_a_patience_are_judged_by_the_validation_share():
  asked = config(patience=2)
  asked["fit"] |= {"epochs": 20, "learning_rate": 0.03}
  _, world = settings.world(asked, settings.Settings(**asked["memorise"]))
  cases = [lanes.Case("R3", 5, s, s, s) for s in range(3)]
  stopped = lanes.train(world, cases)
  junk = lanes.train(world._replace(y_V=(world.y_V + 1) % 10), cases)
  whole = lanes.train(world._replace(patience=0), cases)
  kernels = [np.asarray(nets.params["fc1"]["kernel"]) for nets in (stopped, junk, whole)]
  assert (kernels[0] != kernels[1]).any()
  assert (kernels[0] != kernels[2]).any()


def test_the_experiment_runs_and_its_page_has_score_against_accuracy(tmp_path):
  words = ["--config=memorise:prevents,smoke"]
  asked = experiment.named(words, "memorise")[0].to_dict()
  assert set(asked["memorise"]["regimes"]) == {"dropout", "early_stopping"}
  asked["fit"] |= {"epochs": 8, "milestones": (6,)}
  asked["memorise"]["patterns"] = ("R3",)
  result = study(Run(asked))
  tried = [row for row in result.rows if row.metric == "removed_score"]
  assert len(tried) == 2
  known = {"nothing to prevent", "prevents", "reduces", "does not prevent", "undecided"}
  assert {word for row in tried for word in row.verdict.split(", ")} <= known
  assert len([row for row in result.rows if row.metric == "task_cost"]) == 2
  home = report.write(page, result.rows, result.about, tmp_path)
  assert "Score and accuracy" in home.read_text()
  assert "taken off the excess" in home.read_text()
  assert (tmp_path / "plots" / "accuracy.png").stat().st_size > 10_000


@pytest.mark.parametrize(
  ("change", "said"),
  [
    ({"regimes": {"a": {"modle": {}}}}, "did you mean 'model'"),
    ({"regimes": {"a": {"memorise": {"doses": (1,)}}}}, "patience alone"),
    ({"regimes": {"a": {"model": {"dropuot": 0.5}}}}, "did you mean 'dropout'"),
    ({"regimes": {"a": {"model": {"dropout": 1.5}}}}, r"model\.dropout=1\.5"),
    ({"regimes": {"a": {"mitigations": {"reweight": 1.0}}}}, "weighs groups"),
    ({"regimes": {"a": {}}, "question": "unique"}, "question 'unique' has none"),
    ({"mitigations": {"l2": (1.0,)}, "question": "forget"}, "question 'forget' has none"),
    ({"patience": 3, "validation": 0.0}, "who judges"),
    ({"patience": 3, "question": "member"}, "trains to the end"),
    ({"validation": 1.0}, "a share below 1"),
    ({"negligible": 0.0}, "above 0"),
    (
      {"regimes": {"a": {"model": {"norm": True}, "memorise": {"clip": "example"}}}},
      "batch statistics",
    ),
  ],
)
def test_a_regime_that_is_none_is_refused(change, said):
  with pytest.raises(BadInput, match=said):
    study(Run(config(**change)))
