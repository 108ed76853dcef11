"""A run's folder: one config, and one content of its files.

A finished run is never overwritten, an unfinished one resumes, and one process at a time
works in it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import pathlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

from filelock import FileLock, Timeout

from ovl.about import claimed as claimed
from ovl.about import commit, devices, versions
from ovl.contents import contents, flat
from ovl.files import write_text
from ovl.types import BadInput

SCHEMA = 1
LOCK = ".lock"


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
  """Holds a folder for this process; the system lets go of it when the process ends.

  Raises:
    BadInput: another process is at work there, or the folder cannot be made.
  """
  try:
    path.mkdir(parents=True, exist_ok=True)
    with FileLock(path / LOCK, timeout=0):
      yield
  except Timeout:
    raise BadInput(
      f"--workdir={path}: another process is at work there; wait for it, or give another"
    ) from None
  except (NotADirectoryError, FileExistsError, PermissionError) as error:
    raise BadInput(f"cannot write {path}: {error.strerror}") from error


def since(started: float) -> float:
  """Seconds; 0 where the clock was set back."""
  return round(max(time.time() - started, 0.0), 2)


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
  check(path)
  # The config is what claims, so it comes last: a folder is never claimed by half.
  write_text(path / "contents.json", _text(contents(config)))
  write_text(home, _text(config))
  return moved


def check(path: pathlib.Path) -> None:
  """Refuses a folder of other things, of which nothing is touched.

  Raises:
    BadInput: it is no workdir and not empty.
  """
  if not path.is_dir() or (path / "config.json").is_file():
    return
  if {file.name for file in path.iterdir()} - {"contents.json", LOCK}:
    raise BadInput(f"--workdir={path} holds other files; expected an empty folder")


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


def _text(tree: Mapping[str, Any]) -> str:
  return json.dumps(tree, indent=2, sort_keys=True) + "\n"


def record(path: pathlib.Path, status: str, started: float, **facts: Any) -> None:
  """Writes `run.json`: schema, versions, devices, commit, wall time and status."""
  facts |= {
    "schema": SCHEMA,
    "status": status,
    "wall_s": since(started),
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


def _difference(theirs: dict[str, Any], mine: dict[str, Any]) -> str:
  old, new = flat(theirs), flat(json.loads(json.dumps(mine)))  # tuples as lists
  keys = sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))
  said = [f"{k}: {old.get(k)!r} there, {new.get(k)!r} here" for k in keys[:3]]
  return "; ".join(said) + ("; ..." if len(keys) > 3 else "")
