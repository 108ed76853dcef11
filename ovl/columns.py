"""Columns in: whatever codes a person used -> an `Attribute`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ovl.types import Attribute, BadInput, Kind

MAX_WHOLE = 20  # whole-valued floats with more distinct values are a quantity


def encode(values: Any, name: str = "attribute", kind: Kind | None = None) -> Attribute:
  """Codes one column: classes in sorted order, or numbers.

  Integers, bools and text are discrete. Floats are discrete where they are whole
  numbers with at most 20 distinct values, as integers become when one is missing.

  Args:
    values: `[N]` array or sequence; nan, None, "" and masked entries are missing.
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
    few_whole = floats and classes.size <= MAX_WHOLE and (classes % 1 == 0).all()
    kind = "discrete" if few_whole or not floats else "continuous"
  if kind == "continuous":
    if present.dtype.kind == "U":
      raise BadInput(f"{name} is text ({classes[0]!s}, ...) and cannot be continuous")
    column = np.full(known.size, np.nan)
    column[known] = present
    return Attribute(column, "continuous")
  column = np.full(known.size, -1, np.int32)
  column[known] = codes
  labels = (str(c).removesuffix(".0") if floats else str(c) for c in classes)
  return Attribute(column, "discrete", tuple(labels))


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
  # Without dtype=object a list of text and nan would turn nan into the word "nan".
  raw = np.asarray(values) if hasattr(values, "__array__") else np.array(values, object)
  if raw.ndim != 1:
    raise BadInput(f"{name} has shape {raw.shape}, expected one value an example: [N]")
  masked = np.ma.getmaskarray(values) if np.ma.isMaskedArray(values) else False
  if raw.dtype.kind == "S":
    raw = np.char.decode(raw, "utf-8", "replace")
  if raw.dtype.kind in "OT":
    missing = masked | np.array([_is_missing(v) for v in raw], bool)
    present = _typed(raw[~missing].tolist(), name)
  elif raw.dtype.kind in "biufU":
    # Only nan differs from itself.
    missing = masked | (raw == "" if raw.dtype.kind == "U" else raw != raw)
    present = raw[~missing]
  else:
    raise BadInput(f"{name} has type {raw.dtype}, expected numbers or text")
  return ~missing, present


def _is_missing(value: Any) -> bool:
  nan = isinstance(value, float | np.floating) and np.isnan(value)
  return value is None or bool(nan) or (isinstance(value, str) and not value)


def _typed(present: list[Any], name: str) -> np.ndarray:
  """Gives Python values one dtype: all text, or all real numbers."""
  for family in (str, (bool, int, float, np.bool_, np.integer, np.floating)):
    if all(isinstance(v, family) for v in present):
      return np.array(present)
  kinds = ", ".join(sorted({type(v).__name__ for v in present}))
  raise BadInput(f"{name} has values of type {kinds}, expected all numbers or all text")
