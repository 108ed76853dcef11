"""How hard an attribute is to extract: what more data and larger families buy."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ovl import posterior, stats
from ovl.load import settings as settings_of
from ovl.mi import data, lanes
from ovl.mi.curve import Curve, Effort, codelength, sample_complexity
from ovl.mi.lanes import Settings
from ovl.mi.methods import critic_of
from ovl.mi.task import Task, entropy
from ovl.progress import Progress, nth, quiet, within
from ovl.types import BadInput, Critic

MOST_SIZES = 7  # n, n/2, n/4, ...
FEWEST_ROWS = 16
NEAR = 0.1  # share of the most V-information one may miss


def effort(
  z: Any,
  s: Any,
  method: str | Critic | Sequence[str | Critic] = ("linear", "mlp"),
  *,
  sizes: Sequence[int] | None = None,
  groups: Any = None,
  epsilon: float | None = None,
  progress: Progress = quiet,
  **settings: Any,
) -> Effort:
  """What families of critics make of more and more rows: V-information, MDL, SDL, control.

  Every size of every seed is a lane of one program; a seed has its own order of the
  rows. Labels are coded given z and the stop part, which end training. The control task
  gives every row the label of a random other one (rows have no types to tie labels to).

  Args:
    z: `[N, ...]` numbers.
    s: `[N]` classes.
    method: a name of `ovl/critics`, a `Critic`, or several; they must have logits.
    sizes: increasing, at most the train part; default: it, its half, quarter, ...
    groups: `[N]` units whose rows are not independent: they follow one another in every
      order and are the unit of the interval.
    epsilon: cross-entropy asked for, nats; default: what leaves nine tenths of the most
      V-information any of these methods has, so it is the same for all of them.
    progress: called with the share done and a word.
    **settings: of `Settings`: seeds, level, seed, schedule.

  Returns:
    An `Effort`: a `Curve` for each method.

  Raises:
    BadInput: s is no class, a method does not predict, sizes do not increase or fit.

  References:
    Xu et al. (2020), https://arxiv.org/abs/2002.10689 (V-information);
    Voita and Titov (2020), https://arxiv.org/abs/2003.12298 (online code);
    Whitney et al. (2020), https://arxiv.org/abs/2009.07368 (SDL, sample complexity);
    Hewitt and Liang (2019), https://arxiv.org/abs/1909.03368 (control tasks).
  """
  chosen = settings_of(Settings, settings, "effort")
  pair = data.pair(z, s, groups)
  if pair.kind != "discrete":
    raise BadInput(
      f"s is {pair.kind}: effort reads classes; bin it, or give codes as text: "
      "s.astype(str)"
    )
  for doubt in filter(None, (pair.asked, pair.copies)):
    warnings.warn(doubt, stacklevel=2)
  wanted = [method] if isinstance(method, str | Critic) else list(method)
  families = [_family(one) for one in wanted]
  if not families:
    raise BadInput("method is empty: expected a name such as 'linear'")
  task = Task(pair, data.split(pair, chosen.seed), chosen)
  sizes_T = _sizes(sizes, len(task.parts["train"]))
  shuffled = np.random.default_rng([chosen.seed, 17]).permutation(pair.y.values)
  control = task._replace(pair=pair._replace(y=pair.y._replace(values=shuffled)))
  read = []
  for i, (name, critic) in enumerate(families):
    part = nth(progress, i, len(families))
    real = _read(task, critic, sizes_T, within(part, 0.0, 0.8, name))
    bare = _read(control, critic, sizes_T[-1:], within(part, 0.8, 1.0, name))
    read.append((name, real, bare))
  H = entropy(pair.y.values, pair.y.outputs)
  if epsilon is None:
    best = min(float(real.ce_ST.mean(0)[-1]) for _, real, _ in read)
    epsilon = best + NEAR * max(H - best, 0)
  return Effort([_curve(task, sizes_T, epsilon, *one) for one in read], H)


def _family(method: str | Critic) -> tuple[str, Critic]:
  name, critic = critic_of(method, "discrete")
  if critic.logits is None:
    raise BadInput(f"method={name!r} does not predict: effort needs a critic with logits")
  return name, critic


def _sizes(sizes: Sequence[int] | None, n: int) -> np.ndarray:
  if sizes is None:
    halved = [n >> t for t in range(MOST_SIZES)]
    return np.array([size for size in reversed(halved) if size >= FEWEST_ROWS])
  chosen = np.asarray(sizes)
  whole = chosen.ndim == 1 and chosen.size > 0 and chosen.dtype.kind in "iu"
  if not whole or chosen[0] < 2 or chosen[-1] > n or (np.diff(chosen) <= 0).any():
    raise BadInput(
      f"sizes={sizes}: expected increasing whole numbers from 2 to {n:,}, the train part"
    )
  return chosen


class _Read(NamedTuple):
  """Cross-entropies of every seed and size, and what the largest size says of report."""

  ce_ST: np.ndarray
  next_ce_ST: np.ndarray  # of the block that follows; one size fewer
  log_q_SNK: np.ndarray
  s_N: np.ndarray
  r_K: np.ndarray  # what is said without z
  converged: float

  @property
  def accuracy(self) -> float:
    return float((self.log_q_SNK.argmax(2) == self.s_N).mean())

  @property
  def informations(self) -> list[stats.Metric]:
    """V-information of every seed."""
    picked_SN = np.take_along_axis(self.log_q_SNK, self.s_N[None, :, None], 2)[:, :, 0]
    return [stats.mean(ratio_N) for ratio_N in picked_SN - np.log(self.r_K)[self.s_N]]


def _read(task: Task, critic: Critic, sizes_T: np.ndarray, progress: Progress) -> _Read:
  train, stop, report = (task.parts[name] for name in ("train", "stop", "report"))
  S, T, n = task.settings.seeds, len(sizes_T), len(train)
  s_N, K = task.pair.y.values, task.pair.y.outputs
  unit_N = np.arange(n)
  if task.pair.groups_N is not None:
    unit_N = np.unique(task.pair.groups_N[train], return_inverse=True)[1]
  gen = np.random.default_rng([task.settings.seed, 19])
  # Where a row stands in a seed's order: units at random, their rows together.
  turn_SN = np.stack([gen.permutation(unit_N.max() + 1)[unit_N] for _ in range(S)])
  place_SN = np.argsort(np.argsort(turn_SN, axis=1, kind="stable"), axis=1)
  mask_STN = place_SN[:, None] < sizes_T[:, None]
  rows = [train, stop, np.concatenate([train, report])]
  found = lanes.run(
    critic, lanes.views(task.pair, critic, rows, train), mask_STN.reshape(S * T, n),
    np.tile(sizes_T, S), dataclasses.replace(task.settings, counterparts=1), progress,
  )  # fmt: skip
  cost_STN = -found.joint.reshape(S, T, -1).astype(np.float64)
  fresh_STN = mask_STN[:, 1:] & ~mask_STN[:, :-1]
  return _Read(
    cost_STN[:, :, n:].mean(2),
    (cost_STN[:, :-1, :n] * fresh_STN).sum(2) / np.diff(sizes_T),
    found.others.reshape(S, T, -1, K)[:, -1, n:].astype(np.float64),
    s_N[report],
    posterior.marginal(s_N[train], K),
    float(found.converged.mean()),
  )


def _curve(
  task: Task, sizes_T: np.ndarray, epsilon: float, name: str, real: _Read, bare: _Read
) -> Curve:
  K, n = task.pair.y.outputs, int(sizes_T[-1])
  ce_T = real.ce_ST.mean(0)
  informations = real.informations
  value_S = np.array([value for value, _ in informations])
  units_N = task.groups(task.parts["report"])
  units_N = np.arange(len(real.s_N)) if units_N is None else units_N
  _, _, low, high = stats.over_models_and_examples(
    informations, [units_N] * len(value_S), task.settings.level
  )
  length = codelength(np.log(K), real.next_ce_ST.mean(0), sizes_T)
  surplus_T = np.maximum(ce_T[:-1] - epsilon, 0)
  nothing = np.mean([value for value, _ in bare.informations])
  return Curve(
    method=name,
    sizes=tuple(sizes_T.tolist()),
    ce=tuple(ce_T.tolist()),
    v_information=float(value_S.mean()),
    low=float(low),
    high=float(high),
    codelength=length,
    compression=float(n * np.log(K) / length),
    sdl=codelength(max(np.log(K) - epsilon, 0), surplus_T, sizes_T),
    epsilon=epsilon,
    sample_complexity=sample_complexity(ce_T, sizes_T, epsilon),
    accuracy=real.accuracy,
    control_accuracy=bare.accuracy,
    selectivity=real.accuracy - bare.accuracy,
    selectivity_nats=float(value_S.mean() - nothing),
    converged=real.converged,
    seeds=task.settings.seeds,
  )
