"""Processes that live and die together, as schedulers call it: a gang."""

from __future__ import annotations

import contextlib
import math
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import IO

UNFINISHED = 75  # exit status (EX_TEMPFAIL): stopped; the same command goes on
OK, BAD_INPUT = 0, 2  # of `ovl`: there is nothing to try again
# Linux tells the child to end where its parent is killed, so that none is left at work and
# holds a lock (1: PR_SET_PDEATHSIG). Said by the child: a fork of many threads is not safe.
FOLLOW = (
  "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 15); os.execvp(sys.argv[1], "
  "sys.argv[1:])"
)


@contextlib.contextmanager
def listening() -> Iterator[list[int]]:
  """SIGTERM and SIGINT stop nothing here: they are listed, for `run` to hand on."""
  stopped: list[int] = []
  kinds = (signal.SIGTERM, signal.SIGINT)
  before = {
    kind: signal.signal(kind, lambda number, frame: stopped.append(number))
    for kind in kinds
  }
  try:
    yield stopped
  finally:
    for kind, handler in before.items():
      signal.signal(kind, handler)


def run(
  commands: Sequence[Sequence[str]],
  stopped: Sequence[int],
  say: Callable[[int, str], None],
  grace: float = math.inf,
) -> int:
  """Starts one process a command and waits for all.

  Where one fails the others are asked to end, since they would wait for it; where a signal
  came all are, by that signal. Ctrl-C reaches them through here alone.

  Args:
    commands: a list of words each.
    stopped: signals that came, see `listening`.
    say: told the number of a process and a line of what it says.
    grace: seconds from being asked to being killed.

  Returns:
    0; else the exit status of the first that failed, as a shell counts: 128 + signal.
  """
  linux = sys.platform == "linux"
  follow = [sys.executable, "-I", "-S", "-c", FOLLOW] if linux else []
  every = [
    subprocess.Popen(
      [*follow, *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
    )
    for command in commands
  ]  # fmt: skip
  threads = [
    threading.Thread(target=_forward, args=(i, process.stdout, say))
    for i, process in enumerate(every)
  ]
  for thread in threads:
    thread.start()
  first, until, asked = 0, math.inf, False
  while alive := [process for process in every if process.poll() is None]:
    first = first or next((p.returncode for p in every if p.returncode), 0)
    if not asked and (stopped or first):
      asked, until = True, time.monotonic() + grace
      for process in alive:
        process.send_signal(stopped[0] if stopped else signal.SIGTERM)
    if time.monotonic() > until:
      for process in alive:
        process.kill()
    time.sleep(0.05)
  for thread in threads:
    thread.join()
  first = first or next((p.returncode for p in every if p.returncode), 0)
  return first if first >= 0 else 128 - first


def _forward(number: int, lines: IO[str], say: Callable[[int, str], None]) -> None:
  with lines:
    for line in lines:
      say(number, line.rstrip("\n"))
