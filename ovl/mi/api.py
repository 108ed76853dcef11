"""Mutual information of two arrays: a method, several, or the one the stop part picks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, overload

from ovl.load import settings as settings_of
from ovl.mi import data
from ovl.mi.auto import auto
from ovl.mi.estimate import Estimate
from ovl.mi.lanes import Settings
from ovl.mi.methods import critic_of, measured
from ovl.mi.methods import reading as reading
from ovl.mi.quote import quoted
from ovl.mi.task import Task
from ovl.progress import Progress, nth, quiet
from ovl.types import BadInput, Critic


@overload
def mutual_information(
  x: Any, y: Any, method: str | Critic = ..., **settings: Any
) -> Estimate: ...
@overload
def mutual_information(
  x: Any, y: Any, method: Sequence[str | Critic], **settings: Any
) -> list[Estimate]: ...
def mutual_information(
  x: Any,
  y: Any,
  method: str | Critic | Sequence[str | Critic] = "auto",
  *,
  groups: Any = None,
  kind: Any = None,
  progress: Progress = quiet,
  **settings: Any,
) -> Estimate | list[Estimate]:
  """I(x; y) in nats, with an interval, a test and a flag.

  Rows are split at random (by whole groups) into train .60, stop .15 and report .25:
  what is reported comes from rows that neither trained, stopped nor chose anything.
  "auto" lets critics with a held-out log-ratio compete on stop and takes the simplest
  within one standard error of the best; it adds what the whole train part gave over
  half of it (the first-order bias 1/N), and lets nearest neighbours object.

  Args:
    x: `[N, ...]` numbers.
    y: `[N]` classes or numbers, or `[N, ...]` another representation.
    method: "auto", a name of `ovl/critics`, a `Critic`, or several of them.
    groups: `[N]` units whose rows are not independent; the unit of splits and intervals.
    kind: "discrete" or "continuous" where y should not be read as it looks.
    progress: called with the share done and a word.
    **settings: of `Settings`: seeds, level, counterparts, seed, schedule.

  Returns:
    An `Estimate`, or one for each method.

  Raises:
    BadInput: what came, what was expected, the nearest name.

  References:
    Barber and Agakov (2003); Poole et al. (2019), https://arxiv.org/abs/1905.06922;
    Abdelaleem, Martini and Nemenman (2025), https://arxiv.org/abs/2506.00330.
  """
  chosen = settings_of(Settings, settings, "mutual_information")
  pair = data.pair(x, y, groups, kind)
  for doubt in filter(None, (pair.asked, pair.copies)):
    warnings.warn(doubt, stacklevel=2)
  several = not isinstance(method, str | Critic)
  wanted: list[str | Critic] = [method] if isinstance(method, str | Critic) else [*method]
  if not wanted:
    raise BadInput("method is empty: expected a name such as 'auto'")
  task = Task(pair, data.split(pair, chosen.seed), chosen)
  # Every name is looked at before anything is trained.
  for one in wanted:
    if one != "auto":
      critic_of(one, pair.kind)
  done = []
  for i, one in enumerate(wanted):
    part = nth(progress, i, len(wanted))
    done.append(auto(task, part) if one == "auto" else _one(task, one, part))
  return done if several else done[0]


def _one(task: Task, method: str | Critic, progress: Progress) -> Estimate:
  estimate = measured(task, *critic_of(method, task.pair.kind), progress)
  assert estimate is not None  # only what others beat is given up
  return quoted(task, estimate)
