"""The frame of a program: a verb, one run of it, its result.

Run (workdir, stages, progress, mesh)
  subjects -> lanes -> readings -> rows -> sections
"""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

from jax.sharding import Mesh

from ovl import about as described
from ovl import kept, mesh, processes, report, results, workdir
from ovl.about import About
from ovl.files import slug
from ovl.load import settings as settings_of
from ovl.progress import Progress, quiet, within
from ovl.types import Row
from ovl.verbs import Verb as Verb
from ovl.verbs import check, named, page, verb
from ovl.verbs import verbs as verbs

T = TypeVar("T", bound=tuple)


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
    config: everything that was asked for, as JSON holds it; "mesh" says where it is done
      and is no part of what a workdir belongs to.
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
    if self.directory is not None:
      processes.agreed(self._claim)

  def _claim(self) -> None:
    assert self.directory is not None
    asked = workdir.claimed(self.config)
    workdir.check(self.directory)  # a lock is a file as well
    with workdir.locked(self.directory):
      moved = workdir.set_aside(self.directory, asked)
    if moved:
      self.say(moved)
    self._held.enter_context(workdir.locked(self.directory))
    workdir.claim(self.directory, asked)
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

    Raises:
      Stopped: the process was asked to end.
    """
    processes.check()
    return kept.arrays(self.path(*names), make, of, self.say)

  def rows(self, *names: str, make: Callable[[], list[Row]]) -> list[Row]:
    """The same of rows, one JSON a line."""
    processes.check()
    return kept.rows(self.path(*names), make, self.say)

  def mesh(self, models: int) -> Mesh:
    """The devices, for so many models side by side.

    Raises:
      BadInput: what the config asks for does not fit them.
    """
    asked = settings_of(mesh.Settings, self.config.get("mesh", {}), "mesh")
    return mesh.make(models, asked)

  def about(self, **facts: Any) -> About:
    """What every page says of a run, and these facts."""
    return About(
      config=workdir.claimed(self.config),
      versions=described.versions(),
      devices=described.devices(),
      git=described.commit(),
      wall_s=workdir.since(self.started),
      **facts,
    )


# ---- running -----------------------------------------------------------------------


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
    Stopped: the process was asked to end; the same call goes on.
  """
  mine, config = verb(name), named(name, config)
  check(config, mine)
  this = Run(config, directory, progress, say)
  try:
    result = mine.study(this)
    where = None
    if directory is not None:
      where = pathlib.Path(processes.agreed(functools.partial(_finish, this, result)))
    progress(1.0, "done")
    return result, where
  finally:
    this.end()


def _finish(this: Run, result: Result) -> str:
  """Writes rows and report; the run is complete from here on."""
  assert this.directory is not None
  where = result.report(this.directory)
  warnings = list(result.about.warnings)
  workdir.record(this.directory, "complete", this.started, warnings=warnings)
  return str(where)


def complete(
  directory: pathlib.Path, config: Mapping[str, Any], say: Callable[[str], None]
) -> bool:
  """Whether this config's run on these very files lies there; says what it moves away."""

  def look() -> bool:
    if not (directory / "config.json").is_file():
      return False
    with workdir.locked(directory):
      moved = workdir.set_aside(directory, workdir.claimed(config))
    if moved:
      say(moved)
    return workdir.is_complete(directory)

  return processes.agreed(look)


def runner(name: str) -> Callable[..., tuple[Result, pathlib.Path | None]]:
  """`run` of one verb, for its room's door."""
  return functools.partial(run, name)
