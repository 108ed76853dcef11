"""Arrays in: activations of a person's own model, from Python, an npz or a folder."""

from __future__ import annotations

import csv
import difflib
import pathlib
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ovl.columns import codes, encode
from ovl.types import Attribute, BadInput, Kind

SPLIT = ("train", "probe", "stop", "test")
NAMED = ("taps", "untrained", "attributes")
ROWS = {"task": "task", "groups": "groups", "split": "split", "id": "ids"}
CHUNK = 1 << 22  # numbers looked at in one go, so that a mapped file stays on disk
LARGEST = np.finfo(np.float32).max
# Cells of a table that are numbers; at most 18 digits, so that no two become one.
WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")
SIGNED = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})")
REAL = re.compile(
  r"(?i)[+-]?((?!0[0-9]+$)(?![0-9]{19})[0-9]+|[0-9]+\.[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?"
  r"|[+-]?(nan|inf|infinity)"
)
UNREADABLE = (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, csv.Error)


class Arrays(NamedTuple):
  """Activations and what is known of every example.

  Attributes:
    taps: name -> `[S, N, ...]` in depth order; a memory-mapped array stays one.
    untrained: the same of the untrained twins; may lack any tap.
    attributes: name -> `Attribute`.
    ids: `[N]` a distinct identity of each example.
    task: the task label, discrete and known everywhere, or None.
    groups: int32 codes `[N]` of what must stay on one side of a split, or None.
    split: `[N]` of "train" (seen by the network: not used), "probe", "stop", "test".
    seeds: one integer a model, or None where there is one model.
  """

  taps: dict[str, np.ndarray]
  untrained: dict[str, np.ndarray]
  attributes: dict[str, Attribute]
  ids: np.ndarray
  task: Attribute | None = None
  groups: np.ndarray | None = None
  split: np.ndarray | None = None
  seeds: tuple[int, ...] | None = None


def arrays(
  taps: Mapping[str, Any],
  attributes: Mapping[str, Any],
  *,
  untrained: Mapping[str, Any] | None = None,
  task: Any = None,
  groups: Any = None,
  split: Any = None,
  ids: Any = None,
  seeds: Sequence[int] | np.ndarray | None = None,
  continuous: Iterable[str] = (),
) -> Arrays:
  """Checks arrays that came from anywhere and gives them their common shape.

  Args:
    taps: name -> `[N, ...]`, or `[S, N, ...]` with `seeds`; anything NumPy can read.
    attributes: name -> `[N]` in any coding, or an `Attribute`.
    untrained: like `taps`, of the same shapes.
    task: `[N]` the label the network was trained for, in any discrete coding.
    groups: `[N]` writer, person: what must not be on both sides of a split.
    split: `[N]` of "train", "probe", "stop", "test".
    ids: `[N]` a distinct identity of each example; by default its row number.
    seeds: one integer a model; without it there is one model and no axis for it.
    continuous: attributes that are quantities although they look like classes.

  Returns:
    The checked `Arrays`; activations are not copied.

  Raises:
    BadInput: one to four lines that name the argument and what it should be.
  """
  untrained = {} if untrained is None else untrained
  given = {"taps": taps, "attributes": attributes, "untrained": untrained}
  for place, named in given.items():
    if not hasattr(named, "keys"):
      kind = type(named).__name__
      raise BadInput(f"{place} is of type {kind}, expected a dict name -> array")
    if not len(named) and place != "untrained":
      raise BadInput(f"{place} is empty, expected a dict name -> array")
  numbers = _seeds(seeds)
  taps_by_name = _taps(taps, "taps", numbers)
  twins = _taps(untrained, "untrained", numbers)
  for name, z in twins.items():
    if name not in taps_by_name:
      raise BadInput(f"untrained/{name} has no tap; {_nearest(name, taps_by_name)}")
    if z.shape != (trained := taps_by_name[name].shape):
      raise BadInput(f"untrained/{name} has shape {z.shape}, but its tap {trained}")
  known = _attributes(attributes, set(continuous))
  num_rows = next(iter(taps_by_name.values())).shape[1]
  found = Arrays(
    taps_by_name,
    twins,
    known,
    np.arange(num_rows) if ids is None else _ids(ids),
    None if task is None else _classes(task, "task"),
    None if groups is None else codes(groups),
    None if split is None else _words(split),
    numbers,
  )
  _same_rows(found)
  if found.groups is not None and found.split is not None:
    _groups_stay_together(found.groups, found.split)
  for place, named in (("taps", taps_by_name), ("untrained", twins)):
    for name, z in named.items():
      _finite(z, f"{place}/{name}")
  return found


def read(path: str | pathlib.Path, continuous: Iterable[str] = ()) -> Arrays:
  """Reads activations from an npz, or memory-maps those of a folder.

  Args:
    path: an npz with keys `taps/NAME`, `attributes/NAME` and, optionally,
      `untrained/NAME`, `task`, `groups`, `split`, `id`, `seeds`; or a folder with
      `taps/*.npy`, `attributes.csv` (a header; columns task, groups or group, split
      and id are those) and, optionally, `untrained/*.npy`, `seeds.npy`. Nothing is
      unpickled.
    continuous: attributes that are quantities although they look like classes.

  Returns:
    The checked `Arrays`; taps in the order of the npz, or in that of the file names
    with numbers counted (`fc2` before `fc10`).

  Raises:
    BadInput: an unreadable path, an unknown or missing part, or as `arrays`.
  """
  path = pathlib.Path(path)
  if not path.exists():
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    raise BadInput(f"{path} does not exist; {_nearest(path.name, _names(beside))}")
  parts = _folder(path) if path.is_dir() else _npz(path)
  return arrays(**parts, continuous=continuous)


def array(path: str | pathlib.Path) -> np.ndarray:
  """Memory-maps one .npy; nothing is unpickled.

  Raises:
    BadInput: it does not exist, or is no .npy of numbers or text.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    raise BadInput(f"{path} does not exist; {_nearest(path.name, _names(beside))}")
  return _array(path, str(path), mmap_mode="r")


def _taps(
  named: Mapping[str, Any], place: str, seeds: tuple[int, ...] | None
) -> dict[str, np.ndarray]:
  return {str(name): _tap(named[name], f"{place}/{name}", seeds) for name in named}


def _tap(values: Any, name: str, seeds: tuple[int, ...] | None) -> np.ndarray:
  """-> `[S, N, ...]` with at least one axis after N; shares memory with `values`."""
  try:
    z = np.asanyarray(values)
  except (ValueError, TypeError, RuntimeError) as error:
    raise BadInput(f"{name} is not an array: {error}") from error
  if z.dtype.kind not in "biuf" and np.can_cast(z.dtype, np.float32):
    z = z.astype(np.float32)  # bfloat16, which NumPy itself does not know
  if z.dtype.kind not in "biuf" or np.ma.isMaskedArray(z):
    kind = "masked entries" if np.ma.isMaskedArray(z) else f"type {z.dtype}"
    raise BadInput(f"{name} has {kind}, expected numbers without holes")
  axes, letters = (1, "[N, ...]") if seeds is None else (2, "[S, N, ...]")
  if z.ndim < axes or not z.size:
    raise BadInput(f"{name} has shape {z.shape}, expected {letters}, nothing empty")
  if seeds is not None and len(z) != len(seeds):
    raise BadInput(
      f"seeds names {len(seeds)} models, but {name} has shape {z.shape}: "
      f"{len(z)} along the first axis"
    )
  z = z[..., None] if z.ndim == axes else z
  return z[None] if seeds is None else z


def _seeds(seeds: Any) -> tuple[int, ...] | None:
  if seeds is None:
    return None
  numbers = np.asarray(seeds)
  if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
    raise BadInput(f"seeds={seeds!r}, expected one integer a model, such as (0, 1, 2)")
  if len(set(numbers.tolist())) < len(numbers):
    raise BadInput(f"seeds={numbers.tolist()} repeats itself; expected distinct ones")
  return tuple(numbers.tolist())


def _attributes(named: Mapping[str, Any], continuous: set[str]) -> dict[str, Attribute]:
  for name in sorted(continuous - set(named)):
    raise BadInput(f"continuous names {name!r}, no attribute; {_nearest(name, named)}")
  found = {}
  for name in named:
    values = named[name]
    kind: Kind | None = "continuous" if name in continuous else None
    coded = isinstance(values, Attribute)
    found[str(name)] = values if coded else encode(values, f"attributes/{name}", kind)
  return found


def _classes(values: Any, name: str) -> Attribute:
  column = encode(values, name)
  if column.kind != "discrete":
    raise BadInput(f"{name} is continuous, expected classes: integers, bools or text")
  if missing := int((~column.known).sum()):
    raise BadInput(f"{name} has {missing} missing values of {len(column.values)}")
  return column


def _words(split: Any) -> np.ndarray:
  column = _classes(split, "split")
  for word in column.labels:
    if word not in SPLIT:
      raise BadInput(f"split has the unknown word {word!r}; {_nearest(word, SPLIT)}")
  for word in SPLIT[1:]:
    if word not in column.labels:
      raise BadInput(f"split has no row {word!r}; expected probe, stop and test rows")
  return np.array(column.labels)[column.values]


def _ids(ids: Any) -> np.ndarray:
  ids_N = np.asarray(ids)
  ids_N = ids_N.astype(str) if ids_N.dtype.kind not in "iuU" else ids_N
  if ids_N.ndim != 1:
    raise BadInput(f"ids has shape {ids_N.shape}, expected [N]")
  if repeated := len(ids_N) - len(np.unique(ids_N)):
    raise BadInput(
      f"ids repeats {repeated} values; expected one identity an example\n"
      "  several rows of one person or source are what groups is for"
    )
  return ids_N


def _same_rows(found: Arrays) -> None:
  sizes = {f"taps/{name}": z.shape[1] for name, z in found.taps.items()}
  sizes |= {f"attributes/{n}": len(a.values) for n, a in found.attributes.items()}
  sizes |= {"task": len(found.task.values)} if found.task else {}
  rest = {"groups": found.groups, "split": found.split, "ids": found.ids}
  sizes |= {name: len(column) for name, column in rest.items() if column is not None}
  first, num_rows = next(iter(sizes.items()))
  for name, size in sizes.items():
    if size != num_rows:
      message = f"{name} has {size} rows, but {first} has {num_rows}"
      if found.seeds is None and all(size in z.shape[2:3] for z in found.taps.values()):
        message += "\n  where the first axis of the taps counts models, give seeds"
      raise BadInput(message)


def _groups_stay_together(groups_N: np.ndarray, split_N: np.ndarray) -> None:
  judged = split_N != "train"
  sides = set(zip(groups_N[judged].tolist(), split_N[judged].tolist(), strict=True))
  _, counts = np.unique([group for group, _ in sides], return_counts=True)
  if torn := int((counts > 1).sum()):
    raise BadInput(f"split tears {torn} groups apart; expected a group on one side only")


def _finite(z: np.ndarray, name: str) -> None:
  if z.dtype.kind != "f":
    return
  step = max(1, CHUNK // z[0, 0].size)
  bad = sum(
    int(np.count_nonzero(~(np.abs(z_N[start : start + step]) <= LARGEST)))
    for z_N in z
    for start in range(0, len(z_N), step)
  )
  if bad:
    raise BadInput(f"{name} has {bad} NaN or infinite values of {z.size} (as float32)")


def _npz(path: pathlib.Path) -> dict[str, Any]:
  if not zipfile.is_zipfile(path):
    raise BadInput(f"{path} is not an npz; expected one, or a folder with taps/*.npy")
  single = ROWS | {"seeds": "seeds"}
  parts: dict[str, Any] = {place: {} for place in NAMED}
  with _load(path.name, np.load, path, allow_pickle=False) as archive:
    for key in archive.files:
      value = _load(f"{path.name}: key {key!r}", archive.__getitem__, key)
      place, _, name = key.partition("/")
      if place in NAMED and name:
        parts[place][name] = value
      elif key in single:
        parts[single[key]] = value
      else:
        valid = [f"{place}/{name or 'NAME'}" for place in NAMED] + list(single)
        raise BadInput(f"{path.name}: unknown key {key!r}; {_nearest(key, valid)}")
  for place in ("taps", "attributes"):
    if not parts[place]:
      raise BadInput(f"{path.name} has no key {place}/NAME; has {_list(archive.files)}")
  return parts


def _folder(path: pathlib.Path) -> dict[str, Any]:
  for need in ("taps", "attributes.csv"):
    if not (path / need).exists():
      near = _nearest(need, _names(path.iterdir()))
      raise BadInput(f"{path} has no {need}; {near}")
  parts = _table(path / "attributes.csv")
  for place in ("taps", "untrained"):
    files = sorted((path / place).glob("*.npy"), key=lambda file: _natural(file.stem))
    parts[place] = {file.stem: _array(file, place, mmap_mode="r") for file in files}
  if not parts["taps"]:
    raise BadInput(f"{path / 'taps'} has no .npy file; expected one a tap")
  if (file := path / "seeds.npy").exists():
    parts["seeds"] = _array(file, "seeds")
  return parts


def _array(file: pathlib.Path, place: str, **how: Any) -> np.ndarray:
  return _load(f"{place}: {file.name}", np.load, file, allow_pickle=False, **how)


def _table(path: pathlib.Path) -> dict[str, Any]:
  def rows() -> list[list[str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
      return [[cell.strip() for cell in row] for row in csv.reader(file) if row]

  header, *body = _load(path.name, rows) or [[]]
  if not body:
    raise BadInput(f"{path.name} has no rows; expected a header and one row an example")
  for number, row in enumerate(body, 2):
    if len(row) != len(header):
      raise BadInput(f"{path.name}: row {number} has {len(row)} cells, not {len(header)}")
  parts: dict[str, Any] = {"attributes": {}}
  for name, column in zip(header, zip(*body, strict=True), strict=True):
    name = "groups" if name == "group" else name
    into, short = (parts, ROWS[name]) if name in ROWS else (parts["attributes"], name)
    if short in into:
      raise BadInput(f"{path.name}: column {name!r} comes twice")
    into[short] = _parse(column, identity=name in ("groups", "id"))
  return parts


def _parse(
  column: Sequence[str], identity: bool = False
) -> Sequence[int | float | str | None]:
  """Numbers where every cell is one as it is commonly written; else the text itself.

  Text that Python would take for a number stays text where two texts would become one:
  underscores, leading zeros, more digits than a number holds. What tells units apart
  (`identity`) is a number only where each has one spelling.
  """
  filled = [cell for cell in column if cell]
  if all((WHOLE if identity else SIGNED).fullmatch(cell) for cell in filled):
    return [int(cell) if cell else None for cell in column]
  if not identity and all(REAL.fullmatch(cell) for cell in filled):
    return [float(cell) if cell else None for cell in column]
  return column


def _load(what: str, load: Callable[..., Any], *args: Any, **settings: Any) -> Any:
  try:
    return load(*args, **settings)
  except UNREADABLE as error:
    raise BadInput(
      f"{what} cannot be read: {error}\n  expected numbers or text, never objects"
    ) from error


def _natural(name: str) -> list[str | int]:
  return [int(p) if p.isdecimal() else p for p in re.split(r"(\d+)", name)]


def _names(paths: Iterable[pathlib.Path]) -> list[str]:
  return sorted(path.name for path in paths)


def _list(names: Iterable[str]) -> str:
  names = list(names)
  return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") or "nothing"


def _nearest(name: str, names: Iterable[str]) -> str:
  names = list(names)
  close = difflib.get_close_matches(name, names, 1, 0.5)
  return f"did you mean {close[0]!r}?" if close else f"expected one of {_list(names)}"
