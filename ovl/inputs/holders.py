"""Holders of data: whatever has numbers or text in it -> a plain NumPy array.

Libraries are recognised by what their objects can do, never imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import ml_dtypes
import numpy as np

from ovl.inputs.words import listed
from ovl.types import BadInput

NUMBERS = "biuf"  # kinds of types that NumPy computes with


def numbers(values: Any, name: str, *, stacked: bool = False) -> np.ndarray:
  """Reads an array of numbers without holes, as a representation is.

  Args:
    values: of NumPy, JAX, PyTorch (any device, detached here), TensorFlow, pandas,
      polars, Arrow, h5py; a column of vectors; nested lists of numbers.
    name: how messages call it.
    stacked: a list of arrays has one for each model.

  Returns:
    An array of bools, integers or floats; it shares memory where it can. bfloat16 and
    float8 become float32, which holds every one of them.

  Raises:
    BadInput: no array, nothing in it, text, sparse, masked or missing entries, a list
      of batches; with the remedy.
  """
  raw = plain(values, name, stacked=stacked)
  if raw.dtype.kind == "O":
    raw = _of_objects(raw, name)
  if np.ma.isMaskedArray(raw):
    if holes := int(np.ma.getmaskarray(raw).sum()):
      raise BadInput(
        f"{name} has masked entries ({holes:,} of {raw.size:,}), expected numbers without "
        "holes\n  leave these rows out; what lies under a mask is never read"
      )
    raw = np.ma.getdata(raw)
  if raw.dtype.kind not in NUMBERS:
    raise BadInput(f"{name} has type {raw.dtype}, expected numbers")
  return raw


def plain(values: Any, name: str, *, stacked: bool = False) -> np.ndarray:
  """Reads any holder as an array of numbers, text or Python values.

  Args:
    values: as `numbers`, also text, None and other missing values.
    name: how messages call it.
    stacked: a list of arrays has one for each model.

  Returns:
    An array, or a masked array where one came; shares memory where it can.

  Raises:
    BadInput: no array in it, or one that NumPy cannot hold; with the remedy.
  """
  if values is None or isinstance(values, str | bytes | Mapping | set | frozenset):
    what = "None" if values is None else f"of type {type(values).__name__}"
    raise BadInput(f"{name} is {what}, expected an array")
  _collected(values, name)
  strided = str(getattr(values, "layout", "torch.strided")) == "torch.strided"
  if hasattr(values, "toarray") or not strided:
    dense = "toarray" if hasattr(values, "toarray") else "to_dense"
    raise BadInput(
      f"{name} is sparse ({type(values).__name__}), expected a dense array: "
      f"{_short(name)}.{dense}()"
    )
  try:
    raw = _held(values, name, stacked)
  except BadInput:
    raise
  except Exception as error:  # whatever a foreign library raises
    message = " ".join(str(error).split()) or type(error).__name__
    raise BadInput(
      f"{name} is not an array: {message[:160]}\n  expected one that NumPy can read; of "
      "PyTorch x.detach().float().cpu().numpy()"
    ) from error
  return _typed(raw, name)


def named(values: Any, place: str) -> dict[str, Any]:
  """Columns by name: of a dict, a table of pandas, polars or Arrow, a record array.

  Raises:
    BadInput: no names in it.
  """
  if isinstance(values, np.ndarray) and values.dtype.names:
    return {name: values[name] for name in values.dtype.names}
  if hasattr(values, "keys"):
    return {str(name): values[name] for name in list(values.keys())}
  _collected(values, place)
  columns = getattr(values, "column_names", None) or getattr(values, "columns", None)
  if columns is not None and hasattr(values, "__getitem__"):
    return {str(name): values[name] for name in columns}
  kind = type(values).__name__
  raise BadInput(f"{place} is of type {kind}, expected a dict name -> array")


def _collected(values: Any, name: str) -> None:
  if type(values).__name__ == "LazyFrame":
    raise BadInput(f"{name} is a plan of polars and no data: {_short(name)}.collect()")


def framed(values: Any) -> bool:
  """Whether it is a table of columns: of pandas, polars or Arrow."""
  return hasattr(values, "column_names") or (
    hasattr(values, "columns") and hasattr(values, "shape")
  )


def categorical(values: Any) -> bool:
  """Whether a column was declared to be classes, whatever its codes look like."""
  declared = str(getattr(values, "dtype", "") or getattr(values, "type", ""))
  return declared.lower().startswith(("category", "categorical", "enum", "dictionary"))


def missing(value: Any) -> bool:
  """Whether a Python value stands for an unknown one: None, nan, pd.NA, NaT."""
  if value is None or type(value).__name__ in ("NAType", "NaTType", "MaskedConstant"):
    return True
  # Only nan differs from itself; an array says that of each entry.
  return np.ndim(value) == 0 and bool(value != value)


def _held(values: Any, name: str, stacked: bool) -> np.ndarray:
  if hasattr(values, "detach") and hasattr(values, "cpu"):
    return _of_torch(values)
  if isinstance(values, np.ndarray | np.generic):
    return np.asarray(values) if isinstance(values, np.matrix) else np.asanyarray(values)
  if hasattr(values, "to_pylist"):  # Arrow: integers with holes would become floats
    if hasattr(values, "column_names"):
      return np.stack([_held(c, name, stacked) for c in values.columns], 1)
    return _objects(values.to_pylist()) if values.null_count else np.asarray(values)
  if hasattr(values, "__array__"):
    return np.asarray(values)
  if isinstance(values, Iterable):
    return _of_list(list(values), name, stacked)
  return np.asarray(values)


def _of_torch(values: Any) -> np.ndarray:
  values = values.detach().cpu()
  if str(values.dtype).startswith(("torch.bfloat16", "torch.float8")):
    values = values.float()  # NumPy has no such type; float32 holds each of its numbers
  return values.resolve_conj().resolve_neg().numpy()


def _of_list(values: list[Any], name: str, stacked: bool) -> np.ndarray:
  """A list of values, of rows, or with `stacked` of models."""
  first = next((v for v in values if v is not None), None)
  if not hasattr(first, "__array__") or isinstance(first, np.generic):
    if isinstance(first, list | tuple):
      lengths = {len(v) for v in values if isinstance(v, list | tuple)}
      if len(lengths) > 1:
        raise BadInput(_ragged(name, [len(v) for v in values]))
      return np.asarray(values)
    # Without dtype=object a list of text and nan would turn nan into the word "nan".
    return _objects(values)
  parts = [plain(v, name) if hasattr(v, "__array__") else np.asarray(v) for v in values]
  shapes = [part.shape for part in parts]
  if parts[0].ndim == 0:
    return _objects([part.item() if part.ndim == 0 else part for part in parts])
  if len(set(shapes)) > 1:
    raise BadInput(_ragged(name, shapes))
  if parts[0].ndim > 1 and not stacked:
    raise BadInput(
      f"{name} is a list of {len(parts)} arrays of shape {shapes[0]}, expected one array\n"
      f"  of batches np.concatenate({_short(name)}), of single examples "
      f"np.stack({_short(name)})"
    )
  return np.stack(parts)


def _ragged(name: str, shapes: list[Any]) -> str:
  return (
    f"{name} is not an array: a list of {len(shapes)} parts of unlike shapes "
    f"({listed(list(dict.fromkeys(map(str, shapes)))[:3])})\n"
    f"  of batches np.concatenate({_short(name)}); of sequences pad them, and give lengths="
  )


def _objects(values: list[Any]) -> np.ndarray:
  """One axis, whatever the values are."""
  out = np.empty(len(values), object)
  out[:] = values
  return out


def _of_objects(raw: np.ndarray, name: str) -> np.ndarray:
  """Numbers from Python values: a nullable column, or a column of vectors."""
  cells = raw.ravel().tolist()
  if raw.ndim == 1 and cells and np.ndim(cells[0]):
    rows = [plain(cell, name) for cell in cells]
    if len(shapes := {row.shape for row in rows}) > 1:
      raise BadInput(_ragged(name, sorted(shapes)))
    return numbers(np.stack(rows), name)
  if holes := sum(missing(cell) for cell in cells):
    raise BadInput(
      f"{name} has {holes:,} missing values of {raw.size:,}, expected numbers without holes"
    )
  for cell in cells:
    if not isinstance(cell, int | float | np.number | np.bool_):
      raise BadInput(f"{name} has type {type(cell).__name__}, expected numbers")
  return np.array(cells, np.float64).reshape(raw.shape)


def _typed(raw: np.ndarray, name: str) -> np.ndarray:
  """Types that NumPy knows by name only -> those it computes with."""
  kind = raw.dtype
  if kind.kind == "S":
    return np.char.decode(raw, "utf-8", "backslashreplace")
  if kind.kind != "V" or kind.names:
    return raw
  if kind == np.dtype("V2"):  # what np.save makes of it: there is no other of two bytes
    raw = raw.view(ml_dtypes.bfloat16)
  elif kind.type is np.void:
    raise BadInput(
      f"{name} has raw bytes ({kind}): np.save forgets the name of float8 and its like\n"
      "  save x.astype(np.float32)"
    )
  for target in (np.int32, np.float32):
    if np.can_cast(raw.dtype, target):
      return raw.astype(target)
  raise BadInput(f"{name} has type {kind}, expected numbers or text")


def _short(name: str) -> str:
  """What a person would call it in code."""
  return name.rpartition("/")[2] if name.rpartition("/")[2].isidentifier() else "x"
