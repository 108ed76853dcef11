import numpy as np
import pytest

from ovl.columns import above_median, codes, encode
from ovl.types import BadInput

NAN = float("nan")


@pytest.mark.parametrize(
  ("values", "expected", "labels"),
  [
    ([7, 3, 7], [1, 0, 1], ("3", "7")),
    ([7, None, 3], [1, -1, 0], ("3", "7")),
    ([-1, 5, -1], [0, 1, 0], ("-1", "5")),
    (np.array([True, False]), [1, 0], ("False", "True")),
    (["f", "m", None, "", NAN], [0, 1, -1, -1, -1], ("f", "m")),
    (np.array(["f", "", "m"]), [0, -1, 1], ("f", "m")),
    (np.array([b"f", b"", b"m"]), [0, -1, 1], ("f", "m")),
    (np.array([1.0, NAN, 3.0]), [0, -1, 1], ("1", "3")),
    (np.array([1, 3], np.uint8), [0, 1], ("1", "3")),
    (np.ma.array([1, 2, 3], mask=[0, 1, 0]), [0, -1, 1], ("1", "3")),
    (np.ma.array(["a", "b", "c"], mask=[1, 0, 0]), [-1, 0, 1], ("b", "c")),
    (["same", "same"], [0, 0], ("same",)),
  ],
)
def test_any_coding_becomes_codes(values, expected, labels):
  attribute = encode(values)
  assert attribute.kind == "discrete"
  assert attribute.values.dtype == np.int32
  assert attribute.values.tolist() == expected
  assert attribute.labels == labels


def test_floats_are_classes_only_where_whole_and_few():
  assert encode(np.arange(20.0)).kind == "discrete"
  assert encode(np.arange(21.0)).kind == "continuous"
  assert encode([0.5, 1.0]).kind == "continuous"
  assert encode(np.arange(500)).kind == "discrete"


def test_continuous_keeps_numbers_and_holes():
  attribute = encode(np.array([0.5, NAN, 2.0], np.float32))
  assert attribute.values.dtype == np.float64
  np.testing.assert_array_equal(attribute.values, [0.5, NAN, 2.0])
  assert attribute.known.tolist() == [True, False, True]
  assert attribute.labels == ()


def test_kind_forces():
  np.testing.assert_array_equal(encode([3, None, 1], kind="continuous").values, [3, NAN, 1])
  assert encode([0.1, 0.2, 0.1], kind="discrete").labels == ("0.1", "0.2")


@pytest.mark.parametrize(
  ("values", "kind", "says"),
  [
    ([[1, 2]], None, r"shape \(1, 2\)"),
    (3, None, r"shape \(\)"),
    ([[1], [1, 2]], None, "list"),
    (["a", 1], None, "int, str"),
    (np.array([1j]), None, "complex"),
    (np.array(["2020"], "M8[D]"), None, "datetime64"),
    ([0.5, np.inf, -np.inf], None, "2 infinite"),
    ([None, NAN], None, "no known value in 2 rows"),
    ([], None, "no known value in 0 rows"),
    (["a"], "continuous", "text"),
    ([1], "vector", "kind='vector'"),
  ],
)
def test_what_cannot_be_an_attribute_is_named(values, kind, says):
  with pytest.raises(BadInput, match=f"^sex.*{says}"):
    encode(values, "sex", kind)


def test_codes_of_groups():
  assert codes(["b", "a", "b"]).tolist() == [1, 0, 1]
  assert codes(np.arange(50.0) * 10).tolist() == list(range(50))
  assert codes([4, 2]).dtype == np.int32
  with pytest.raises(BadInput, match="groups has 1 missing values of 3"):
    codes(["a", None, "b"])


def test_above_median():
  attribute = above_median(np.array([1.0, 2.0, 3.0]))
  assert attribute.values.tolist() == [0, 0, 1]
  assert attribute.labels == ("at most median", "above median")
