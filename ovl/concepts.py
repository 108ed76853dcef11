"""What is to be erased: attributes as the columns that erasers take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ovl import columns, inputs
from ovl.inputs.holders import framed
from ovl.load import nearest
from ovl.types import Attribute, BadInput, Eraser, Kind

MIN_ROWS = 10


class Concept(NamedTuple):
  """How one attribute becomes columns: as it was where the eraser was fitted.

  Attributes:
    name: of the attribute; "s" where there is one without a name.
    kind: "discrete", "continuous" or "vector".
    labels: classes, in the order of the columns.
    mean: of the column of a quantity, of each column of a vector.
    scale: their standard deviations.
  """

  name: str
  kind: Kind
  labels: tuple[str, ...] = ()
  mean: tuple[float, ...] = ()
  scale: tuple[float, ...] = ()


def attributes(s: Any, kinds: Mapping[str, Kind]) -> dict[str, Attribute]:
  """Name -> attribute of one column, a matrix, or several of either."""
  if not isinstance(s, Mapping) and not framed(s):
    return {"s": _attribute(s, "s", kinds.get("s"))}
  named = inputs.named(s, "s")
  if not named:
    raise BadInput("s is empty, expected {name: column}")
  return {name: _attribute(x, name, kinds.get(name)) for name, x in named.items()}


def _attribute(s: Any, name: str, kind: Kind | None) -> Attribute:
  if isinstance(s, Attribute):
    return s
  raw = inputs.plain(s, name)
  if raw.ndim < 2:
    return columns.encode(s, name, None if kind == "vector" else kind)
  if raw.ndim > 2:
    raise BadInput(f"{name} has shape {list(raw.shape)}, expected [N] or [N, M]")
  raw = np.ma.filled(raw.astype(np.float64), np.nan) if np.ma.isMaskedArray(raw) else raw
  try:
    values = np.asarray(raw, np.float64)
  except (TypeError, ValueError):
    raise BadInput(f"{name} has {raw.shape[1]} columns that are no numbers") from None
  if np.isinf(values).any():
    raise BadInput(f"{name} has infinite values; expected finite or missing")
  indicators = np.isin(values[~np.isnan(values)], (0, 1)).all()
  if raw.dtype.kind in "iu" and not indicators:
    raise BadInput(
      f"{name} has {raw.shape[1]} columns of integers, which are codes and no quantities; "
      "expected {name: column} for several attributes, or floats"
    )
  return Attribute(values, "vector")


def as_long(given: Mapping[str, Attribute], rows: int, hint: str = "") -> None:
  """Refuses attributes of another length."""
  for name, attribute in given.items():
    if len(attribute.values) != rows:
      raise BadInput(f"{name} has {len(attribute.values):,} rows and z {rows:,}{hint}")


def taken(
  eraser: Eraser, method: str, name: str, attribute: Attribute, known_N: np.ndarray
) -> Concept:
  """The concept, if the method takes it and there is something to erase."""
  kind, values = attribute.kind, attribute.values[known_N]
  if kind not in eraser.attribute:
    takes = " or ".join(eraser.attribute)
    raise BadInput(f"method={method!r} takes {takes} attributes; {name} is {kind}")
  if len(values) < MIN_ROWS:
    raise BadInput(
      f"{len(values)} rows have a known {name}: too few, expected at least {MIN_ROWS}"
    )
  if not (values != values[0]).any():
    raise BadInput(f"{name} is constant: there is nothing to erase")
  if kind == "discrete":
    if len(attribute.labels) > max(20, len(values) // 10):
      raise BadInput(
        f"{name} has {len(attribute.labels):,} classes in {len(values):,} rows: an "
        "identity is no attribute; floats are meant where it is a quantity"
      )
    return Concept(name, kind, attribute.labels)
  values_NM = values.reshape(len(values), -1)
  spread = values_NM.std(0)
  return Concept(
    name,
    kind,
    mean=tuple(values_NM.mean(0).tolist()),
    scale=tuple(np.where(spread > 0, spread, 1.0).tolist()),
  )


def coded(attribute: Attribute, concept: Concept) -> np.ndarray:
  """Columns `[N, M]`, float32; 0 where the attribute is unknown."""
  if concept.kind != attribute.kind:
    raise BadInput(f"{concept.name} is {attribute.kind}; it was {concept.kind} at fitting")
  if concept.kind == "discrete":
    at = {label: i for i, label in enumerate(concept.labels)}
    for label in attribute.labels:
      if label not in at:
        known = nearest(label, list(concept.labels))
        raise BadInput(f"{concept.name} has the class {label!r}, not seen before: {known}")
    # One more row, of zeros, for the code -1.
    rows = np.eye(len(at), dtype=np.float32)[[at[label] for label in attribute.labels]]
    return np.concatenate([rows, np.zeros((1, len(at)), np.float32)])[attribute.values]
  values_NM = attribute.values.reshape(len(attribute.values), -1)
  if values_NM.shape[1] != len(concept.mean):
    raise BadInput(
      f"{concept.name} has {values_NM.shape[1]} columns; at fitting {len(concept.mean)}"
    )
  scaled_NM = (values_NM - np.array(concept.mean)) / np.array(concept.scale)
  return np.where(attribute.known[:, None], scaled_NM, 0.0).astype(np.float32)


def concept(
  name: str, kind: Kind, labels: list[str], mean: list[float], scale: list[float]
) -> Concept:
  """From what JSON keeps of one."""
  return Concept(name, kind, tuple(labels), tuple(mean), tuple(scale))
