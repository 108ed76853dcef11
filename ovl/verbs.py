"""Verbs: rooms with a file `verb.py`, or any file that holds `VERB = Verb(...)`."""

from __future__ import annotations

import importlib
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ovl.load import nearest, run_file
from ovl.types import BadInput

NETWORKS = ("seed", "seeds", "dataset", "model", "fit", "split")  # what `ovl.fit` reads


class Verb(NamedTuple):
  """A word of the command line.

  Attributes:
    said: one sentence of help.
    study: `Run -> Result`: looks up what was asked for, calls `Run.begin`, and works.
    page: module that lays out the rows.
    config: the experiment it runs by default; "" where it has none.
    settings: section of a config -> the dataclass that reads it.
    keys: of a config besides its sections.
    paths: the most and the names of what may stand after it.
    flags: its own flags: name, default, help; the default's type is the flag's.
    asked: paths and flags -> what they add to the config.
    experiment: paths -> the name of the experiment they stand for; "" for the default.
    gate: a result and flags -> lines that make the exit status 1.
  """

  said: str
  study: Callable[[Any], Any]
  page: Any
  config: str = ""
  settings: Mapping[str, type] = {}
  keys: tuple[str, ...] = ()
  paths: tuple[int, str] = (0, "")
  flags: tuple[tuple[str, Any, str], ...] = ()
  asked: Callable[[list[str], Mapping[str, Any]], dict[str, Any]] = lambda paths, flags: {}
  experiment: Callable[[list[str]], str] = lambda paths: ""
  gate: Callable[[Any, Mapping[str, Any]], list[str]] = lambda result, flags: []


def verbs() -> list[str]:
  """Every room that has a file `verb.py`."""
  here = pathlib.Path(__file__).parent
  return sorted(path.parent.name for path in here.glob("*/verb.py"))


def verb(name: str) -> Verb:
  """Finds a verb by its name, or by a file that ends in .py.

  Raises:
    BadInput: unknown; names the nearest.
  """
  if name.endswith(".py"):
    if not pathlib.Path(name).is_file():
      raise BadInput(f"ovl {name}: no such file")
    found = getattr(run_file(pathlib.Path(name)), "VERB", None)
    if not isinstance(found, Verb):
      raise BadInput(f"ovl {name}: the file has no VERB = ovl.run.Verb(...)")
    return found
  if name not in verbs():
    raise BadInput(f"ovl {name}: unknown verb: {nearest(name, verbs())}")
  return importlib.import_module(f"ovl.{name}.verb").VERB


def page(name: str) -> Any:
  """The module that lays out the rows of a verb."""
  return verb(name).page


def named(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
  """The config of a run; of a verb from a file it says so, and what is in that file."""
  return dict(config) | ({"verb": os.path.abspath(name)} if name.endswith(".py") else {})


def check(config: Mapping[str, Any], mine: Verb) -> None:
  """Refuses a section that nothing reads."""
  own = [section.partition(".")[0] for section in mine.settings]
  known = [*NETWORKS, *own, *mine.keys, *verbs(), "verb", "mesh"]
  for key in config:
    if key not in known:
      raise BadInput(f"config.{key} is unknown: {nearest(key, known)}")
