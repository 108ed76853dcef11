"""Files: an npz, a folder or one .npy -> the parts that `ovl.arrays` checks.

Nothing is unpickled.
"""

from __future__ import annotations

import pathlib
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ovl.inputs import table
from ovl.inputs.words import listed, nearest
from ovl.types import BadInput

NAMED = ("taps", "untrained", "attributes", "mask")
SINGLE = {
  "task": "task", "groups": "groups", "group": "groups", "split": "split", "id": "ids",
  "ids": "ids", "lengths": "lengths", "mask": "mask", "seeds": "seeds",
}  # fmt: skip
COLUMNS = [key for key in SINGLE if key not in ("lengths", "mask", "seeds")]
TABLES_ALONE = (".csv", ".tsv", ".parquet", ".feather", ".arrow")
TABLES = [f"attributes.{kind}" for kind in ("csv", "tsv", "parquet", "feather", "arrow")]
UNREADABLE = (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error)
# What a person may have in place of an npz, and how to get there.
INSTEAD = {
  ".pt .pth .bin .ckpt": "torch.load it, and np.savez what is inside as NumPy arrays",
  ".safetensors": "safetensors.numpy.load_file it, and np.savez what is inside",
  ".pkl .pickle .joblib": "nothing is unpickled here: load it, and np.savez what is inside",
  ".h5 .hdf5": "h5py.File(PATH)['NAME'] is taken by ovl.audit in Python",
  ".mat": "scipy.io.loadmat it, and np.savez what is inside",
  ".csv .tsv .parquet .feather .arrow": "as attributes.csv (.tsv, .parquet, .feather) of "
  "a folder with taps/*.npy",
  ".npy": "one array has no names: np.savez it as taps/NAME beside attributes/NAME",
}


Parts = tuple[dict[str, Any], list[str], list[str]]


def parts(path: pathlib.Path) -> Parts:
  """What an npz or a folder holds, by the arguments of `arrays`; notes; doubts.

  Raises:
    BadInput: an unreadable path, an unknown or missing part.
  """
  _exists(path)
  return _folder(path) if path.is_dir() else (_npz(path), [], [])


def array(place: str | pathlib.Path) -> Any:
  """One array: an .npy (memory-mapped), or FILE:NAME of an npz or a table.

  NAME is a key of the npz or a column; of a file that holds one alone it may be left out.
  Nothing is unpickled.

  Raises:
    BadInput: it does not exist, or is no such file; names the nearest NAME.
  """
  path, name = located(place)
  _exists(path)
  if path.suffix == ".npz":
    with _load(path.name, np.load, path, allow_pickle=False) as archive:
      key = _picked(path, name, archive.files)
      return _load(f"{path.name}: key {key!r}", archive.__getitem__, key)
  if path.suffix in TABLES_ALONE:
    columns, _, _ = table.read(path)
    return columns[_picked(path, name, list(columns))]
  if name:
    raise BadInput(f"{place}: {path.suffix or 'this file'} holds no names; give {path}")
  return _load(str(path), np.load, path, allow_pickle=False, mmap_mode="r")


def located(place: str | pathlib.Path) -> tuple[pathlib.Path, str]:
  """FILE:NAME -> the file, and the name in it or ""."""
  where, _, name = str(place).rpartition(":")
  if not where or pathlib.Path(place).exists():
    return pathlib.Path(place), ""
  return pathlib.Path(where), name


def _picked(path: pathlib.Path, name: str, there: list[str]) -> str:
  """The one part of a file that is meant."""
  if not name and len(there) == 1:
    return there[0]
  if name not in there:
    what = f"no {name!r}" if name else "no name"
    raise BadInput(f"{path.name}: {what}: {nearest(name, there)} (FILE:NAME)")
  return name


def _exists(path: pathlib.Path) -> None:
  if not path.exists():
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    raise BadInput(f"{path} does not exist; {nearest(path.name, _names(beside))}")


def _npz(path: pathlib.Path) -> dict[str, Any]:
  if path.suffix != ".npz" or not zipfile.is_zipfile(path):
    how = (hint for kinds, hint in INSTEAD.items() if path.suffix in kinds.split())
    if hint := next(how, "") if path.suffix else "":
      raise BadInput(f"{path} is not an npz\n  {hint}")
  if not zipfile.is_zipfile(path):
    raise BadInput(f"{path} is not an npz; expected one, or a folder with taps/*.npy")
  found: dict[str, Any] = {place: {} for place in NAMED}
  with _load(path.name, np.load, path, allow_pickle=False) as archive:
    for key in archive.files:
      place, _, name = key.partition("/")
      if place in NAMED and name:
        into, short = found[place], name
      elif key in SINGLE:
        into, short = found, SINGLE[key]
      else:
        valid = [f"{place}/{name or 'NAME'}" for place in NAMED] + list(SINGLE)
        raise BadInput(f"{path.name}: unknown key {key!r}; {nearest(key, valid)}")
      into[short] = _load(f"{path.name}: key {key!r}", archive.__getitem__, key)
  for place in ("taps", "attributes"):
    if not found[place]:
      raise BadInput(f"{path.name} has no key {place}/NAME; has {listed(archive.files)}")
  return {place: value for place, value in found.items() if len(value)}


def _folder(path: pathlib.Path) -> Parts:
  tables = [path / name for name in TABLES if (path / name).exists()]
  if not (path / "taps").exists():
    raise BadInput(f"{path} has no taps; {nearest('taps', _names(path.iterdir()))}")
  if not tables:
    near = nearest("attributes.csv", _names(path.iterdir()))
    raise BadInput(f"{path} has no attributes.csv; {near}")
  if len(tables) > 1:
    raise BadInput(f"{path} has {listed(t.name for t in tables)}; expected one of them")
  columns, notes, doubts = table.read(tables[0])
  found: dict[str, Any] = {"attributes": {}}
  for name, column in columns.items():
    single = name in COLUMNS
    into, short = (found, SINGLE[name]) if single else (found["attributes"], name)
    if short in into:
      raise BadInput(f"{tables[0].name}: column {name!r} comes twice")
    into[short] = column
  for place in ("taps", "untrained", "mask"):
    files = sorted((path / place).glob("*.npy"), key=lambda file: _natural(file.stem))
    found |= {place: {file.stem: _array(file, place) for file in files}} if files else {}
  if "taps" not in found:
    raise BadInput(f"{path / 'taps'} has no .npy file; expected one a tap")
  for name in ("seeds", "lengths"):
    if (file := path / f"{name}.npy").exists():
      found[name] = _array(file, name)
  return found, notes, doubts


def _array(file: pathlib.Path, place: str) -> np.ndarray:
  return _load(f"{place}: {file.name}", np.load, file, allow_pickle=False, mmap_mode="r")


def _load(what: str, load: Callable[..., Any], *args: Any, **settings: Any) -> Any:
  try:
    return load(*args, **settings)
  except UNREADABLE as error:
    remedy = "expected numbers or text, never objects"
    if "llow_pickle" in str(error):
      remedy = "Python objects: save text as x.astype(str), numbers as x.astype(float)"
    raise BadInput(f"{what} cannot be read: {error}\n  {remedy}") from error


def _natural(name: str) -> list[str | int]:
  return [int(p) if p.isdecimal() else p for p in re.split(r"(\d+)", name)]


def _names(paths: Iterable[pathlib.Path]) -> list[str]:
  return sorted(path.name for path in paths)
