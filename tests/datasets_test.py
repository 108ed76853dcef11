import gzip
import os

import numpy as np
import pytest

from ovl.load import _load, load, names
from ovl.types import BadInput

NAMES = names("datasets")
REAL = os.environ.get("OVL_DATA")


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
