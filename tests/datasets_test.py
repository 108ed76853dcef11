import gzip
import os
import pathlib

import numpy as np
import pytest

from ovl.datasets import _colour
from ovl.load import _load, load, names
from ovl.types import BadInput

NAMES = names("datasets")
REAL = os.environ.get("OVL_DATA")
SHARED = pathlib.Path(__file__).parents[2] / "shared/data"  # beside the checkout, maybe


def folder_of(name):
  """Where real files of a data set lie, or None."""
  roots = [pathlib.Path(REAL)] if REAL else []
  return next((r for r in (*roots, SHARED) if (r / name).is_dir()), None)


@pytest.fixture(autouse=True)
def _no_data(monkeypatch):
  monkeypatch.delenv("OVL_DATA", raising=False)
  _load.cache_clear()


@pytest.mark.parametrize("name", NAMES)
def test_parts_fit_together(name):
  data = load("datasets", name)
  assert data.name == name
  rows = len(data.x)
  assert data.x.dtype == np.float32
  assert np.isfinite(data.x).all()
  assert np.abs(data.x).max() < 20  # a sensible scale to train on
  assert data.y.shape == data.ids.shape == (rows,)
  assert data.y.dtype == np.int32
  assert set(data.y) == set(range(len(data.labels)))
  assert len(np.unique(data.ids)) == rows
  assert data.groups is None or data.groups.shape == (rows,)
  assert data.split is None or data.split.shape == (rows,)
  assert data.attributes
  for attribute in data.attributes.values():
    assert attribute.values.shape[:1] == (rows,)
    assert attribute.values.ndim == (2 if attribute.kind == "vector" else 1)
    if attribute.kind == "discrete":
      assert attribute.values.dtype == np.int32
      assert set(attribute.values) - {-1} == set(range(len(attribute.labels)))
    else:
      assert attribute.values.dtype == np.float64
      assert np.isfinite(attribute.values).any()


@pytest.mark.parametrize("name", NAMES)
def test_a_second_reading_is_equal(name):
  one = load("datasets", name)
  _load.cache_clear()
  two = load("datasets", name)
  assert one is not two
  np.testing.assert_array_equal(one.x, two.x)
  np.testing.assert_array_equal(one.y, two.y)
  for key in one.attributes:
    np.testing.assert_array_equal(one.attributes[key].values, two.attributes[key].values)


def test_digits_tasks_and_attributes():
  half = load("datasets", "digits")
  assert half.x.shape == (1797, 8, 8, 1)
  assert (half.x.min(), half.x.max()) == (0, 1)
  digit = half.attributes["identity"].values
  np.testing.assert_array_equal(half.y, digit >= 5)
  np.testing.assert_array_equal(half.y, half.attributes["half"].values)
  np.testing.assert_array_equal(half.attributes["parity"].values, digit % 2)
  assert abs(half.attributes["ink"].values.mean() - 0.5) < 0.02
  assert abs(half.attributes["coin"].values.mean() - 0.5) < 0.04
  assert abs(np.corrcoef(half.attributes["coin"].values, half.y)[0, 1]) < 0.06
  digits = load("datasets", "digits", task="digit")
  np.testing.assert_array_equal(digits.y, digit)
  parity = load("datasets", "digits", task="parity")
  np.testing.assert_array_equal(parity.y, digit % 2)
  with pytest.raises(BadInput, match=r"dataset.task='odd'.*half, parity, digit"):
    load("datasets", "digits", task="odd")


def correlations(x, column):
  return [abs(np.corrcoef(x[:, d], column)[0, 1]) for d in range(x.shape[1])]


def test_removed_columns_are_not_in_the_input():
  from sklearn.datasets import load_breast_cancer

  diabetes = load("datasets", "diabetes")
  assert diabetes.x.shape == (442, 8)
  for name in ("sex", "age"):
    assert max(correlations(diabetes.x, diabetes.attributes[name].values)) < 0.6
  assert diabetes.attributes["age"].kind == "continuous"
  raw = load_breast_cancer()
  cancer = load("datasets", "breast_cancer")
  assert cancer.x.shape == (569, 27)
  for d in np.flatnonzero(["texture" in name for name in raw.feature_names]):
    assert max(correlations(cancer.x, raw.data[:, d])) < 0.9
  assert cancer.labels[cancer.y[0]] == raw.target_names[raw.target[0]]
  above = raw.data[:, 1] > np.median(raw.data[:, 1])
  np.testing.assert_array_equal(cancer.attributes["texture"].values, above)


def test_made_up_writers_say_so():
  data = load("datasets", "mnist_writers")
  assert "made-up" in data.note
  assert data.x.shape == (1797, 28, 28, 1)
  assert len(np.unique(data.groups)) == 60
  group = data.attributes["writer_group"].values
  for writer in range(60):
    assert len(set(group[data.groups == writer])) == 1
  assert abs(np.corrcoef(group, data.y)[0, 1]) < 0.1
  assert len(load("datasets", "mnist_writers", limit=100).x) == 100
  with pytest.raises(BadInput, match=r"dataset.limit=0"):
    load("datasets", "mnist_writers", limit=0)


def write_idx(path, values, packed):
  kind = {"u": 8, "i": 12}[values.dtype.kind]
  head = bytes([0, 0, kind, values.ndim]) + np.array(values.shape, ">i4").tobytes()
  path.parent.mkdir(exist_ok=True)
  raw = head + values.tobytes()
  if packed:
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(raw))
  else:
    path.write_bytes(raw)


def write_mnist(root, packed):
  images = np.arange(4 * 784, dtype=np.uint8).reshape(4, 28, 28)
  table = np.zeros((4, 8), ">i4")
  table[:, 0], table[:, 1], table[:, 2] = [3, 1, 4, 1], [0, 4, 1, 7], [90, 7, 90, 8]
  write_idx(root / "mnist/train-images-idx3-ubyte", images, packed)
  write_idx(root / "mnist/train-labels-idx1-ubyte", table[:, 0].astype("u1"), packed)
  write_idx(root / "qmnist-labels/qmnist-train-labels-idx2-int", table, packed)
  return images


@pytest.mark.parametrize("packed", [True, False])
def test_mnist_files_are_read(tmp_path, packed, monkeypatch):
  images = write_mnist(tmp_path, packed)
  monkeypatch.setenv("OVL_DATA", str(tmp_path))
  data = load("datasets", "mnist_writers")
  np.testing.assert_allclose(data.x[..., 0], images / np.float32(255))
  assert data.x.dtype == np.float32
  assert data.y.tolist() == [3, 1, 4, 1]
  assert data.attributes["writer_group"].values.tolist() == [0, 1, 0, -1]
  assert data.groups.tolist() == [2, 0, 2, 1]
  assert data.note == ""


def test_mnist_files_that_do_not_fit(tmp_path):
  def say(match):
    with pytest.raises(BadInput, match=match):
      load("datasets", "mnist_writers", data_dir=str(tmp_path))

  say("(?s)data_dir=.*train-images-idx3-ubyte.*qmnist-train-labels-idx2-int")
  write_mnist(tmp_path, packed=False)
  labels = tmp_path / "mnist/train-labels-idx1-ubyte"
  write_idx(labels, np.array([1, 1, 1, 1], np.uint8), packed=False)
  say("does not belong to the images")
  labels.write_bytes(labels.read_bytes()[:-1])
  say("train-labels-idx1-ubyte is not a whole IDX file")


@pytest.mark.skipif(not REAL, reason="OVL_DATA names no folder with MNIST")
def test_real_mnist():
  data = load("datasets", "mnist_writers", data_dir=REAL)
  assert data.x.shape == (60000, 28, 28, 1)
  assert data.y[:5].tolist() == [5, 0, 4, 1, 9]
  assert np.bincount(data.attributes["writer_group"].values).tolist() == [30950, 29050]
  assert data.groups.max() + 1 == 539


# ---- MNIST and Fashion-MNIST in their official parts --------------------------------


FOLDERS = {"mnist": "mnist", "fashion_mnist": "fashion-mnist"}


def write_parts(root, folder, packed=True):
  """Forty train and thirty test images; their codes and pixels."""
  gen, out = np.random.default_rng(0), {}
  for part, size in {"train": 40, "t10k": 30}.items():
    images = gen.integers(0, 256, (size, 28, 28)).astype("u1")
    codes = (np.arange(size) * 3 % 10).astype("u1")
    write_idx(root / f"{folder}/{part}-images-idx3-ubyte", images, packed)
    write_idx(root / f"{folder}/{part}-labels-idx1-ubyte", codes, packed)
    out[part] = images, codes
  return out


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(("name", "folder"), FOLDERS.items())
def test_official_parts_are_read(tmp_path, name, folder, packed):
  parts = write_parts(tmp_path, folder, packed)
  data = load("datasets", name, data_dir=str(tmp_path))
  assert data.note == ""
  for said, part in (("train", "train"), ("test", "t10k")):
    images, codes = parts[part]
    mine = data.split == said
    np.testing.assert_array_equal(data.x[mine][..., 0], images / np.float32(255))
    np.testing.assert_array_equal(data.y[mine], codes)
  few = load("datasets", name, data_dir=str(tmp_path), limit=25, test_limit=20)
  assert few.split.tolist() == ["train"] * 25 + ["test"] * 20
  np.testing.assert_array_equal(few.x[25:, ..., 0] * 255, parts["t10k"][0][:20])


@pytest.mark.parametrize(("name", "folder"), FOLDERS.items())
def test_official_parts_that_do_not_fit_are_refused(tmp_path, name, folder):
  def say(text, **settings):
    with pytest.raises(BadInput, match=text):
      load("datasets", name, data_dir=str(tmp_path), **settings)

  write_parts(tmp_path, folder)
  say(r"dataset.limit=19, expected at least 20", limit=19)
  say(r"dataset.test_limit=0", test_limit=0)
  gone = tmp_path / folder / "t10k-labels-idx1-ubyte.gz"
  gone.rename(tmp_path / "aside")
  say("needs, gzipped or not\n  train-images-idx3-ubyte")
  write_idx(gone.with_suffix(""), np.zeros(29, "u1"), True)
  say("t10k-images-idx3-ubyte does not belong to its labels")
  write_idx(gone.with_suffix(""), np.full(30, 10, "u1"), True)
  say("t10k-images-idx3-ubyte does not belong to its labels")


@pytest.mark.parametrize(("name", "folder"), FOLDERS.items())
def test_digits_stand_in_for_official_parts_and_say_so(name, folder):
  data = load("datasets", name)
  assert f"Not the images of {folder}" in data.note
  assert data.labels == tuple("0123456789")
  assert data.x.shape == (1797, 28, 28, 1)
  assert (data.x.min(), data.x.max()) == (0, 1)
  assert (data.split == "test").sum() == 359
  few = load("datasets", name, limit=100, test_limit=30)
  assert few.split.tolist() == ["train"] * 100 + ["test"] * 30


@pytest.mark.parametrize(
  ("name", "folder", "first"),
  [
    ("mnist", "mnist", [5, 0, 4, 1, 9]),
    ("fashion_mnist", "fashion-mnist", [9, 0, 0, 3, 0]),
  ],
)
def test_real_official_parts(name, folder, first):
  if not (root := folder_of(folder)):
    pytest.skip(f"no folder with {folder}")
  data = load("datasets", name, data_dir=str(root))
  train = data.split == "train"
  assert (train.sum(), (~train).sum()) == (60_000, 10_000)
  assert data.y[:5].tolist() == first
  # Published: .1307 and .3081 of MNIST; .2860 and .3530.
  mean, std = data.x[train].mean(), data.x[train].std()
  published = {"mnist": (0.1307, 0.3081), "fashion_mnist": (0.28604, 0.35302)}[name]
  assert (mean, std) == pytest.approx(published, abs=5e-5)


# ---- digits on coloured ground -------------------------------------------------------

MNIST_COLOURS = [  # of the Biased-MNIST of Bahng et al.
  [255, 0, 0], [0, 255, 0], [0, 0, 255], [225, 225, 0], [225, 0, 225],
  [0, 255, 255], [255, 128, 0], [255, 0, 128], [128, 0, 255], [128, 128, 128],
]  # fmt: skip


@pytest.mark.parametrize(
  ("rho", "own", "chunk"),
  [(0.99, 5940, 7), (0.995, 5970, 4), (0.997, 5982, 2), (0.999, 5994, 1), (1.0, 6000, 1)],
)
def test_counts_of_digit_and_colour_are_exact(rho, own, chunk):
  """Of 6000 of a digit: its own colour, and the rest in chunks of ceil(rest / 9)."""
  digit = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 6000))
  colour = _colour.assign(digit, rho, np.random.default_rng(1))
  table = np.zeros((10, 10), int)
  np.add.at(table, (digit, colour), 1)
  wanted, rest = [own], 6000 - own
  while len(wanted) < 10:
    wanted.append(min(chunk, rest))
    rest -= wanted[-1]
  assert rest == 0
  for k in range(10):
    assert np.roll(table[k], -k).tolist() == wanted
  # Who gets which colour is drawn, not the order of the rows.
  if rho < 1:
    other = np.flatnonzero((digit == 0) & (colour != 0))
    first = np.flatnonzero(digit == 0)[-len(other) :]
    assert set(other) != set(first)


def test_classes_of_any_size_are_coloured():
  for size in (1, 8, 9, 10, 11, 97):
    digit = np.repeat([0, 4], (size, 3))
    colour = _colour.assign(digit, 0.1, np.random.default_rng(0))
    assert ((colour >= 0) & (colour < 10)).all()
    assert (colour[digit == 0] == 0).sum() == size // 10


def test_the_ground_has_the_colour_and_the_ink_is_white():
  assert _colour.COLOURS.tolist() == MNIST_COLOURS
  assert len(set(_colour.NAMES)) == 10
  ink = np.zeros((10, 2, 2))
  ink[:, 0, 0], ink[:, 0, 1] = 1, 0.5
  x = _colour.paint(ink, np.arange(10))
  ground = np.array(MNIST_COLOURS) / 127.5 - 1
  np.testing.assert_allclose(x[:, 1, 1], ground, atol=1e-6)
  np.testing.assert_allclose(x[:, 0, 0], 1)
  np.testing.assert_allclose(x[:, 0, 1], (1 + ground) / 2, atol=1e-6)


def association(data, part):
  """Share of a part's rows whose colour is their digit's, and Cramer's V."""
  rows = data.split == part
  colour, digit = data.attributes["colour"].values[rows], data.y[rows]
  table = np.zeros((10, 10))
  np.add.at(table, (digit, colour), 1)
  expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
  chi = (np.square(table - expected) / np.maximum(expected, 1e-9)).sum()
  return (colour == digit).mean(), np.sqrt(chi / table.sum() / 9)


@pytest.mark.parametrize("name", ["colour", "biased_mnist"])
@pytest.mark.parametrize("rho", [0.9, 0.99])
def test_the_train_part_alone_is_biased(name, rho):
  data = load("datasets", name, rho=rho)
  assert set(data.split) == {"train", "probe", "stop", "test"}
  own, v = association(data, "train")
  assert own == pytest.approx(rho, abs=0.02)
  assert v > 0.8
  for part in ("probe", "test"):
    own, v = association(data, part)
    assert own == pytest.approx(0.1, abs=0.04)
    assert v < 0.15
  assert load("datasets", name, rho=rho, draw=1).split.tolist() != data.split.tolist()


@pytest.mark.parametrize("name", ["colour", "biased_mnist"])
def test_unbiased_is_unbiased_everywhere(name):
  assert association(load("datasets", name, rho=0.1), "train")[1] < 0.15


@pytest.mark.parametrize("name", ["colour", "biased_mnist"])
@pytest.mark.parametrize("rho", [0.0, 1.5, -0.1, float("nan")])
def test_rho_must_be_a_share(name, rho):
  with pytest.raises(BadInput, match=r"dataset.rho=.*expected in \(0, 1\]"):
    load("datasets", name, rho=rho)


def test_made_up_coloured_digits_say_so_and_come_in_two_sizes():
  data = load("datasets", "biased_mnist")
  assert "Not MNIST" in data.note
  assert data.x.shape == (1797, 28, 28, 3)
  ground = (data.x + 1) * 127.5
  code = data.attributes["colour"].values
  np.testing.assert_allclose(ground[:, 0, 0], _colour.COLOURS[code], atol=1e-3)
  half = load("datasets", "biased_mnist", side=14)
  assert half.x.shape == (1797, 14, 14, 3)
  means = data.x.reshape(-1, 14, 2, 14, 2, 3).mean((2, 4))
  np.testing.assert_allclose(half.x, means, atol=1e-6)
  few = load("datasets", "biased_mnist", limit=50)
  assert (few.split == "train").sum() == 50
  for bad in ({"side": 7}, {"limit": 3}):
    with pytest.raises(BadInput, match="dataset"):
      load("datasets", "biased_mnist", **bad)


def test_the_test_files_of_mnist_are_what_judges(tmp_path):
  gen = np.random.default_rng(0)
  kinds = {"train": 40, "t10k": 20}
  for name, size in kinds.items():
    digits = np.arange(size) % 10
    images = gen.integers(0, 2, (size, 28, 28)).astype("u1") * 200
    write_idx(tmp_path / f"mnist/{name}-images-idx3-ubyte", images, True)
    write_idx(tmp_path / f"mnist/{name}-labels-idx1-ubyte", digits.astype("u1"), True)
  data = load("datasets", "biased_mnist", data_dir=str(tmp_path))
  assert data.note == ""
  assert (data.split[:40] == "train").all()
  assert sorted(np.unique(data.split[40:], return_counts=True)[1]) == [2, 8, 10]
  assert set(np.unique(data.x[0])) <= {-1.0, 1.0}
  with pytest.raises(BadInput, match="train-images-idx3-ubyte"):
    load("datasets", "biased_mnist", data_dir=str(tmp_path / "mnist/none"))


@pytest.mark.skipif(not folder_of("mnist"), reason="no folder with MNIST")
def test_real_biased_mnist():
  data = load("datasets", "biased_mnist", data_dir=str(folder_of("mnist")), side=14)
  assert data.x.shape == (70_000, 14, 14, 3)
  assert np.unique(data.split, return_counts=True)[1].tolist() == [5000, 1000, 4000, 60_000]
  train = data.split == "train"
  colour = data.attributes["colour"].values
  for k in range(10):
    mine = train & (data.y == k)
    assert (colour[mine] == k).sum() == int(mine.sum() * 0.99)


# ---- adult ---------------------------------------------------------------------------


def test_made_up_persons_say_so():
  data = load("datasets", "adult")
  assert "Not UCI Adult" in data.note
  assert data.labels == ("<=50K", ">50K")
  assert data.attributes.keys() == {"sex", "race", "age"}
  assert data.attributes["age"].kind == "continuous"
  assert len(load("datasets", "adult", limit=500).x) == 500
  with pytest.raises(BadInput, match=r"dataset.limit=5:"):
    load("datasets", "adult", limit=5)


PERSON = (
  "39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, Not-in-family, "
  "{race}, {sex}, 2174, 0, 40, United-States, {income}"
)


def write_adult(root, lines):
  (root / "adult").mkdir(exist_ok=True)
  text = "\n".join(lines)
  (root / "adult/adult.data").write_text(text + "\n\n")
  tests = "\n".join(line + "." for line in lines)  # its labels end in a full stop
  (root / "adult/adult.test").write_text("|1x3 Cross validator\n" + tests + "\n")


def test_adult_files_are_read_without_sex_and_race(tmp_path):
  two = [("<=50K", "Female"), (">50K", "Male")]
  races = ("White", "Black", "Other")
  write_adult(
    tmp_path,
    [PERSON.format(race=r, sex=s, income=i) for i, s in two for r in races],
  )
  data = load("datasets", "adult", data_dir=str(tmp_path))
  assert data.note == ""
  assert data.y.tolist() == [0, 0, 0, 1, 1, 1] * 2
  assert data.attributes["sex"].labels == ("Female", "Male")
  assert data.attributes["race"].labels == ("Black", "Other", "White")
  # The persons differ in nothing but sex, race and income: the inputs in nothing at all.
  assert np.ptp(data.x, 0).max() == 0
  (tmp_path / "adult/adult.data").write_text("1, 2, 3\n")
  with pytest.raises(BadInput, match=r"adult.data:1: not a row of Adult"):
    load("datasets", "adult", data_dir=str(tmp_path), limit=100)
  (tmp_path / "adult/adult.test").unlink()
  (tmp_path / "adult/adult.data").write_text(PERSON.format(race=1, sex=2, income="<=50K"))
  with pytest.raises(BadInput, match=r"needs adult.data and adult.test"):
    load("datasets", "adult", data_dir=str(tmp_path), limit=101)


@pytest.mark.skipif(not folder_of("adult"), reason="no folder with UCI Adult")
def test_real_adult():
  root = str(folder_of("adult"))
  data = load("datasets", "adult", data_dir=root)
  assert len(data.x) == 48_842
  assert data.note == ""
  # Published: 11,687 earn more; 32,650 are men; 9 + 16 + 7 + 15 + 6 + 42 words.
  assert data.y.sum() == 11_687
  sex = data.attributes["sex"]
  assert (sex.values == sex.labels.index("Male")).sum() == 32_650
  assert sorted(data.attributes["race"].labels) == [
    "Amer-Indian-Eskimo", "Asian-Pac-Islander", "Black", "Other", "White",
  ]  # fmt: skip
  assert data.x.shape[1] == 5 + 9 + 16 + 7 + 15 + 6 + 42
  assert data.attributes["age"].values.min() == 17
  # No column is sex, not even turned round; husbands and wives give much of it away.
  most = max(correlations(data.x[:, np.ptp(data.x, 0) > 0], sex.values))
  assert 0.5 < most < 0.7
  few = load("datasets", "adult", data_dir=root, limit=5000)
  assert len(few.x) == 5000
  assert few.y.mean() == pytest.approx(data.y.mean(), abs=0.02)
