"""The frame of a program: a verb, one run of it, its result.

Run (workdir, stages, progress, mesh)
  subjects -> lanes -> readings -> rows -> sections
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import pathlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

from jax.sharding import Mesh

from ovl import about as described
from ovl import kept, mesh, report, results, workdir
from ovl.about import About
from ovl.files import slug
from ovl.load import nearest, run_file
from ovl.progress import Progress, quiet, within
from ovl.types import BadInput, Row

T = TypeVar("T", bound=tuple)
NETWORKS = ("seed", "seeds", "dataset", "model", "fit", "split")  # what `ovl.fit` reads


class Result(NamedTuple):
  """Every verb's answer: rows, and what they do not say of the run."""

  rows: list[Row]
  about: About

  @property
  def meta(self) -> dict[str, Any]:
    """`about` as a dictionary."""
    return self.about._asdict()

  def table(self) -> str:
    """A short table for a terminal, and what to look at before believing it."""
    doubts = [f"note: {doubt}" for doubt in self.about.warnings]
    return "\n".join([report.text(page(self.about.verb), self.rows, self.about), *doubts])

  def report(self, directory: str | os.PathLike[str]) -> pathlib.Path:
    """Writes `rows.jsonl`, `rows.csv`, `about.json`, `plots/` and `report.html`.

    Returns:
      The page's path.
    """
    path = pathlib.Path(directory)
    results.write(self.rows, path)
    described.write(self.about, path)
    return self.draw(path)

  def draw(self, directory: str | os.PathLike[str]) -> pathlib.Path:
    """Writes the page and its pictures alone."""
    path = pathlib.Path(directory)
    return report.write(page(self.about.verb), self.rows, self.about, path)

  def failures(self, above: float) -> list[Row]:
    """Leaking cells whose share beyond the task is surely above a limit."""
    return [
      row
      for row in self.rows
      if row.metric == "share_beyond_task"
      and row.verdict in report.LEAKING
      and row.low is not None
      and row.low > above
    ]


def reopened(directory: str | os.PathLike[str]) -> Result:
  """The result that a finished run left.

  Raises:
    BadInput: none lies there.
  """
  path = pathlib.Path(directory)
  return Result(results.read(path), described.read(path))


@dataclass(frozen=True)
class Run:
  """One run of a verb: where its stages are kept, and who is told how far it is.

  Attributes:
    config: everything that was asked for, as JSON holds it.
    directory: the workdir; None: nothing is kept.
    progress: called along the way.
    say: told what a person should know before the work.
    started: when, in seconds since the epoch.
  """

  config: Mapping[str, Any]
  directory: pathlib.Path | None = None
  progress: Progress = quiet
  say: Callable[[str], None] = lambda sentence: None
  started: float = field(default_factory=time.time)
  _held: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

  def begin(self) -> None:
    """Claims the workdir; a verb calls it when everything asked for has been looked up.

    Raises:
      BadInput: another config or another process has the folder, or it cannot be written.
    """
    if self.directory is None:
      return
    workdir.check(self.directory)  # a lock is a file as well
    with workdir.locked(self.directory):
      moved = workdir.set_aside(self.directory, dict(self.config))
    if moved:
      self.say(moved)
    self._held.enter_context(workdir.locked(self.directory))
    workdir.claim(self.directory, dict(self.config))
    workdir.record(self.directory, "running", self.started)

  def end(self) -> None:
    """Lets go of the workdir."""
    self._held.close()

  def part(self, low: float, high: float, prefix: str = "") -> Run:
    """The same run, whose progress is a part of the whole."""
    return replace(self, progress=within(self.progress, low, high, prefix))

  def path(self, *names: str) -> pathlib.Path | None:
    """Where a stage is kept: names are made safe for files, and stay in the workdir."""
    if self.directory is None:
      return None
    return self.directory.joinpath("checkpoints", *map(slug, names))

  def stage(self, *names: str, make: Callable[[], list[T]], of: type[T]) -> list[T]:
    """Tuples of arrays that `make` makes, or those that an earlier call kept.

    Args:
      *names: of the stage.
      make: called where it is not kept yet.
      of: the NamedTuple.
    """
    return kept.arrays(self.path(*names), make, of)

  def rows(self, *names: str, make: Callable[[], list[Row]]) -> list[Row]:
    """The same of rows, one JSON a line."""
    return kept.rows(self.path(*names), make)

  def mesh(self, models: int) -> Mesh:
    """The devices, for so many models side by side."""
    return mesh.make(models)

  def about(self, **facts: Any) -> About:
    """What every page says of a run, and these facts."""
    return About(
      config=dict(self.config),
      versions=described.versions(),
      devices=described.devices(),
      git=described.commit(),
      wall_s=round(time.time() - self.started, 2),
      **facts,
    )


# ---- verbs ---------------------------------------------------------------------------


class Verb(NamedTuple):
  """A word of the command line.

  Attributes:
    said: one sentence of help.
    study: looks up what was asked for, calls `Run.begin`, works, and returns a result.
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
  study: Callable[[Run], Result]
  page: Any
  config: str = ""
  settings: Mapping[str, type] = {}
  keys: tuple[str, ...] = ()
  paths: tuple[int, str] = (0, "")
  flags: tuple[tuple[str, Any, str], ...] = ()
  asked: Callable[[list[str], Mapping[str, Any]], dict[str, Any]] = lambda paths, flags: {}
  experiment: Callable[[list[str]], str] = lambda paths: ""
  gate: Callable[[Result, Mapping[str, Any]], list[str]] = lambda result, flags: []


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


def run(
  name: str,
  config: Mapping[str, Any],
  directory: pathlib.Path | None,
  progress: Progress = quiet,
  say: Callable[[str], None] = lambda sentence: None,
) -> tuple[Result, pathlib.Path | None]:
  """One verb, one config, one folder; resumes what an earlier call left unfinished.

  Args:
    name: of the verb.
    config: of the experiment.
    directory: the workdir; None: nothing is written.
    progress: called along the way.
    say: told what a person should know before the work.

  Returns:
    The result, and the page's path.

  Raises:
    BadInput: anything a person can mend.
    FloatingPointError: training went to infinity.
  """
  mine, config = verb(name), named(name, config)
  _known(config, mine)
  this = Run(config, directory, progress, say)
  try:
    result = mine.study(this)
    where = None
    if directory is not None:
      where = result.report(directory)
      workdir.record(
        directory, "complete", this.started, warnings=list(result.about.warnings)
      )
    progress(1.0, "done")
    return result, where
  finally:
    this.end()


def _known(config: Mapping[str, Any], mine: Verb) -> None:
  """Refuses a section that nothing reads."""
  own = [section.partition(".")[0] for section in mine.settings]
  known = [*NETWORKS, *own, *mine.keys, *verbs(), "verb"]
  for key in config:
    if key not in known:
      raise BadInput(f"config.{key} is unknown: {nearest(key, known)}")


def complete(
  directory: pathlib.Path, config: Mapping[str, Any], say: Callable[[str], None]
) -> bool:
  """Whether this config's run on these very files lies there; says what it moves away."""
  if not (directory / "config.json").is_file():
    return False
  with workdir.locked(directory):
    moved = workdir.set_aside(directory, dict(config))
  if moved:
    say(moved)
  return workdir.is_complete(directory)


def runner(name: str) -> Callable[..., tuple[Result, pathlib.Path | None]]:
  """`run` of one verb, for its room's door."""
  return functools.partial(run, name)
