"""Several processes that run one program: who is first, what all agree on, when to stop.

Every process does the same work on its own devices; files are looked at, written and
locked by the first alone, and the others are told what it found.
"""

from __future__ import annotations

import itertools
import json
import signal
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from ovl.types import BadInput

T = TypeVar("T")

_asked = threading.Event()
_steps = itertools.count()


class Stopped(BaseException):
  """The process was asked to end; what was done so far is kept."""


def start(how: str) -> None:
  """Joins the processes of a run.

  Args:
    how: "auto": the cluster says (TPU pods, SLURM, GKE, Open MPI); or
      "HOST:PORT,COUNT,INDEX" of the first process, their number and the own one.

  Raises:
    BadInput: neither, or no cluster is found.
  """
  if how == "auto":
    given: dict[str, Any] = {}
  else:
    try:
      address, count, index = how.split(",")
      given = {
        "coordinator_address": address,
        "num_processes": int(count),
        "process_id": int(index),
      }
    except ValueError:
      raise BadInput(
        f"--distributed={how}: expected auto, or HOST:PORT,COUNT,INDEX"
      ) from None
    if not 0 <= given["process_id"] < given["num_processes"]:
      raise BadInput(f"--distributed={how}: INDEX must lie in 0..COUNT - 1")
  try:
    jax.distributed.initialize(**given)
  except (RuntimeError, ValueError) as error:
    said = str(error).splitlines()[0]
    raise BadInput(
      f"--distributed={how}: the processes cannot be joined: {said}"
    ) from error


def several() -> bool:
  """Whether there are others."""
  return jax.distributed.is_initialized() and jax.process_count() > 1


def first() -> bool:
  """Whether this one writes."""
  return not several() or jax.process_index() == 0


def agreed(make: Callable[[], T]) -> T:
  """What the first process makes (as JSON holds it), told to all.

  Raises:
    BadInput: in all of them, where `make` raises it in the first.
  """
  if not several():
    return make()
  said: dict[str, Any] = {}
  if jax.process_index() == 0:
    try:
      said = {"made": make()}
    except BadInput as error:
      said = {"bad": str(error)}
  said = json.loads(_told(json.dumps(said)))
  if "bad" in said:
    raise BadInput(said["bad"])
  return said["made"]


def _told(text: str) -> str:
  """The first process's text."""
  raw = np.frombuffer(text.encode(), np.uint8)
  size = int(multihost_utils.broadcast_one_to_all(np.int32(len(raw))))
  mine = raw if jax.process_index() == 0 else np.zeros(size, np.uint8)
  return bytes(np.asarray(multihost_utils.broadcast_one_to_all(mine))).decode()


def listen() -> None:
  """From now on SIGTERM asks to stop at the next good moment in place of ending at once.

  Joined processes hear it through JAX, so that all stop after the same step.
  """
  if not several():
    signal.signal(signal.SIGTERM, lambda *_: _asked.set())


def stopping() -> bool:
  """Whether to stop now: called by all processes alike, between steps and stages."""
  if several():
    return bool(multihost_utils.reached_preemption_sync_point(next(_steps)))
  return _asked.is_set()


def check() -> None:
  """Ends the work where a stop was asked for.

  Raises:
    Stopped: it was.
  """
  if stopping():
    raise Stopped
