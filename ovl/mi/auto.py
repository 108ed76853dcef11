"""The method that the stop part picks, and what speaks against it."""

from __future__ import annotations

import numpy as np

from ovl import ranks
from ovl.mi import lanes, methods, statistic
from ovl.mi.estimate import Estimate
from ovl.mi.quote import quoted
from ovl.mi.task import Candidate, Task
from ovl.progress import Progress, nth

# Candidates, the simplest first: all have a held-out log-ratio.
AUTO = {
  "discrete": ("linear", "quadratic", "residual", "mlp"),
  "continuous": ("student_copula", "anchored"),
  "vector": ("student_copula", "anchored"),
}
EXCHANGES = 4  # of whole groups, whose mean nearest neighbours read of nothing
CROSS_CHECK_WIDTH = 6  # nearest neighbours see less than there is in wider spaces


def auto(task: Task, progress: Progress) -> Estimate:
  """Lets critics compete on stop: the simplest within one standard error of the best."""
  names = AUTO[task.pair.kind]
  tried: list[Candidate] = []
  for i, name in enumerate(names):
    _, critic = methods.critic_of(name, task.pair.kind)
    part = nth(progress, i, len(names))
    best = min(tried, key=lambda one: one.cost, default=None)
    if (one := methods.measured(task, name, critic, part, best)) is not None:
      tried.append(one)
  best = min(tried, key=lambda one: one.cost)
  picked = next(one for one in tried if one.as_good_as(best, errors=1.0))
  doubts = _objections(task, picked.nats + max(picked.gain, 0.0))
  for one in tried:
    much = one._replace(found=picked.found).gains  # of what is quoted
    if much and one is not picked and one.as_good_as(best, errors=1.0):
      doubts.append(f"{one.name} does as well and gains {one.gain:.3f} over half the rows")
  out = quoted(task, picked, extrapolated=True, doubts=doubts)
  what = "cross-entropy" if task.pair.kind == "discrete" else "- Donsker-Varadhan"
  held = ", ".join(f"{one.name} {one.cost:.3f}" for one in tried)
  beaten = [name for name in names if name not in {one.name for one in tried}]
  also = f"; behind on half the rows: {', '.join(beaten)}" if beaten else ""
  why = f"{picked.name} by {what} on stop: {held}{also}"
  return out._replace(why=why + (f"; {out.why}" if out.why else ""))


def _objections(task: Task, value: float) -> list[str]:
  """Nearest neighbours of ranks see more: the picked critic missed something."""
  pair = task.pair
  width = pair.x_ND.shape[1] + (pair.y.outputs if pair.kind == "vector" else 1)
  if width > CROSS_CHECK_WIDTH or len(pair.x_ND) > 50_000:
    return []
  name = "ross" if pair.kind == "discrete" else "ksg"
  _, critic = methods.critic_of(name, pair.kind)
  every = np.arange(len(pair.x_ND))
  ranked = pair._replace(x_ND=ranks.normal_scores(pair.x_ND, pair.x_ND))
  if pair.kind == "vector":
    rank_N = ranks.normal_scores(pair.y.values, pair.y.values)
    ranked = ranked._replace(y=pair.y._replace(values=rank_N))
  (view,) = lanes.views(ranked, critic, [every], every)
  seen = statistic.number(critic, view, task.settings.seed)
  if pair.groups_N is not None and seen > value:
    # A neighbour of the same group says who it is; that is no objection.
    seen -= statistic.exchanged_values(task, critic, view, every, EXCHANGES).mean()
  if seen - value > max(0.05, 0.1 * value):
    return [f"nearest neighbours ({name}) see {seen:.3f}"]
  return []
