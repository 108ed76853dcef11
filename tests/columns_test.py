import decimal

import ml_dtypes
import numpy as np
import pytest

from ovl.columns import above_median, codes, encode, question
from ovl.inputs.words import UNKNOWN
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


def test_numbers_are_classes_where_whole_and_few_or_codes():
  for whole in (np.arange(21), np.arange(21.0)):
    assert encode(whole[:20] * 3).kind == "discrete"
    assert encode(whole).kind == "discrete"  # as encoders write codes
    assert encode(whole + 1).kind == "discrete"
    assert encode(whole + 18).kind == "continuous"  # an age
    assert encode(whole * 3).kind == "continuous"
  assert encode([0.5, 1.0]).kind == "continuous"
  assert encode(np.arange(500), kind="discrete").kind == "discrete"
  assert encode([str(i) for i in range(50)]).kind == "discrete"


def test_what_the_rule_cannot_know_is_asked():
  age = np.tile(np.arange(18, 78), 10)
  said = question(age, encode(age, "attributes/age"), "attributes/age")
  assert said == (
    "attributes/age has 60 distinct whole numbers in 600 rows and is read as a quantity; "
    "discrete=age reads classes"
  )
  codes_N = age - 18
  assert "read as classes; continuous=who" in question(codes_N, encode(codes_N), "who")
  for clear in (age % 20, age / 7, age.astype(str), age > 30):
    assert question(clear, encode(clear), "x") == ""


@pytest.mark.parametrize("word", sorted(UNKNOWN - {""}))
def test_words_that_say_unknown(word):
  for said in (word, word.upper(), f" {word} "):
    assert encode(["m", said, "f"]).values.tolist() == [1, -1, 0]
    assert encode(np.array(["m", said, "f"])).values.tolist() == [1, -1, 0]
    assert encode([b"m", said.encode(), b"f"]).values.tolist() == [1, -1, 0]


def test_text_is_a_number_where_a_person_says_so():
  assert encode(["007", "NA", "1e3"], kind="continuous").values.tolist()[::2] == [7, 1000]


def test_values_of_other_types():
  assert encode([b"f", b"m", None]).labels == ("f", "m")
  assert len(encode([b"\xff", b"\xfe"]).labels) == 2
  assert encode([decimal.Decimal("1.5"), None, 2]).values.tolist()[::2] == [1.5, 2.0]
  assert len(encode([2**70, 2**70 + 1]).labels) == 2
  assert encode([1, np.ma.masked, 2]).values.tolist() == [0, -1, 1]
  assert encode(np.array([1, 2, 1], ml_dtypes.bfloat16)).labels == ("1", "2")
  assert encode(np.array([1, 2, 1], ml_dtypes.int4)).labels == ("1", "2")


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
    (["1", "a"], "continuous", "text and cannot be continuous: 'a' is no number"),
    (["1", "1_1"], "continuous", "'1_1' is no number"),
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
