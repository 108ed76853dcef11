"""What is said to prevent memorisation: known answers of each, and what none is called."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ovl import load
from ovl.types import BadInput

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
