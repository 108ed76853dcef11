"""A run's folder: its config, its rows (JSON lines and CSV), its record.

One config a folder; a finished run is never overwritten, an unfinished one resumes; files
are written whole or not at all.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import importlib.metadata
import json
import math
import os
import pathlib
import platform
import subprocess
import time
from collections.abc import Iterable, Mapping
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


def claim(path: pathlib.Path, config: dict[str, Any]) -> None:
  """Makes the folder the home of this config, or finds that it already is.

  Raises:
    BadInput: another config lives there, or the folder cannot be written.
  """
  mine = json.dumps(config, indent=2, sort_keys=True) + "\n"
  home = path / "config.json"
  if home.is_file():
    if home.read_text(encoding="utf-8") != mine:
      theirs = json.loads(home.read_text(encoding="utf-8"))
      raise BadInput(
        f"--workdir={path} belongs to another config ({_difference(theirs, config)})\n"
        "give another --workdir, or delete that one"
      )
    return
  if path.is_dir() and any(path.iterdir()):
    raise BadInput(f"--workdir={path} holds other files; expected an empty folder")
  write_text(home, mine)


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
