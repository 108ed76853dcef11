"""Pooling, projection and streaming of activations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, roc_auc_score

import ovl
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


# ---- wide taps ---------------------------------------------------------------------------


@pytest.mark.parametrize(
  ("shape", "max_width", "width"),
  [
    ((4096,), None, 4096),  # as it is
    ((768,), None, 768),
    ((768,), 512, 512),
    ((5000,), None, 4096),
    ((8, 8, 32), None, 512),  # maps are pooled to 512
    ((128, 768), None, 768),  # or to one position
    ((7, 7, 2048), None, 2048),
    ((12, 12, 16), 1024, 576),  # or to what somebody says
    ((12, 12, 16), 4096, 2304),
  ],
)
def test_what_is_read_of_a_wide_tap(shape, max_width, width):
  assert pooling.reduced_width(shape, max_width) == width
  z = GEN.normal(size=(3, *shape)).astype(np.float32)
  assert pooling.reduce("z", z, max_width).shape == (3, width)


def spectrum(N, D, power=0.6):
  """Rows whose columns are mixed and whose spectrum falls."""
  turn = np.linalg.qr(GEN.normal(size=(D, D)))[0]
  return (GEN.normal(size=(N, D)) * np.arange(1, D + 1) ** -power) @ turn


def projected(z, probe, max_width):
  project = pooling.leading("z", lambda: np.array_split(z[:probe], 3), probe, max_width)
  return project(z)


def standard(z, probe):
  return (z - z[:probe].mean(0)) / z[:probe].std(0)


def test_with_few_rows_a_ridge_finds_in_their_span_what_it_finds_in_all_columns():
  z, s = spectrum(400, 120), GEN.normal(size=400)
  s += z @ GEN.normal(size=120)
  near = projected(z, 60, 64)
  assert near.shape == (400, 60)
  whole = Ridge(alpha=10.0).fit(standard(z, 60)[:60], s[:60])
  part = Ridge(alpha=10.0).fit(near[:60], s[:60])
  np.testing.assert_allclose(
    part.predict(near[60:]), whole.predict(standard(z, 60)[60:]), atol=2e-3
  )


def test_with_many_rows_the_leading_directions_stay_and_are_not_whitened():
  z = spectrum(900, 160)
  x, near = standard(z, 600), projected(z, 600, 40)
  assert near.shape == (900, 40)
  best = np.linalg.svd(x[:600], compute_uv=False)[:40]
  kept = np.square(near[:600]).sum() / np.square(best).sum()
  assert 0.97 < kept < 1 + 1e-5
  sizes = np.linalg.svd(near[:600], compute_uv=False)
  np.testing.assert_allclose(sizes[:8], best[:8], rtol=0.02)  # lengths are kept
  assert np.ptp(np.log(near[:600].std(0))) < np.log(4)  # components: a factor of 9 here
  np.testing.assert_array_equal(near, projected(z, 600, 40))


@pytest.mark.parametrize("probe", [30, 90])
def test_directions_are_chosen_by_rows_that_are_learned_from(probe):
  z = spectrum(200, 80)[None]
  rows = GEN.permutation(200)[None]
  other = z.copy()
  other[0, rows[0, probe:]] = GEN.normal(size=(200 - probe, 80)) * np.linspace(0, 3, 80)
  one, two = (taps.narrow("z", x, rows, 50, probe=probe)[0, :probe] for x in (z, other))
  np.testing.assert_allclose(one, two, atol=1e-3)


def test_given_activations_are_read_when_they_are_asked_for():
  z = GEN.normal(size=(2, 90, 7))
  rows = np.stack([GEN.permutation(90)[:70] for _ in range(2)])
  given = taps.Given("z", z, rows, 5, 40, batch=32)
  assert (given.shape, given.whole) == ((2, 70, 5), 7)
  np.testing.assert_array_equal(given, taps.narrow("z", z, rows, 5, 32, 40))
  z[1] *= -1  # nothing has been kept
  assert not np.allclose(np.asarray(given)[1], taps.narrow("z", -z, rows, 5, 32, 40)[1])


# ---- wide taps in an audit ---------------------------------------------------------------


def wide(N, D, units=4, step=0.5):
  s = GEN.integers(0, 2, N)
  z = GEN.normal(size=(N, D)).astype(np.float32)
  z[:, :units] += step * np.where(s, 1, -1)[:, None]
  return z, s


def the(found, metric):
  (row,) = (
    r
    for r in found.rows
    if (r.subject, r.metric, r.setting) == ("trained", metric, "") and r.num_seeds
  )
  return row


def test_as_wide_as_a_hidden_state_is_read_as_scikit_learn_reads_it():
  z, s = wide(2000, 768)
  split = np.repeat(["probe", "stop", "test"], [600, 200, 1200])
  found = ovl.audit({"h": z}, {"s": s}, critics="linear", split=split)
  auc = the(found, "auc")
  x = standard(z, 600)
  peers = [
    LogisticRegression(C=C, max_iter=1000).fit(x[:600], s[:600])
    for C in (1e-4, 1e-3, 0.01, 0.1, 1)
  ]
  best = min(peers, key=lambda m: log_loss(s[600:800], m.predict_proba(x[600:800])))
  theirs = roc_auc_score(s[800:], best.decision_function(x[800:]))
  assert auc.width == 768
  assert auc.value >= theirs - 0.01
  assert theirs > 0.75
  assert not [row for row in found.rows if row.metric == "columns"]
  assert "columns" not in found.table()


def test_a_tap_of_which_columns_were_lost_is_marked_everywhere(tmp_path):
  z, s = wide(400, 1200, step=1.5)
  pooled = GEN.normal(size=(400, 9, 9, 8)).astype(np.float32)
  found = ovl.audit(
    {"wide": z, "map": pooled, "narrow": z[:, :9]}, {"s": s}, critics="linear", max_width=80
  )
  rows = {row.layer: row for row in found.rows if row.metric == "columns"}
  assert {name: (row.width, row.value) for name, row in rows.items()} == {
    "wide": (80, 1200),
    "map": (72, 648),
  }
  lines = found.table().splitlines()
  assert sum("80 of 1,200" in line for line in lines) == 1
  assert sum("72 of 648" in line for line in lines) == 1
  page = found.report(tmp_path).read_text()
  assert "80 of 1,200</td>" in page
  svg = (tmp_path / "plots" / "heatmap.svg").read_text()
  assert "80 of 1,200 columns" in svg
  assert svg.count(" columns<") == 2
  rates = {row.layer: row for row in found.rows if row.metric == "auc" and row.num_seeds}
  assert {name: rates[name].width for name in ("wide", "map", "narrow")} == {
    "wide": 80,
    "map": 72,
    "narrow": 9,
  }


def test_nothing_is_read_of_a_tap_that_knows_nothing_however_wide():
  z, _ = wide(700, 900)
  found = ovl.audit({"z": z}, {"s": GEN.integers(0, 2, 700)}, critics="linear")
  assert the(found, "share_beyond_task").verdict == "no evidence"
  assert the(found, "auc").value == pytest.approx(0.5, abs=0.09)
