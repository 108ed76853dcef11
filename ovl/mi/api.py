"""Mutual information of two arrays: a method, several, or the one the stop part picks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, overload

import numpy as np

from ovl import stats
from ovl.load import load, names
from ovl.load import settings as settings_of
from ovl.mi import data, estimate, lanes, methods
from ovl.mi.estimate import Estimate
from ovl.mi.lanes import Progress, Settings
from ovl.mi.methods import Found, Task
from ovl.types import BadInput, Critic

# Candidates of "auto", the simplest first: all have a held-out log-ratio.
AUTO = {
  "discrete": ("linear", "quadratic", "residual", "mlp"),
  "continuous": ("student_copula", "anchored"),
  "vector": ("student_copula", "anchored"),
}
FEWEST_UNITS = 5  # for an interval
EXCHANGES = 4  # of whole groups, whose mean nearest neighbours read of nothing
CROSS_CHECK_WIDTH = 6  # nearest neighbours see less than there is in wider spaces


def quiet(share: float, said: str) -> None:
  """Reports to nobody."""


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
  made = settings_of(Settings, settings, "mutual_information")
  given = data.pair(x, y, groups, kind)
  for doubt in filter(None, (given.asked, given.copies)):
    warnings.warn(doubt, stacklevel=2)
  several = not isinstance(method, str | Critic)
  wanted: list[str | Critic] = [method] if isinstance(method, str | Critic) else [*method]
  if not wanted:
    raise BadInput("method is empty: expected a name such as 'auto'")
  task = Task(given, data.split(given, made.seed), made)
  # Every name is looked at before anything is trained.
  for one in wanted:
    if one != "auto":
      critic_of(one, given.kind)
  done = []
  for i, one in enumerate(wanted):

    def said(share: float, text: str, i: int = i) -> None:
      progress((i + share) / len(wanted), text)

    done.append(_auto(task, said) if one == "auto" else _one(task, one, said))
  return done if several else done[0]


def _posterior(task: Task, critic: Critic) -> bool:
  return task.given.kind == "discrete" and critic.logits is not None


def _statistic(task: Task, critic: Critic) -> bool:
  return not _posterior(task, critic) and critic.score is None and critic.logits is None


def _closed(task: Task, critic: Critic) -> bool:
  return not _posterior(task, critic) and critic.fit is not None


def found_by(
  task: Task, name: str, critic: Critic, progress: Progress, best: Found | None = None
) -> tuple[Found, float] | None:
  """What a critic says, and what its whole train part gave over half of it.

  Where `best` is surely better on stop than the critic is with half the rows, it is not
  trained on all of them: None.
  """
  if _statistic(task, critic):
    progress(0.5, name)
    return methods.by_statistic(task, critic), 0.0
  if _closed(task, critic):
    return methods.by_closed_form(task, critic, lambda s, _: progress(s, name)), 0.0

  def read(out: lanes.Lanes) -> Found:
    if _posterior(task, critic):
      return methods.by_posterior(task, out)
    return methods.by_ratio(task, out, critic.normalised)

  number = task.settings.seeds if critic.fit is None else 1
  few = max(1, number // 2)
  half = methods.learnt(
    task, critic, 0.5, few, lambda s, _: progress(0.3 * s, f"{name}, half the rows")
  )
  halved = read(half)
  if best is not None and not _as_good(halved, best, errors=3.0):
    return None
  full = methods.learnt(
    task, critic, 1.0, number, lambda s, _: progress(0.3 + 0.7 * s, name)
  )
  some = lanes.Lanes(*(x[:few] for x in full))
  return read(full), read(some).metric[0] - halved.metric[0]


def _one(task: Task, method: str | Critic, progress: Progress) -> Estimate:
  name, critic = critic_of(method, task.given.kind)
  found = found_by(task, name, critic, progress)
  assert found is not None
  return quoted(task, name, critic, *found, False, [])


def _auto(task: Task, progress: Progress) -> Estimate:
  kind = task.given.kind
  tried: dict[str, tuple[Critic, Found, float]] = {}
  best: Found | None = None
  for i, name in enumerate(AUTO[kind]):
    _, critic = critic_of(name, kind)

    def said(share: float, text: str, i: int = i) -> None:
      progress((i + share) / len(AUTO[kind]), text)

    if (found := found_by(task, name, critic, said, best)) is not None:
      tried[name] = (critic, *found)
      if best is None or found[0].cost_N.mean() < best.cost_N.mean():
        best = found[0]
  assert best is not None
  picked = next(name for name in tried if _as_good(tried[name][1], best, errors=1.0))
  critic, mine, gain = tried[picked]
  doubts = _objections(task, mine.metric[0] + max(gain, 0.0))
  for name, (_, other, its_gain) in tried.items():
    if name != picked and _as_good(other, best, errors=1.0) and _large(its_gain, mine):
      doubts.append(f"{name} does as well and gains {its_gain:.3f} over half the rows")
  out = quoted(task, picked, critic, mine, gain, True, doubts)
  what = "cross-entropy" if kind == "discrete" else "- Donsker-Varadhan"
  held = ", ".join(f"{name} {tried[name][1].cost_N.mean():.3f}" for name in tried)
  beaten = [name for name in AUTO[kind] if name not in tried]
  also = f"; behind on half the rows: {', '.join(beaten)}" if beaten else ""
  why = f"{picked} by {what} on stop: {held}{also}"
  return out._replace(why=why + (f"; {out.why}" if out.why else ""))


def _large(gain: float, found: Found) -> bool:
  return gain > max(0.05, 0.1 * abs(found.metric[0]))


def _as_good(one: Found, best: Found, errors: float) -> bool:
  """Within so many standard errors of the best, paired by rows of stop."""
  worse_N = one.cost_N - best.cost_N
  return bool(worse_N.mean() <= errors * worse_N.std() / np.sqrt(len(worse_N)))


def _objections(task: Task, value: float) -> list[str]:
  """Nearest neighbours of ranks see more: the picked critic missed something."""
  given = task.given
  width = given.x_ND.shape[1] + (given.y.outputs if given.kind == "vector" else 1)
  if width > CROSS_CHECK_WIDTH or len(given.x_ND) > 50_000:
    return []
  name = "ross" if given.kind == "discrete" else "ksg"
  _, critic = critic_of(name, given.kind)
  every = np.arange(len(given.x_ND))
  ranked = given._replace(x_ND=data.normal_scores(given.x_ND, every).astype(float))
  if given.kind == "vector":
    ranks = data.normal_scores(given.y.values, every).astype(float)
    ranked = ranked._replace(y=given.y._replace(values=ranks))
  (view,) = lanes.views(ranked, critic, [every], every)
  seen = methods.number(critic, view, task.settings.seed)
  if given.groups_N is not None and seen > value:
    # A neighbour of the same group says who it is; that is no objection.
    seen -= methods.exchanged_values(task, critic, view, every, EXCHANGES).mean()
  if seen - value > max(0.05, 0.1 * value):
    return [f"nearest neighbours ({name}) see {seen:.3f}"]
  return []


def quoted(
  task: Task,
  name: str,
  critic: Critic,
  found: Found,
  gain: float,
  extrapolated: bool,
  doubts: list[str],
) -> Estimate:
  """What is said in the end: number, interval, flag."""
  settings, given = task.settings, task.given
  value, psi = found.metric
  known = len(np.unique(found.units)) if found.units is not None else len(psi)
  units_N = np.arange(len(psi)) if found.units is None else found.units
  _, _, low, high = stats.over_models_and_examples(
    [found.metric], [units_N], settings.level
  )
  up = max(gain, 0.0)
  nats = value + up if extrapolated else value
  high = high + (2 * up if extrapolated else up)
  H = np.nan
  if given.kind == "discrete":
    H = methods.entropy(given.y.values, given.y.outputs)
    if critic.unit == "nats":
      # I is at most H(S): the estimate and both its ends, by one monotone map.
      nats, low, high = min(nats, H), min(low, H), min(high, H)
  doubts = doubts + found.doubts + ["rows are copies of others"] * bool(given.copies)
  learns = found.cost_N.size > 0
  if _large(up, found):
    doubts.append(f"half the rows gave {up:.3f} less")
  if learns and found.spread > max(0.05, 0.15 * abs(value)):
    doubts.append(f"lanes differ by {found.spread:.3f}")
  if found.converged < 1:
    doubts.append(f"{1 - found.converged:.0%} of lanes ended at their limit of passes")
  ceiling = ""
  if given.kind == "discrete" and critic.unit == "nats" and nats > 0.97 * H:
    ceiling = "I cannot exceed H(S)"
  elif given.kind != "discrete" and nats > np.log(max(len(psi), 2)) - 1 and learns:
    ceiling = f"no bound from {len(psi):,} rows can exceed about their logarithm"
  if critic.unit == "nats" and nats > 0:
    ceiling = data.determined(given) or ceiling
  if found.recognised:
    ceiling = ""  # of what whole groups tell, not of what x knows
  if known < FEWEST_UNITS or not np.isfinite(low):
    doubts.append(f"{known} groups are too few for an interval")
  if critic.unit == "nats" and nats <= 0:
    doubts.append("y is found, how much of it is not: the estimate is not above 0")
  flag, why = estimate.flagged(doubts, found.p, settings.level, ceiling)
  bound = critic.bound or ""
  if extrapolated or (learns and critic.score is not None and critic.fit is not None):
    bound = "estimate"
  n_eval = len(given.x_ND) if not learns else len(psi)
  units = n_eval if found.units is None else known
  if not learns and given.groups_N is not None:
    units = len(np.unique(given.groups_N))
  return Estimate(
    nats=float(nats),
    low=float(low),
    high=float(high),
    method=name,
    bound=bound,
    unit=critic.unit or "",
    level=settings.level,
    entropy=float(H),
    share=float(nats / H) if critic.unit == "nats" else np.nan,
    certified_low=found.certified_low,
    p=float(found.p),
    flag=flag,
    why=why,
    converged=found.converged,
    seeds=settings.seeds if learns and critic.fit is None else 1,
    n_train=found.n_train,
    n_eval=n_eval,
    units=units,
  )
