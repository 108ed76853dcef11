"""Pooling, projection and streaming of activations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ovl import load, mesh, pooling, rng, taps
from ovl.types import BadInput, Model

GEN = np.random.default_rng(0)


def test_flat_and_narrow_is_left_alone():
  z = GEN.normal(size=(5, 12)).astype(np.float32)
  np.testing.assert_array_equal(pooling.reduce("t", jnp.asarray(z), 512), z)


@pytest.mark.parametrize("shape", [(14, 14, 16), (7, 5, 9), (30, 4), (3, 3, 3, 2)])
def test_inner_axes_are_averaged_by_the_finest_window_that_fits(shape):
  z = GEN.normal(size=(2, *shape)).astype(np.float32)
  width = pooling.reduced_width(shape, 64)
  out = np.asarray(pooling.reduce("t", jnp.asarray(z), 64))
  assert out.shape == (2, width)
  assert width <= 64
  # The naive twin: means of the blocks, short at the far edge.
  for window in range(1, max(shape)):
    edges = [range(0, n, window) for n in shape[:-1]]
    if np.prod([len(e) for e in edges]) * shape[-1] <= 64:
      break
  twin = z
  for axis, starts in enumerate(edges, 1):
    blocks = [twin.take(range(a, min(a + window, twin.shape[axis])), axis) for a in starts]
    twin = np.stack([b.mean(axis) for b in blocks], axis)
  np.testing.assert_allclose(out, twin.reshape(2, -1), rtol=1e-5, atol=1e-6)


def test_what_is_still_too_wide_is_projected_alike_for_equal_names():
  z = jnp.asarray(GEN.normal(size=(200, 3000)), jnp.float32)
  one, two, other = (pooling.reduce(n, z, 128) for n in ("fc", "fc", "fc2"))
  assert one.shape == (200, 128)
  np.testing.assert_array_equal(one, two)
  assert not np.allclose(one, other)
  # Lengths survive a Gaussian projection on average.
  ratio = np.square(one).sum(1) / np.square(z).sum(1)
  assert ratio.mean() == pytest.approx(1, abs=0.05)


def test_streamed_taps_equal_one_pass():
  model = load("models", "cnn", classes=2, channels=(4, 4), hidden=(8,))
  x = GEN.random((50, 8, 8, 1)).astype(np.float32)
  keys = rng.per_seed(0, 2)
  params, state = jax.vmap(lambda k: model.init(k, jnp.asarray(x[:1])))(keys)
  rows = np.stack([GEN.permutation(50)[:33] for _ in range(2)])
  found, code = taps.collect(
    model, params, state, x, rows, mesh.make(2), max_width=40, batch_size=10
  )
  assert list(found) == ["input", "conv1", "conv2", "fc1", "logits", "softmax"]
  for s in range(2):
    one = jax.tree.map(lambda leaf, s=s: leaf[s], (params, state))
    logits, named, _ = model.apply(*one, jnp.asarray(x[rows[s]]))
    np.testing.assert_array_equal(code[s], logits.argmax(1))
    for name, z in named.items():
      twin = pooling.reduce(name, z, 40)
      np.testing.assert_allclose(found[name][s], twin, rtol=1e-4, atol=1e-5)


def test_a_tap_named_input_is_refused():
  model = Model(
    lambda key, x: ((), ()), lambda p, s, x, **_: (x, {"input": x, "logits": x}, s)
  )
  with pytest.raises(BadInput, match="input"):
    taps.collect(
      model, (), (), np.ones((4, 2), np.float32), np.zeros((1, 2), int), mesh.make(1)
    )


def test_memory_mapped_arrays_are_read_by_rows(tmp_path):
  z = GEN.normal(size=(1, 300, 6, 6, 4)).astype(np.float16)
  np.save(tmp_path / "z.npy", z)
  mapped = np.load(tmp_path / "z.npy", mmap_mode="r")
  rows = GEN.permutation(300)[None, :123]
  out = taps.narrow("z", mapped, rows, 64, batch=50)
  wide = z[0, rows[0]].astype(float)
  wide = (wide - wide.mean(0)) / np.sqrt(np.square(wide - wide.mean(0)).mean())
  twin = pooling.reduce("z", jnp.asarray(wide, jnp.float32), 64)
  np.testing.assert_allclose(out[0], twin, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
  ("scale", "offset"), [(1e-13, 0.0), (1e20, 0.0), (1e-200, 0.0), (1.0, 1e7)]
)
def test_neither_unit_nor_offset_of_activations_matters(scale, offset):
  z = GEN.normal(size=(2, 80, 3)) * np.array([1.0, 5.0, 0.2])
  rows = np.stack([GEN.permutation(80)[:50]] * 2)
  plain = taps.narrow("z", z, rows, 8)
  np.testing.assert_allclose(
    taps.narrow("z", scale * z + offset, rows, 8), plain, rtol=1e-4, atol=1e-5
  )
