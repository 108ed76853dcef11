"""Columns in: whatever codes a person used -> an `Attribute`."""

from __future__ import annotations

import decimal
import numbers
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ovl import inputs
from ovl.inputs.holders import missing
from ovl.inputs.words import UNKNOWN, nearest
from ovl.types import Attribute, BadInput, Kind

MOST_CLASSES = 0.5  # of the rows: more name the rows, and are no attribute
MAX_WHOLE = 20  # more distinct whole numbers are a quantity, unless they are codes


def encode(values: Any, name: str = "attribute", kind: Kind | None = None) -> Attribute:
  """Codes one column: classes in sorted order, or numbers.

  Text, bools and columns declared to be categorical are classes. Whole numbers are
  classes where there are at most 20 distinct ones, or where they are codes as encoders
  write them: 0..K-1 or 1..K without a gap; else they are a quantity, and so are all
  other numbers.

  Args:
    values: `[N]` of any holder (`ovl.inputs.plain`); None, nan, masked entries and words
      such as "" and "NA" (`ovl.inputs.words.UNKNOWN`) are missing.
    name: how messages call the column.
    kind: "discrete" or "continuous" where the rule above is not what is meant.

  Returns:
    The attribute; a constant one has a single label.

  Raises:
    BadInput: not one column, an unreadable or mixed type, infinite values, nothing
      known, or text that should be continuous.
  """
  if kind not in (None, "discrete", "continuous"):
    raise BadInput(f"{name}: kind={kind!r}, expected 'discrete' or 'continuous'")
  known, present = _split(values, name)
  if not present.size:
    raise BadInput(f"{name} has no known value in {known.size} rows")
  floats = present.dtype.kind == "f"
  if floats and (infinite := int(np.isinf(present).sum())):
    raise BadInput(f"{name} has {infinite} infinite values; expected finite or missing")
  classes, codes = np.unique(present, return_inverse=True)
  if kind is None:
    kind = "discrete" if inputs.categorical(values) else _kind(classes)
  if kind == "continuous":
    column = np.full(known.size, np.nan)
    column[known] = _spelled(present, name) if present.dtype.kind == "U" else present
    return Attribute(column, "continuous")
  column = np.full(known.size, -1, np.int32)
  column[known] = codes
  labels = (str(c).removesuffix(".0") if floats else str(c) for c in classes)
  return Attribute(column, "discrete", tuple(labels))


def question(
  values: Any, attribute: Attribute, name: str, say: str = "{kind}={short}"
) -> str:
  """A sentence where the rule of `encode` may not be what is meant; else "".

  That is with more than 20 distinct whole numbers: an age or a postal code? `say` is how
  a person answers.
  """
  _, present = _split(values, name)
  if present.dtype.kind not in "iuf" or inputs.categorical(values):
    return ""
  distinct = np.unique(present)
  if len(distinct) <= MAX_WHOLE or (distinct % 1 != 0).any():
    return ""
  short = name.rpartition("/")[2]
  read, other, kind = "a quantity", "classes", "discrete"
  if attribute.kind == "discrete":
    read, other, kind = "classes", "a quantity", "continuous"
  return (
    f"{name} has {len(distinct):,} distinct whole numbers in {len(present):,} rows and is "
    f"read as {read}; {say.format(kind=kind, short=short)} reads {other}"
  )


def _spelled(text: np.ndarray, name: str) -> np.ndarray:
  """The numbers that text spells, where a person says that it does."""
  for word in text.tolist():
    try:
      fine = np.isfinite(float(word)) and "_" not in word
    except ValueError:
      fine = False
    if not fine:
      raise BadInput(f"{name} is text and cannot be continuous: {word!r} is no number")
  return text.astype(float)


def _kinds(
  named: Mapping[str, Any], continuous: Iterable[str], discrete: Iterable[str]
) -> dict[str, Kind]:
  """What a person said an attribute is."""
  kinds: dict[str, Kind] = {}
  asked: dict[Kind, Iterable[str]] = {"continuous": continuous, "discrete": discrete}
  for kind, names in asked.items():
    for name in [names] if isinstance(names, str) else names:
      if name not in named:
        raise BadInput(f"{kind} names {name!r}, no attribute; {nearest(name, named)}")
      if kinds.setdefault(name, kind) != kind:
        raise BadInput(f"{name} is said to be continuous and discrete; expected one")
  return kinds


def _kind(classes: np.ndarray) -> Kind:
  """What distinct values, sorted, are taken for."""
  if classes.dtype.kind in "bU":
    return "discrete"
  K = len(classes)
  gapless = classes[0] in (0, 1) and classes[-1] - classes[0] == K - 1
  codes = (classes % 1 == 0).all() and (K <= MAX_WHOLE or gapless)
  return "discrete" if codes else "continuous"


def encoded(
  named: Mapping[str, Any], continuous: Iterable[str], discrete: Iterable[str]
) -> tuple[dict[str, Attribute], list[str]]:
  """Encodes several columns.

  Args:
    named: name -> `[N]` of any holder, or an `Attribute`.
    continuous: names of quantities, whatever they look like.
    discrete: names of classes, whatever they look like.

  Returns:
    The attributes, and what is to be asked about them.

  Raises:
    BadInput: as `encode`; a name that is no attribute; classes that name the rows.
  """
  kinds = _kinds(named, continuous, discrete)
  found, doubts = {}, []
  for name, values in named.items():
    if isinstance(values, Attribute):
      found[name] = values
      continue
    place = f"attributes/{name}"
    one = found[name] = encode(values, place, kinds.get(name))
    rows = int(one.known.sum())
    if one.kind == "discrete" and len(one.labels) > max(20, MOST_CLASSES * rows):
      raise BadInput(
        f"{place} has {len(one.labels):,} classes in {rows:,} rows: it names the rows and "
        "is no attribute\n  leave it out, or call it id or groups; a quantity is "
        f"continuous={name}"
      )
    if name not in kinds and (asked := question(values, one, place)):
      doubts.append(asked)
  return found, doubts


def described(name: str, one: Attribute) -> str:
  """A line on how an attribute is read."""
  unknown = int((~one.known).sum())
  rest = f", {unknown:,} unknown" if unknown else ""
  if one.kind != "discrete":
    return (
      f"{name}: a quantity, {np.nanmin(one.values):g} to {np.nanmax(one.values):g}{rest}"
    )
  shown = ", ".join(one.labels[:4]) + (", ..." if len(one.labels) > 4 else "")
  return f"{name}: {len(one.labels)} classes ({shown}){rest}"


def codes(values: Any, name: str = "groups") -> np.ndarray:
  """Codes a column that has no holes: groups, identities.

  Args:
    values: `[N]` integers, bools, text or floats.
    name: how messages call the column.

  Returns:
    int32 `[N]`, 0..G-1 in sorted order.

  Raises:
    BadInput: as `encode`, or a value is missing.
  """
  column = encode(values, name, "discrete")
  if missing := int((~column.known).sum()):
    raise BadInput(f"{name} has {missing} missing values of {column.values.size}")
  return column.values


def above_median(values: np.ndarray) -> Attribute:
  """Two classes: at most the median of `values` `[N]`, above it."""
  high = (values > np.median(values)).astype(np.int32)
  return Attribute(high, "discrete", ("at most median", "above median"))


def _split(values: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
  """-> (`[N]` bool: where known, the known values with a numeric or text dtype)."""
  raw = inputs.plain(values, name)
  if raw.ndim != 1:
    raise BadInput(
      f"{name} has shape {raw.shape}, expected one value an example: [N]\n  of batches "
      "np.concatenate them; of columns give each its name; of one-hot codes argmax(1)"
    )
  holes = np.ma.getmaskarray(raw)
  if raw.dtype.kind in "OT":
    holes = holes | np.array([_is_missing(v) for v in np.ma.getdata(raw)], bool)
    present = _typed(np.ma.getdata(raw)[~holes].tolist(), name)
  elif raw.dtype.kind in "biufU":
    data = np.ma.getdata(raw)
    # Only nan differs from itself.
    text = data.dtype.kind == "U"
    holes = holes | (_unknown_words(data) if text else data != data)
    present = data[~holes]
  else:
    raise BadInput(f"{name} has type {raw.dtype}, expected numbers or text")
  return ~holes, present


def _unknown_words(text: np.ndarray) -> np.ndarray:
  words, place = np.unique(text, return_inverse=True)
  return np.array([_is_missing(word) for word in words.tolist()], bool)[place]


def _is_missing(value: Any) -> bool:
  if isinstance(value, str | bytes):
    word = value if isinstance(value, str) else value.decode("utf-8", "backslashreplace")
    return word.strip().casefold() in UNKNOWN
  return missing(value)


def _typed(present: list[Any], name: str) -> np.ndarray:
  """Gives Python values one dtype: all text, or all real numbers."""
  for family in (str, bytes, (bool, int, float, np.bool_, np.integer, np.floating)):
    if all(isinstance(v, family) for v in present):
      values = np.array(present)
      if family is bytes:
        return np.char.decode(values, "utf-8", "backslashreplace")
      return values.astype(str) if values.dtype.kind == "O" else values  # beyond 64 bits
  if all(isinstance(v, numbers.Real | decimal.Decimal) for v in present):
    return np.array(present, float)  # of a database
  kinds = ", ".join(sorted({type(v).__name__ for v in present}))
  raise BadInput(f"{name} has values of type {kinds}, expected all numbers or all text")
