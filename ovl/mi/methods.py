"""One method on one pair: three kinds of critic, three ways to read.

Posteriors (discrete y, logits), log-ratios (y is a quantity or a vector), and statistics
(a number of the rows, nothing learnt).
"""

from __future__ import annotations

import numpy as np

from ovl.load import load, names
from ovl.mi import classes, lanes, ratios, statistic
from ovl.mi.lanes import Lanes
from ovl.mi.task import Candidate, Found, Task
from ovl.progress import Progress
from ovl.types import BadInput, Critic


def critic_of(method: str | Critic, kind: str) -> tuple[str, Critic]:
  """The critic a name stands for, if it may be reported at all."""
  if isinstance(method, Critic):
    name, critic = "yours", method
    if critic.attribute != kind:
      raise BadInput(f"method: the critic reads {critic.attribute} attributes; y is {kind}")
  else:
    name = method
    try:
      critic = load("critics", method, attribute=kind)
    except BadInput as error:
      fits = ", ".join(reading(kind))
      raise BadInput(f"method={method!r}: {error}; y is {kind}: {fits}") from error
  if "audit" not in critic.uses:
    raise BadInput(f"method={name!r} is a penalty: its value is no estimate to report")
  return name, critic


def reading(kind: str) -> list[str]:
  """Critics that read attributes of a kind and may be reported."""
  found = []
  for name in names("critics"):
    try:
      critic = load("critics", name, attribute=kind)
    except BadInput:
      continue
    if "audit" in critic.uses:
      found.append(name)
  return found


def learnt(
  task: Task, critic: Critic, share: float, number: int, progress: Progress
) -> Lanes:
  """Lanes that learn from a share of the train part."""
  parts = [task.parts[name] for name in ("train", "stop", "report")]
  seen = lanes.views(task.pair, critic, parts, parts[0])
  if critic.attribute != "discrete":
    nothing_N = np.zeros(len(parts[2]), int)
    critic, seen[2] = ratios.exchanging(task, critic, seen[2], parts[2], nothing_N)
  n = len(parts[0])
  size_L = np.full(number, max(round(share * n), 2))
  mask_LN = np.ones((number, n))
  return lanes.run(critic, seen, mask_LN, size_L, task.settings, progress)


def measured(
  task: Task, name: str, critic: Critic, progress: Progress, best: Candidate | None = None
) -> Candidate | None:
  """What a critic says, and what its whole train part gave over half of it.

  Where `best` is surely better on stop than the critic is with half the rows, it is not
  trained on all of them: None.
  """
  posterior = task.pair.kind == "discrete" and critic.logits is not None
  if not posterior and critic.score is None and critic.logits is None:
    progress(0.5, name)
    return Candidate(name, critic, statistic.by_statistic(task, critic), 0.0)
  if not posterior and critic.fit is not None:
    found = ratios.by_closed_form(task, critic, lambda share, _: progress(share, name))
    return Candidate(name, critic, found, 0.0)

  def read(out: Lanes) -> Found:
    if posterior:
      return classes.by_posterior(task, out)
    return ratios.by_ratio(task, out, critic.normalised)

  number = task.settings.seeds if critic.fit is None else 1
  few = max(1, number // 2)
  half = learnt(
    task, critic, 0.5, few, lambda s, _: progress(0.3 * s, f"{name}, half the rows")
  )
  halved = Candidate(name, critic, read(half), 0.0)
  if best is not None and not halved.as_good_as(best, errors=3.0):
    return None
  full = learnt(task, critic, 1.0, number, lambda s, _: progress(0.3 + 0.7 * s, name))
  some = lanes.Lanes(*(x[:few] for x in full))
  return Candidate(name, critic, read(full), read(some).metric[0] - halved.nats)
