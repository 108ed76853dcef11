"""Data and networks that do not lie in device memory as a whole: the same results."""

import jax
import numpy as np
import pytest

from ovl import fit, load, mesh, rng, taps
from ovl.fit import ahead, chunks
from ovl.fit.rehearse import Asked
from ovl.types import BadInput

GEN = np.random.default_rng(0)
X = GEN.normal(size=(160, 6)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int32)
ROWS = np.stack([GEN.permutation(160)[:120] for _ in range(4)])
MODEL = load("models", "mlp", classes=2, hidden=(8, 4))


def nets(x=X, model=MODEL, aim=fit.Objective(), directory=None, **settings):  # noqa: B008
  asked = fit.Settings(**({"epochs": 3, "batch_size": 30} | settings))
  key_S = rng.per_seed(0, 4)
  return fit.fit(model, x, Y, ROWS, key_S, asked, mesh.make(4), directory, objective=aim)


def same(one, other, most=0.0):
  for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=0, atol=most)


@pytest.fixture(scope="module")
def whole():
  return nets()


def test_streamed_batches_are_those_of_device_memory(whole, tmp_path):
  same(nets(stream="on").params, whole.params)
  np.save(tmp_path / "x.npy", X)
  same(nets(np.load(tmp_path / "x.npy", mmap_mode="r"), stream="on").params, whole.params)


def test_streamed_rows_keep_their_place_and_their_weights():
  """Masks and targets of a lane are by place in the data set, not in the batch."""
  mask = GEN.random((4, 160)) < 0.7
  aim = fit.Objective(lanes=fit.Lanes(mask=mask, targets=np.stack([Y, 1 - Y, Y, 1 - Y])))
  same(nets(aim=aim, stream="on").params, nets(aim=aim).params)


def test_taps_of_data_that_fill_a_device_are_the_same(whole, monkeypatch):
  args = (MODEL, whole.params, whole.state, X, ROWS, mesh.make(4))
  kept = taps.collect(*args, batch_size=50)
  monkeypatch.setattr(mesh, "memory", lambda grid: 100.0)
  streamed = taps.collect(*args, batch_size=50)
  same(streamed, kept)


def test_parts_of_the_networks_one_after_another_are_all_of_them(whole, tmp_path):
  aim = fit.Objective(
    weights={"learning_rate": np.array([1.0, 0.5, 0.0, 2.0], np.float32)},
    snapshots=(1, 7),
  )
  kept, parts = nets(aim=aim), nets(aim=aim, lanes=2, directory=tmp_path)
  assert {path.name for path in tmp_path.iterdir()} == {"lanes-0", "lanes-2"}
  for name in ("params", "first_params", "opt", "alive", "snapshots"):
    same(getattr(parts, name), getattr(kept, name), 1e-6)
  same(nets(aim=aim, lanes=3).params, kept.params, 1e-6)  # the last part is smaller


def test_as_many_networks_as_memory_holds(monkeypatch):
  """What two compiled programs say is what a program of that many needs."""
  asked = Asked(MODEL, X, Y, ROWS, rng.per_seed(0, 4), fit.Settings(batch_size=30),
                fit.Objective())  # fmt: skip
  grid = mesh.make(4)
  sizes = [ahead.peak(ahead.compiled(asked, grid, n)[0]) for n in (1, 2, 3, 4)]
  assert sizes == sorted(sizes)
  for n in (1, 2, 3):
    monkeypatch.setattr(mesh, "memory", lambda _, n=n: sizes[n - 1] / chunks.ROOM + 8.0)
    assert abs(chunks.most(asked, grid) - n) <= (n > 2), n
  monkeypatch.setattr(mesh, "memory", lambda _: sizes[0] / 2)
  with pytest.raises(BadInput, match="one network needs"):
    chunks.most(asked, grid)
  monkeypatch.setattr(mesh, "memory", lambda _: None)
  assert chunks.most(asked, grid) == 4


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_half_precision_is_close_and_leaves_float32(model):
  x = GEN.random((160, 8, 8, 1)).astype(np.float32)
  net = load("models", model, classes=2, hidden=(8,))
  full, half = nets(x, net), nets(x, net, precision="bf16")
  assert {leaf.dtype for leaf in jax.tree.leaves(half.params)} == {np.dtype(np.float32)}
  moved = [
    float(np.abs(np.asarray(a) - np.asarray(b)).max())
    for a, b in zip(*map(jax.tree.leaves, (full.params, half.params)), strict=True)
  ]
  assert 0 < max(moved) < 0.1


def test_half_precision_by_stages_is_half_precision():
  """Cut into modules or not, what the critics see is the same."""
  half = fit.precision.of(MODEL, "bf16")
  params, state = half.init(jax.random.key(0), X[:2])
  logits, named, _ = half.apply(params, state, X)
  h = X
  for stage in half.stages:
    h, _ = stage.apply(params, state, h)
    assert h.dtype == np.float32
    np.testing.assert_allclose(h, named[stage.name], atol=0.02)
  assert logits.dtype == np.float32


@pytest.mark.parametrize(
  "bad", [{"precision": "bf15"}, {"stream": "yes"}, {"lanes": -1}, {"keep": 0}]
)
def test_bad_settings_are_refused(bad):
  with pytest.raises(BadInput, match=f"fit.{next(iter(bad))}"):
    fit.Settings(**bad)


def test_streamed_batches_are_shared_evenly_or_refused():
  from ovl.fit.source import source

  class Grid:
    shape = {"seed": 1, "data": 4}  # noqa: RUF012
    devices = mesh.make(1).devices

  with pytest.raises(BadInput, match=r"fit.batch_size=30: mesh.data=4"):
    source((X, Y, {}), {}, Grid, "on", 30)
