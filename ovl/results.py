"""A run's folder: its config, its rows (JSON lines and CSV), its record.

One config and one content of its files a folder; a finished run is never overwritten, an
unfinished one resumes; files are written whole or not at all.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import importlib.metadata
import importlib.util
import itertools
import json
import math
import os
import pathlib
import platform
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax

from ovl.types import BadInput, Row

SCHEMA = 1
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scipy")

# ---- rows ----------------------------------------------------------------------------


def _number(value: Any) -> Any:
  """Seven significant digits: float32's own, and the same text on every run."""
  if isinstance(value, float):
    return float(f"{value:.7g}") if math.isfinite(value) else None
  return value


def to_dict(row: Row) -> dict[str, Any]:
  """The row without its empty columns."""
  pairs = ((k, _number(v)) for k, v in row._asdict().items())
  return {k: v for k, v in pairs if v is not None and v != ""}


def write_text(path: pathlib.Path, text: str) -> None:
  """Writes beside the target and renames, so that a full disk never leaves half a file.

  Raises:
    BadInput: the folder cannot be written, or the disk is full.
  """
  partial = path.with_name(path.name + ".partial")
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial.write_text(text, encoding="utf-8", newline="\n")
    os.replace(partial, path)
  except OSError as error:
    with contextlib.suppress(OSError):  # half a file would be in the way; its folder, not
      partial.unlink(missing_ok=True)
    raise BadInput(f"cannot write {path}: {error.strerror}") from error


def write(rows: Iterable[Row], directory: pathlib.Path) -> None:
  """Writes `rows.jsonl` (empty columns left out) and `rows.csv` (every column)."""
  dicts = [to_dict(row) for row in rows]
  lines = (json.dumps(d, ensure_ascii=False) for d in dicts)
  write_text(directory / "rows.jsonl", "".join(line + "\n" for line in lines))

  class Sink(list):  # csv wants an object with write()
    write = list.append

  sink = Sink()
  writer = csv.DictWriter(sink, Row._fields, lineterminator="\n")
  writer.writeheader()
  writer.writerows(dicts)
  write_text(directory / "rows.csv", "".join(sink))


def read(directory: str | os.PathLike[str]) -> list[Row]:
  """Reads `rows.jsonl` of a workdir.

  Raises:
    BadInput: no such file, a line that is no JSON, or an unknown column.
  """
  path = pathlib.Path(directory) / "rows.jsonl"
  if not path.is_file():
    raise BadInput(f"{path}: no such file; expected the workdir of a finished run")
  rows = []
  for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
    try:
      rows.append(Row(**json.loads(line)))
    except (json.JSONDecodeError, TypeError) as error:
      raise BadInput(f"{path}:{number}: not a row: {error}") from error
  return rows


# ---- the folder ----------------------------------------------------------------------


def versions() -> dict[str, str]:
  """Python and the packages numbers depend on."""
  found = {name: importlib.metadata.version(name) for name in PACKAGES}
  return {"python": platform.python_version()} | found


def devices() -> str:
  """For example "2 x cpu"."""
  return f"{jax.device_count()} x {jax.devices()[0].device_kind}"


def commit() -> str:
  """The git commit of the package's checkout; empty where it is none."""
  here = pathlib.Path(__file__).parent
  try:
    done = subprocess.run(
      ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"],
      capture_output=True,
      text=True,
      timeout=10,
      check=False,
    )
  except (OSError, subprocess.TimeoutExpired):
    return ""
  return done.stdout.strip() if done.returncode == 0 else ""


def run_id(config: Mapping[str, Any]) -> str:
  """Ten hexadecimal digits of the config: equal configs, equal runs."""
  text = json.dumps(config, sort_keys=True, default=str)
  return hashlib.sha256(text.encode()).hexdigest()[:10]


def is_complete(path: pathlib.Path) -> bool:
  """Whether a finished run lies there."""
  return _status(path) == "complete"


def claim(path: pathlib.Path, config: dict[str, Any]) -> str:
  """Makes the folder the home of this config and content, or finds that it already is.

  Returns:
    What was moved aside, see `set_aside`; "" where nothing was.

  Raises:
    BadInput: another config lives there, a file of the config is missing, or the folder
      cannot be written.
  """
  moved = set_aside(path, config)
  home = path / "config.json"
  if home.is_file():
    return moved
  if path.is_dir() and {file.name for file in path.iterdir()} - {"contents.json"}:
    raise BadInput(f"--workdir={path} holds other files; expected an empty folder")
  # The config is what claims, so it comes last: a folder is never claimed by half.
  write_text(path / "contents.json", _text(contents(config)))
  write_text(home, _text(config))
  return moved


def set_aside(path: pathlib.Path, config: dict[str, Any]) -> str:
  """Moves a run of this config away if its files held something else when it was made.

  It goes beside itself, to the first of `NAME.1`, `NAME.2`, ... that is free.

  Returns:
    One line that says so; "" where the folder is free, or is of this content.

  Raises:
    BadInput: another config lives there, a file of the config is missing, or the folder
      cannot be moved.
  """
  home = path / "config.json"
  if not home.is_file():
    return ""
  if (said := home.read_text(encoding="utf-8")) != _text(config):
    raise BadInput(
      f"--workdir={path} belongs to another config "
      f"({_difference(json.loads(said), config)})\n"
      "give another --workdir, or delete that one"
    )
  mine, theirs = contents(config), {}
  with contextlib.suppress(FileNotFoundError):
    theirs = json.loads((path / "contents.json").read_text(encoding="utf-8"))
  if mine == theirs:
    return ""
  whole = path.resolve()
  free = (whole.with_name(f"{whole.name}.{n}") for n in itertools.count(1))
  aside = next(other for other in free if not other.exists())
  try:
    whole.rename(aside)
  except OSError as error:
    raise BadInput(
      f"--workdir={path} is of other files and cannot be moved: {error.strerror}\n"
      "give another --workdir"
    ) from error
  changed = sorted(k for k in mine.keys() | theirs.keys() if mine.get(k) != theirs.get(k))
  return f"{', '.join(changed)}: not what it was; the run that was in {path} is in {aside}"


# ---- what a config's files hold --------------------------------------------------------


def contents(config: Mapping[str, Any]) -> dict[str, str]:
  """Digests of all that a config names and does not hold itself.

  That is: "path" (activations), `fit.checkpoint`, `dataset.data_dir` (or $OVL_DATA, if
  the data set's own file speaks of it), and every method given as a file that ends in .py
  or as a dotted module.

  Returns:
    name in the config -> SHA-256 of the bytes there, with the names of files in a folder.

  Raises:
    BadInput: one of them does not exist.
  """
  flat = _flat(dict(config))
  found = {}
  for word in sorted(set(_words(config))):
    if word.endswith(".py"):
      found[word] = _digest(_there(word, "config"))
    elif (module := _module(word)) is not None:
      found[word] = _digest(module)
  for key in ("path", "fit.checkpoint"):
    if place := flat.get(key):
      found[key] = _digest(_there(place, key))
  name = str(flat.get("dataset.name", ""))
  known = pathlib.Path(__file__).parent / "datasets" / f"{name}.py"
  source = pathlib.Path(name) if name.endswith(".py") else known
  asks = source.is_file() and "OVL_DATA" in source.read_text(encoding="utf-8")
  folder = flat.get("dataset.data_dir") or (os.environ.get("OVL_DATA") if asks else "")
  if folder:
    found["dataset.data_dir"] = _digest(_there(folder, "dataset.data_dir"))
  return found


def _words(tree: Any) -> Iterator[str]:
  """Every text in it, also the names."""
  if isinstance(tree, Mapping):
    for name, value in tree.items():
      yield str(name)
      yield from _words(value)
  elif isinstance(tree, list | tuple):
    for value in tree:
      yield from _words(value)
  elif isinstance(tree, str):
    yield tree


def _module(word: str) -> pathlib.Path | None:
  """The file of a dotted module, which is not run for that; None where it is none."""
  top, *below = word.split(".")
  if not below or not all(part.isidentifier() for part in (top, *below)):
    return None
  spec = importlib.util.find_spec(top)
  for root in (spec.submodule_search_locations or ()) if spec else ():
    file = pathlib.Path(root, *below).with_suffix(".py")
    if file.is_file():
      return file
  return None


def _there(place: str, key: str) -> pathlib.Path:
  path = pathlib.Path(place)
  if not path.exists():
    raise BadInput(f"{key}: {place} does not exist")
  return path


def _files(path: pathlib.Path) -> list[pathlib.Path]:
  """The file, or those of the folder and below it; other runs that lie there are none."""
  if path.is_file():
    return [path]
  found = []
  for where, folders, files in os.walk(path, followlinks=True):
    here = pathlib.Path(where)
    folders[:] = [
      name for name in sorted(folders) if not (here / name / "contents.json").is_file()
    ]
    found += [here / name for name in sorted(files)]
  return found


def _digest(root: pathlib.Path) -> str:
  """One digest of all bytes; of a folder, also of the names in it."""
  whole = hashlib.sha256()
  for file in _files(root):
    try:
      with file.open("rb") as stream:
        one = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
      raise BadInput(f"cannot read {file}: {error.strerror}") from error
    whole.update(f"{os.path.relpath(file, root)} {one}\n".encode())
  return whole.hexdigest()


def _text(tree: Mapping[str, Any]) -> str:
  return json.dumps(tree, indent=2, sort_keys=True) + "\n"


def record(path: pathlib.Path, status: str, started: float, **facts: Any) -> None:
  """Writes `run.json`: schema, versions, devices, commit, wall time and status."""
  facts |= {
    "schema": SCHEMA,
    "status": status,
    "wall_s": round(time.time() - started, 2),
    "versions": versions(),
    "devices": devices(),
    "git": commit(),
    "config": json.loads((path / "config.json").read_text(encoding="utf-8")),
  }
  write_text(path / "run.json", json.dumps(facts, indent=2, sort_keys=True) + "\n")


def _status(path: pathlib.Path) -> str:
  try:
    return json.loads((path / "run.json").read_text(encoding="utf-8"))["status"]
  except (OSError, ValueError, KeyError):
    return ""


def _flat(tree: Any, name: str = "") -> dict[str, Any]:
  if not isinstance(tree, dict):
    return {name: tree}
  found: dict[str, Any] = {}
  for key, value in tree.items():
    found |= _flat(value, f"{name}.{key}" if name else key)
  return found


def _difference(theirs: dict[str, Any], mine: dict[str, Any]) -> str:
  old, new = _flat(theirs), _flat(json.loads(json.dumps(mine)))  # tuples as lists
  keys = sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))
  said = [f"{k}: {old.get(k)!r} there, {new.get(k)!r} here" for k in keys[:3]]
  return "; ".join(said) + ("; ..." if len(keys) > 3 else "")
