"""The machine under a run: other processes, the compile cache, profiles, progress."""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import jax
from rich.console import Console
from rich.progress import (
  BarColumn,
  TextColumn,
  TimeElapsedColumn,
  TimeRemainingColumn,
)
from rich.progress import Progress as Bar

from ovl import processes, progress
from ovl.progress import Progress, quiet
from ovl.types import BadInput

FLAGS = (
  ("distributed", "", "auto, or HOST:PORT,COUNT,INDEX: one of several processes of a run"),
  ("cache", True, "keep compiled programs in the user's cache folder; --nocache: do not"),
  ("profile", "", "a folder for a trace that Perfetto and TensorBoard open"),
  ("tensorboard", "", "a folder for the curves of training"),
  ("log_every", 0.0, "seconds: lines of progress in place of a bar, for logs"),
)
DIRECTORY = "jax_compilation_cache_dir"
CACHED = 2**31  # bytes of programs that are kept, the least used go first


@contextlib.contextmanager
def prepared(flags: Mapping[str, Any]) -> Iterator[None]:
  """Joins the processes, and keeps compiled programs, a trace and curves if asked to.

  Raises:
    BadInput: no such cluster; an extra that is not installed.
  """
  if flags["distributed"]:
    processes.start(flags["distributed"])
  processes.listen()
  if flags["cache"]:
    keep_programs()
  with contextlib.ExitStack() as open_:
    if flags["profile"]:
      open_.enter_context(jax.profiler.trace(flags["profile"], create_perfetto_trace=True))
    if flags["tensorboard"] and processes.first():
      open_.enter_context(_curves(flags["tensorboard"]))
    yield


def cache() -> pathlib.Path:
  """Where compiled programs are kept: of JAX's own settings, or of this user."""
  if given := jax.config.values.get(DIRECTORY):
    return pathlib.Path(given)
  home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
  return pathlib.Path(home) / "ovl" / "xla"


def keep_programs() -> None:
  """What one run compiled serves the next; who set JAX's cache keeps that setting."""
  if jax.config.values.get(DIRECTORY):
    return
  place = cache()
  try:
    place.mkdir(parents=True, exist_ok=True)
    for program in place.glob("*-cache"):  # a full disk left half of it, without its time
      if not place.joinpath(program.name.removesuffix("cache") + "atime").exists():
        program.unlink(missing_ok=True)
  except OSError:
    return  # a home that cannot be written costs time, not results
  warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")
  jax.config.update(DIRECTORY, str(place))
  jax.config.update("jax_compilation_cache_max_size", CACHED)
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@contextlib.contextmanager
def _curves(folder: str) -> Iterator[None]:
  try:
    from tensorboardX import SummaryWriter
  except ImportError:
    raise BadInput(
      '--tensorboard needs tensorboardX: pip install "ovl[tensorboard]"'
    ) from None
  with SummaryWriter(folder) as writer:

    def write(step: int, values: Mapping[str, Any]) -> None:
      for name, value_S in values.items():
        for s, value in enumerate(value_S):
          writer.add_scalar(f"{name}/{s}", float(value), step)

    with progress.listening(write):
      yield


@contextlib.contextmanager
def shown(log_every: float) -> Iterator[Progress]:
  """Progress on stderr, so that stdout holds results alone: a bar, or lines.

  Between two reports is a good moment to stop, where a run is of one process.
  """
  if not processes.first():
    yield quiet
    return
  if log_every > 0:
    yield _lines(log_every)
    return
  bar = Bar(
    TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("left"),
    TimeRemainingColumn(), console=Console(stderr=True),
  )  # fmt: skip
  with bar:
    task = bar.add_task("starting", total=1.0)

    def show(share: float, said: str) -> None:
      bar.update(task, completed=share, description=said)
      _pause()

    yield show


def _pause() -> None:
  """Joined processes stop after a step or stage alone, which all of them come to."""
  if not processes.several():
    processes.check()


def _lines(every: float) -> Progress:
  began = last = time.monotonic()

  def show(share: float, said: str) -> None:
    nonlocal last
    now = time.monotonic()
    if share >= 1 or now - last >= every:
      last, left = now, (now - began) * (1 - share) / max(share, 1e-9)
      sys.stderr.write(f"{share:4.0%} {said}, {now - began:.0f} s, {left:.0f} s left\n")
    _pause()

  return show
