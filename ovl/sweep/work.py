"""Jobs one after the other, each in a process of its own."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

from ovl import gang
from ovl.sweep.jobs import Job

PATIENCE = 10.0  # seconds a peer's last file may take to be seen
TOLD = (0, 130, 143)  # exit status of a job that saved, was interrupted, was ended


def command(job: Job) -> list[str]:
  """What is run; -P: nothing is imported from the folder one happens to be in."""
  return [sys.executable, "-P", "-m", "ovl", job.verb, *job.words]


def work(jobs: Sequence[Job], say: Callable[[str], None]) -> tuple[dict[str, str], bool]:
  """Runs what is not complete; what one says goes to its log.

  A job that fails does not cost the others. A signal goes to the job at work, which saves,
  and no other is begun.

  Args:
    jobs: in their order.
    say: told a line a job.

  Returns:
    Name of each that failed -> why; and whether the work was stopped.
  """
  failed: dict[str, str] = {}
  with gang.listening() as stopped:
    for number, job in enumerate(jobs, 1):
      head = f"[{number}/{len(jobs)}] {job.said}:"
      if stopped:
        return failed, True
      if job.complete:
        say(f"{head} complete")
        continue
      say(f"{head} runs; {job.log}")
      started = time.monotonic()
      status, last = _run(job, stopped)
      took = f"in {time.monotonic() - started:.0f} s"
      if _complete(job, status):
        say(f"{head} complete {took}")
      elif stopped or status in TOLD:  # told by us, or by who told all processes
        say(f"{head} stopped {took}")
        return failed, True
      else:
        failed[job.name] = f"exit status {status}: {last}"
        say(f"{head} failed {took}, {failed[job.name]}")
  return failed, bool(stopped)


def _run(job: Job, stopped: Sequence[int]) -> tuple[int, str]:
  """Its exit status, and the line in which it said what is wrong, else its last."""
  job.log.parent.mkdir(parents=True, exist_ok=True)
  lines = [""]
  with job.log.open("a", encoding="utf-8") as log:

    def say(number: int, line: str) -> None:
      log.write(line + "\n")
      log.flush()
      if line.strip():
        lines.append(line.strip())

    status = gang.run([command(job)], stopped, say)
  errors = [line for line in lines if line.startswith("ovl:")]
  return status, (errors or lines)[-1]


def _complete(job: Job, status: int) -> bool:
  """Of several processes on a job one writes; others may be a moment ahead of it."""
  until = time.monotonic() + (PATIENCE if status == 0 else 0)
  while not (done := job.complete) and time.monotonic() < until:
    time.sleep(0.1)
  return done
