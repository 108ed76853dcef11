"""How axes are read, and rows that are there more than once."""

import ml_dtypes
import numpy as np
import pytest
from scipy import special
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

import ovl
from ovl.arrays import arrays, read
from ovl.inputs import layout
from ovl.inputs.repeats import Repeats, repeats
from ovl.types import BadInput

GEN = np.random.default_rng(0)
N = 40
SEX = np.arange(N) % 2


def tap(*shape):
  return GEN.normal(size=(N, *shape)).astype(np.float32)


def oriented(channels="auto", **shapes):
  taps = {name: tap(*shape)[None] for name, shape in shapes.items()}
  return layout.oriented(taps, channels)


@pytest.mark.parametrize(
  ("shape", "channels", "expected", "asked"),
  [
    ((6, 5, 5), "auto", (5, 5, 6), False),
    ((5, 5, 6), "auto", (5, 5, 6), False),
    ((5, 5, 5), "auto", (5, 5, 5), True),
    ((3, 4, 5), "auto", (3, 4, 5), True),
    ((3, 4, 5), "first", (4, 5, 3), False),
    ((6, 5, 5), "last", (6, 5, 5), False),
    ((6, 4, 5, 5), "auto", (4, 5, 5, 6), False),
    ((4, 5, 5, 6), "auto", (4, 5, 5, 6), False),
    ((4, 5), "auto", (4, 5), False),
    ((4, 5), "first", (5, 4), False),
    ((7,), "first", (7,), False),
  ],
)
def test_channels_are_put_last(shape, channels, expected, asked):
  found, notes, questions = oriented(channels, z=shape)
  assert found["z"].shape == (1, N, *expected)
  assert bool(questions) == asked
  assert all("taps/z [N, " in said for said in notes + questions)


def test_axes_are_moved_and_not_reshaped():
  z = tap(6, 5, 5)
  found = arrays({"conv": z}, {"sex": SEX})
  np.testing.assert_array_equal(found.taps["conv"][0, :, 1, 2, 3], z[:, 3, 1, 2])
  assert np.shares_memory(found.taps["conv"], z)
  assert "channels first" in found.notes[0]


def test_what_a_shape_does_not_tell_the_others_do():
  first, _, asked = oriented(a=(8, 4, 4), b=(5, 5, 5), c=(3, 4, 5))
  assert first["c"].shape == (1, N, 4, 5, 3)
  assert len(asked) == 2
  last, _, _ = oriented(a=(4, 4, 8), b=(3, 4, 5))
  assert last["b"].shape == (1, N, 3, 4, 5)
  mixed, _, asked = oriented(a=(4, 4, 8), b=(8, 4, 4), c=(3, 4, 5))
  assert mixed["c"].shape == (1, N, 3, 4, 5)
  assert len(asked) == 1


def test_twins_are_read_alike():
  z = tap(6, 5, 5)
  found = arrays({"conv": z}, {"sex": SEX}, untrained={"conv": -z})
  np.testing.assert_array_equal(found.untrained["conv"], -found.taps["conv"])


def test_sequences_are_said_to_be_of_one_model():
  found = arrays({"enc": tap(4, 5)}, {"sex": SEX})
  (said,) = found.notes
  assert said.startswith("taps/enc [N, 4, 5] is read as 4 positions of 5 features, of one")
  models = arrays({"enc": np.stack([tap(5), tap(5)])}, {"sex": SEX}, seeds=(0, 1))
  assert models.taps["enc"].shape == (2, N, 5)
  assert models.notes == ()


def pool_twin(z_NTD, real_NT, word):
  out = []
  for z_TD, real_T in zip(z_NTD, real_NT, strict=True):
    held = [row for row, real in zip(z_TD, real_T, strict=True) if real]
    out.append({"mean": np.mean(held, 0), "last": held[-1], "first": held[0]}[word])
  return np.array(out)


@pytest.mark.parametrize("side", ["right", "left", "holes"])
@pytest.mark.parametrize("chunk", [1 << 22, 21])
def test_pooling_reads_real_positions_alone(side, chunk, monkeypatch):
  monkeypatch.setattr(layout, "CHUNK", chunk)
  real = np.arange(4) < GEN.integers(1, 5, N)[:, None]
  real = real[:, ::-1] if side == "left" else real
  real = np.roll(real, 1, 1) if side == "holes" else real
  z = tap(4, 5)
  z[~real] = np.nan  # what is padded may be anything
  given = arrays(
    {"enc": z, "fc": tap(3)}, {"sex": SEX}, mask=real.astype(int),
    pool=("mean", "last", "first"), untrained={"enc": -z},
  )  # fmt: skip
  assert list(given.taps) == ["enc.mean", "enc.last", "enc.first", "fc"]
  for word in ("mean", "last", "first"):
    expected = pool_twin(z, real, word)
    np.testing.assert_allclose(given.taps[f"enc.{word}"][0], expected, atol=1e-6)
    np.testing.assert_allclose(given.untrained[f"enc.{word}"][0], -expected, atol=1e-6)
  alone = arrays({"enc": z}, {"sex": SEX}, mask={"enc": real})
  np.testing.assert_array_equal(alone.taps["enc"], given.taps["enc.mean"])
  if side == "right":
    short = arrays({"enc": z}, {"sex": SEX}, lengths=real.sum(1))
    np.testing.assert_array_equal(short.taps["enc"], given.taps["enc.mean"])


def test_masks_of_files(tmp_path):
  real = np.arange(4) < GEN.integers(1, 5, N)[:, None]
  z = tap(4, 5)
  expected = pool_twin(z, real, "last")
  parts = {"taps/enc": z, "attributes/sex": SEX}
  for name, more in (
    ("named", {"mask/enc": real}), ("all", {"mask": real}),
    ("long", {"lengths": real.sum(1)}),
  ):  # fmt: skip
    np.savez(tmp_path / f"{name}.npz", **parts, **more)
    found = read(tmp_path / f"{name}.npz", pool="last")
    np.testing.assert_allclose(found.taps["enc"][0], expected)
  for place in ("taps", "mask"):
    (tmp_path / place).mkdir()
  np.save(tmp_path / "taps" / "enc.npy", z)
  np.save(tmp_path / "mask" / "enc.npy", real)
  (tmp_path / "attributes.csv").write_text("sex\n" + "\n".join(map(str, SEX)))
  np.testing.assert_allclose(read(tmp_path, pool="last").taps["enc"][0], expected)


@pytest.mark.parametrize(
  ("change", "says"),
  [
    ({"channels": "frist"}, "channels='frist' is unknown; did you mean 'first'"),
    ({"pool": "men"}, "pool='men' is unknown; did you mean 'mean'"),
    ({"mask": {"ecn": SEX}}, "mask/ecn has no tap; did you mean 'enc'"),
    ({"mask": np.ones((N, 3))}, r"mask/enc has shape \(40, 3\), expected \[40, 4\]"),
    ({"mask": np.full((N, 4), 2)}, "mask/enc .* of 0 and 1"),
    ({"mask": np.eye(N, 4)}, "mask/enc has no real position in 36 rows"),
    ({"lengths": np.zeros(N, int)}, "lengths has shape .* 0 to 0; expected .* 1 to 4"),
    ({"lengths": [1, 2]}, "lengths has shape"),
    ({"lengths": [1] * N, "mask": np.ones((N, 4))}, "mask and lengths are both given"),
    ({"taps": {"fc": tap(3)}, "pool": "last"}, "mask, lengths and pool are for taps"),
  ],
)
def test_bad_reading_is_named(change, says):
  given = {"taps": {"enc": tap(4, 5)}, "attributes": {"sex": SEX}} | change
  with pytest.raises(BadInput, match=f"^{says}"):
    arrays(**given)


# ---- rows that are there more than once ------------------------------------------------


def many(M=300, times=4, width=12, noise=0.0):
  z = np.repeat(GEN.normal(size=(M, width)), times, 0)
  return (z + noise * GEN.normal(size=z.shape)).astype(np.float32)


def pairs_twin(z):
  """Rows with an earlier row nearer than a thousandth of the spread."""
  z = z / z.std(0)
  return sum(np.abs(z[:i] - z[i]).max(1).min() < 1e-3 for i in range(1, len(z)))


def test_copies_are_counted():
  z = many()
  assert repeats([z]) == Repeats(1200, 900, 0)
  assert pairs_twin(z) == 900
  assert "900 of 1,200 rows are copies of an earlier row" in str(repeats([z]))
  assert repeats([z, GEN.normal(size=(1200, 2))]).exact == 0  # another tap tells them apart


@pytest.mark.parametrize("unit", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("width", [1, 12])
def test_copies_are_counted_in_any_unit(unit, width):
  z = many(width=width).astype(float) * unit
  assert repeats([z]).exact == 900
  assert repeats([z], np.repeat(np.arange(300), 4)).exact == 0


def test_near_copies_are_counted():
  z = many(noise=1e-5)
  found = repeats([z])
  assert found.exact == 0
  assert found.near == pytest.approx(pairs_twin(z), abs=90)
  assert "near copies" in str(found)


def test_copies_inside_of_a_group_are_no_news():
  z, who = many(), np.repeat(np.arange(300), 4)
  assert str(repeats([z], who)) == ""
  assert repeats([z], np.arange(1200) // 2).exact == 300


@pytest.mark.parametrize(
  "z",
  [
    GEN.normal(size=(2000, 8)),
    GEN.normal(size=(2000, 1)),
    GEN.normal(size=(2000, 1)) @ GEN.normal(size=(1, 8)),
    GEN.normal(size=(2000, 2)) @ GEN.normal(size=(2, 8)),
    np.eye(50)[GEN.integers(0, 50, 2000)],
    GEN.poisson(2.0, (2000, 2)),
    GEN.normal(size=(2000, 1)).round(1),
    np.where(GEN.random((2000, 1)) < 0.5, 0.1234567, GEN.normal(size=(2000, 4))),
    np.zeros((2000, 3)),
    special.softmax(60 * GEN.normal(size=(2000, 2)), 1),
    special.softmax(20 * GEN.normal(size=(2000, 10)), 1),
    GEN.normal(size=(2000, 1)).astype(np.float16),
    GEN.normal(size=(2000, 1)).astype(ml_dtypes.bfloat16).astype(float),
    GEN.normal(size=(2000, 4)) * 1e300,
    GEN.normal(size=(2000, 4)) * 1e-300,
  ],
  ids=[
    "8",
    "1",
    "rank1",
    "rank2",
    "onehot",
    "counts",
    "rounded",
    "dead",
    "zero",
    "sure",
    "saturated",
    "float16",
    "bfloat16",
    "large",
    "tiny",
  ],
)
def test_rows_that_are_alike_by_chance_are_no_copies(z):
  assert str(repeats([z])) == ""


def test_wide_and_long_taps_are_read_in_parts(monkeypatch):
  monkeypatch.setattr("ovl.inputs.repeats.CHUNK", 50)
  monkeypatch.setattr("ovl.inputs.repeats.WIDEST", 5)
  assert repeats([many(50)]).exact == 150


def test_audit_and_mi_say_that_rows_are_copies(tmp_path):
  z, coin = many(100), np.repeat(GEN.integers(0, 2, 100), 4)
  with pytest.warns(UserWarning, match="300 of 400 rows are copies"):
    found = ovl.audit({"fc": z}, {"coin": coin}, critics="linear")
  assert "note: 300 of 400 rows are copies" in found.table()
  page = found.report(tmp_path).read_text()
  assert "300 of 400 rows are copies" in page
  with pytest.warns(UserWarning, match="300 of 400 rows are copies"):
    guess = ovl.mutual_information(z, coin, "linear")
  assert guess.flag != "reliable"


# ---- from one end to the other ---------------------------------------------------------


def share_of(found, layer="conv"):
  return next(
    row for row in found.rows
    if (row.metric, row.subject, row.layer) == ("share_beyond_task", "trained", layer)
    and row.num_seeds
  )  # fmt: skip


def test_conv_maps_read_alike_in_both_layouts():
  rows = 600
  s = GEN.integers(0, 2, rows)
  last = GEN.normal(size=(rows, 6, 6, 64)).astype(np.float32)
  last[..., 3] += (0.5 * (2 * s - 1))[:, None, None]
  found = [
    share_of(ovl.audit({"conv": z}, {"s": s}, critics="linear", max_width=64))
    for z in (last, np.moveaxis(last, -1, 1).copy())
  ]
  assert found[0] == found[1]
  assert found[0].verdict == "leaks"
  # The mean over space is all there is: what a logistic regression reads of it.
  half = rows // 2
  mean = last.mean((1, 2))
  model = LogisticRegression(max_iter=1000).fit(mean[:half], s[:half])
  assert roc_auc_score(s[half:], model.decision_function(mean[half:])) > 0.95
