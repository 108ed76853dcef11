"""`ovl memorise` end to end: positives found, nothing in the null, resumed alike."""

import json

import jax
import numpy as np
import pytest

from ovl import plant, report
from ovl.cli import experiment
from ovl.load import _load, load
from ovl.memorise import lanes, page, settings
from ovl.memorise.study import study
from ovl.run import Run
from ovl.types import BadInput


def config(**memorise):
  return {
    "seed": 0,
    "seeds": 6,
    "dataset": {"name": "digits", "task": "digit"},
    "model": {"name": "mlp", "hidden": (32,)},
    "fit": {"epochs": 12, "batch_size": 128, "learning_rate": 0.01, "milestones": (8, 10)},
    "memorise": {"patterns": ("R3",), "doses": (0, 5)} | memorise,
  }


@pytest.fixture(scope="module")
def found(tmp_path_factory):
  where = tmp_path_factory.mktemp("memorise")
  asked = config(mitigations={"l2": (0.01,)})
  return asked, where, study(Run(asked, where))


def pick(rows, **wanted):
  return [row for row in rows if all(getattr(row, k) == v for k, v in wanted.items())]


def test_a_planted_pattern_is_found_and_nothing_in_the_null_run(found):
  _, _, result = found
  excess = pick(result.rows, metric="excess_spurious_score", setting='{"dose": 5}')[0]
  assert excess.verdict == "memorised"
  assert excess.low > 0.2
  assert excess.p == pytest.approx(2 / 64), "all six above: 2^-6, two cells by Holm"
  null = pick(result.rows, metric="excess_spurious_score", subject="null")[0]
  assert null.verdict == "no evidence"
  least = pick(result.rows, metric="least_dose", setting="{}")[0]
  assert least.value == 5
  accuracy = pick(result.rows, metric="task_accuracy", seed=None)
  assert min(row.value for row in accuracy) > 0.85


def test_rows_are_what_a_naive_reading_of_the_networks_gives(found):
  """The spurious score of one network, by hand."""
  asked, _, result = found
  made = settings.Settings(**asked["memorise"])
  _, world = settings.world(asked, made)
  nothing = {"l2": 0.0}
  cases = [lanes.Case("R3", 5, 2, 2, 2, nothing), lanes.Case("", 0, 2, 2, 2, nothing)]
  nets = lanes.train(world, cases)
  u = np.random.RandomState(2).uniform(size=(8, 8, 1))
  painted = np.clip(world.x_M + u, 0, 1)
  for s, subject in enumerate(("planted", "unplanted")):
    params = {
      layer: {k: np.asarray(v[s]) for k, v in leaf.items()}
      for layer, leaf in nets.params.items()
    }

    def p_of_target(x, params=params):
      h = x.reshape(len(x), -1)
      h = np.maximum(h @ params["fc1"]["kernel"] + params["fc1"]["bias"], 0)
      z = h @ params["logits"]["kernel"] + params["logits"]["bias"]
      e = np.exp(z - z.max(1, keepdims=True))
      return (e / e.sum(1, keepdims=True))[:, 0]

    score = np.mean(p_of_target(painted) - p_of_target(world.x_M) > 0.1)
    row = pick(
      result.rows, metric="spurious_score", subject=subject, seed=2,
      setting=json.dumps({"dose": 5 * (s == 0)}),
    )[0]  # fmt: skip
    assert row.value == pytest.approx(score, abs=0.006)


def test_l2_takes_the_pattern_off_and_its_rows_say_so(found):
  _, _, result = found
  removed = pick(result.rows, metric="removed_score")[0]
  assert removed.setting == '{"dose": 5, "l2": 0.01}'
  assert removed.low > 0
  assert pick(result.rows, metric="task_cost")


def test_a_run_that_is_resumed_says_the_same(found):
  asked, where, result = found
  kept = sorted((where / "checkpoints").rglob("*.npz"))
  assert kept
  stamp = kept[0].stat().st_mtime_ns
  again = study(Run(asked, where))
  assert kept[0].stat().st_mtime_ns == stamp, "trained again"
  assert again.rows == result.rows


def test_chunks_change_nothing(found):
  asked, _, result = found
  few = dict(asked, memorise=asked["memorise"] | {"lanes": 9})
  rows = study(Run(few)).rows
  for mine, its in zip(rows, result.rows, strict=True):
    if mine.metric == "spurious_score":
      assert mine.value == pytest.approx(its.value, abs=0.02)


def test_the_page_has_tables_and_pictures(found, tmp_path):
  _, _, result = found
  said = report.text(page, result.rows, result.about)
  assert "R3: 5 examples surely suffice" in said
  assert "null run" in said
  home = report.write(page, result.rows, result.about, tmp_path)
  assert "Dose and response" in home.read_text()
  assert {p.stem for p in (tmp_path / "plots").glob("*.png")} == {
    "dose", "accuracy", "planted", "ridge",
  }  # fmt: skip


def test_one_image_has_its_own_study():
  asked = config(question="unique", patterns=("A", "C", "R3"), doses=(0, 1))
  result = study(Run(asked))
  # R3 is loud enough to be remembered from one image by such a network.
  excess = pick(result.rows, metric="excess_m_shift", attribute="R3")[0]
  assert excess.value > 0
  bits = pick(result.rows, metric="exposure_bits", seed=None, attribute="")[0]
  assert bits.chance == pytest.approx(np.log2(3) - np.log2([1, 2, 3]).mean())
  assert 0 <= bits.value <= np.log2(3)
  assert {row.metric for row in result.rows} >= {
    "m_label_free", "m_label_known", "m_shift", "m_argmax", "excess_m_label_free",
    "exposure_bits_label_free", "legacy_rejected",
  }  # fmt: skip
  assert "exposure bits" in report.text(page, result.rows, result.about)


@pytest.mark.parametrize(
  ("change", "said"),
  [
    ({"doses": (0, 5000)}, "dose=5000: the class has 142"),
    ({"target": 11}, "target=11"),
    ({"patterns": ("S7",)}, "did you mean 'S"),
    ({"patterns": ()}, "patterns is empty"),
    ({"question": "doses"}, "did you mean 'dose'"),
    ({"doses": (0,)}, "one above 0"),
    ({"mitigations": {"group_dro": (1.0,)}}, "weighs groups"),
    ({"initialisation": "torch"}, "pytorch or model"),
  ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(change, said):
  with pytest.raises(BadInput, match=said) as refused:
    study(Run(config(**change)))
  assert "\n" not in str(refused.value)


def test_one_seed_has_no_interval_and_a_table_no_images():
  with pytest.raises(BadInput, match="at least 2"):
    study(Run(config() | {"seeds": 1}))
  with pytest.raises(BadInput, match="expected images"):
    study(Run(config() | {"dataset": {"name": "breast_cancer"}}))
  with pytest.raises(BadInput, match="at least 2"):
    study(Run(config(question="unique", patterns=("A",), doses=(1,))))


def test_initial_weights_are_those_of_pytorch():
  asked = config()
  _, world = settings.world(asked, settings.Settings(**asked["memorise"]))
  params, _ = world.model.init(jax.random.key(0), world.x_N[:2])
  for layer, inputs in (("fc1", 64), ("logits", 32)):
    for leaf in params[layer].values():
      assert float(abs(leaf).max()) <= inputs**-0.5
    assert float(params[layer]["kernel"].std()) == pytest.approx(
      (3 * inputs) ** -0.5, rel=0.1
    )


# ---- the published studies -------------------------------------------------------------


def named(config, monkeypatch):
  monkeypatch.delenv("OVL_DATA", raising=False)
  _load.cache_clear()
  return experiment.named([f"--config={config}"], "memorise")[0].to_dict()


@pytest.mark.parametrize(
  ("config", "parameters"),
  [
    ("rare_spurious_mnist", 335_114),
    ("rare_spurious_fashion", 335_114),
    ("unique_feature_mnist", 535_818),
  ],
)
def test_networks_have_the_published_number_of_parameters(config, parameters, monkeypatch):
  asked = named(config, monkeypatch)
  model = load("models", classes=10, **asked["model"])
  shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 28, 28, 1)))[0]
  assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == parameters


@pytest.mark.parametrize(
  "config", ["rare_spurious_mnist", "rare_spurious_fashion", "unique_feature_mnist"]
)
def test_published_studies_run_on_a_stand_in_and_say_so(config, monkeypatch):
  asked = named(f"{config}:smoke", monkeypatch)
  result = study(Run(asked))
  folder = "fashion-mnist" if "fashion" in config else "mnist"
  assert result.about.notes[0].startswith(f"Not the images of {folder}:")
  assert {row.dataset for row in result.rows} == {asked["dataset"]["name"]}
  accuracy = pick(result.rows, metric="task_accuracy", seed=None)
  assert min(row.value for row in accuracy) > 0.7
  if config.startswith("rare"):
    # The image is the only difference between twins; so loud a pattern is learnt.
    excess = pick(result.rows, metric="excess_spurious_score", attribute="R3")
    (planted,) = (row for row in excess if row.subject == "planted")
    assert planted.value > 0.2


def test_pixels_are_normalised_after_painting():
  """A network of raw pixels is that of normalised ones, patterns and all."""
  x = np.random.default_rng(0).uniform(size=(5, 28, 28, 1)).astype(np.float32)
  raw = load("models", "mlp", classes=3, hidden=(7,), mean=0.1307, std=0.3081)
  plain = load("models", "mlp", classes=3, hidden=(7,))
  params, state = plain.init(jax.random.key(0), x)
  pattern = plant.named("A", x.shape[1:])
  scaled = plant.normalised(pattern, 0.1307, 0.3081)
  one = raw.apply(params, state, plant.paint(pattern, x))[0]
  other = plain.apply(params, state, plant.paint(scaled, (x - 0.1307) / 0.3081))[0]
  np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
  with pytest.raises(BadInput, match=r"model.std=0"):
    load("models", "mlp", std=0.0)
