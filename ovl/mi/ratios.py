"""Quantities and vectors: log-ratios, trained or in closed form."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np

from ovl import exchange, stats
from ovl.mi import estimate, lanes
from ovl.mi.lanes import Lanes
from ovl.mi.task import Found, Task
from ovl.progress import Progress
from ovl.types import Critic, View

FOLDS = 3
DRAWS = 99
COUNTERPARTS = 24  # of a closed form, at most


def exchanging(
  task: Task, critic: Critic, view: View, rows: np.ndarray, fold_N: np.ndarray
) -> tuple[Critic, View]:
  """A critic of log-ratios and its report view, such that its value is the test's sums.

  Units are groups, or where there are none the folds, inside which y is exchanged.
  """
  settings, groups_N = task.settings, task.groups(rows)
  draws = exchange.draws_for(settings.level, DRAWS)
  orders = exchange.orders(groups_N, rows, draws, settings.seed, fold_N)
  unit_N = fold_N if groups_N is None else np.unique(groups_N, return_inverse=True)[1]
  told = np.stack([unit_N, np.arange(len(rows)), *orders], 1).astype(np.int32)
  units = int(unit_N.max()) + 1
  return lanes.exchanged(critic, units), view._replace(input_ND=jnp.asarray(told))


def ratio_p(sum_UP: np.ndarray, grouped: bool) -> float:
  """p of sums by unit and draw, the first draw as observed.

  What x alone adds to a unit is much the same in every draw: their mean is taken off.
  """
  sum_UP = sum_UP.astype(np.float64)
  if grouped:
    sum_UP = sum_UP - sum_UP.mean(1, keepdims=True)
  else:
    sum_UP = sum_UP.sum(0, keepdims=True)
  total_P = exchange.studentised(sum_UP)
  return stats.permutation_p(float(total_P[0]), total_P[1:])


def by_ratio(task: Task, found: Lanes, normalised: bool) -> Found:
  """Donsker-Varadhan on report of a critic that was trained."""
  rows = task.parts["report"]
  groups_N, untested = task.groups(rows), task.untested(rows)
  stop = estimate.ensemble(found.stop_joint, found.stop_others)
  report = estimate.ensemble(found.joint, found.others)
  metric = estimate.donsker_varadhan(report)
  doubts = _gap(metric[0], float(report.joint_N.mean())) if normalised else []
  each = [
    estimate.donsker_varadhan(estimate.Pairs(found.joint[i], found.others[i]))[0]
    for i in range(len(found.joint))
  ]
  return Found(
    metric,
    _cost(stop),
    ratio_p(found.value.mean(0), groups_N is not None) if not untested else np.nan,
    doubts + untested,
    float(np.std(each)),
    float(found.converged.mean()),
    len(task.parts["train"]),
    np.nan,
    groups_N,
  )


def by_closed_form(task: Task, critic: Critic, progress: Progress) -> Found:
  """Cross-fitted mean log-ratio of a parametric critic, its first-order bias removed.

  In-sample the mean is p/2n too high, on held-out folds p/2n(1 - 1/F) too low (p free
  numbers): the weights make the two cancel. The stop part is in neither.
  """
  held = np.concatenate([task.parts["train"], task.parts["report"]])
  held = np.random.default_rng([task.settings.seed, 5]).permutation(held)
  if task.pair.groups_N is None:
    fold_N = np.arange(len(held)) % FOLDS
  else:
    fold_N = np.unique(task.pair.groups_N[held], return_inverse=True)[1] % FOLDS
  seen = lanes.views(task.pair, critic, [held, task.parts["stop"], held], held)
  by_fold, seen[2] = exchanging(task, critic, seen[2], held, fold_N)
  mask_LN = np.stack([*(fold_N != f for f in range(FOLDS)), np.ones(len(held))])
  size_L = np.full(FOLDS + 1, len(held))
  few = min(COUNTERPARTS, task.settings.counterparts)
  settings = dataclasses.replace(task.settings, counterparts=few)
  found = lanes.run(by_fold, seen, mask_LN, size_L, settings, progress)
  fresh_N = found.joint[fold_N, np.arange(len(held))].astype(np.float64)
  inside, outside = float(found.joint[FOLDS].mean()), float(fresh_N.mean())
  loss = 1 / (1 - 1 / FOLDS)
  value = (loss * inside + outside) / (loss + 1)
  groups_N = task.groups(held)
  stop = estimate.ensemble(found.stop_joint[FOLDS:], found.stop_others[FOLDS:])
  # The fold of each unit: a lane speaks of the rows it left out.
  unit_N = fold_N if groups_N is None else np.unique(groups_N, return_inverse=True)[1]
  fold_U = fold_N[np.unique(unit_N, return_index=True)[1]]
  fresh_UP = found.value[fold_U, np.arange(len(fold_U))]
  untested = task.untested(held, fold_N)
  doubts = _gap(estimate.donsker_varadhan(stop)[0], float(stop.joint_N.mean()))
  if inside - outside > max(0.1, 0.2 * abs(value)):
    doubts.append(f"in-sample {inside:.3f} against held-out {outside:.3f}")
  return Found(
    (value, fresh_N - outside),
    _cost(stop),
    ratio_p(fresh_UP, groups_N is not None) if not untested else np.nan,
    doubts + untested,
    float(np.std([fresh_N[fold_N == f].mean() for f in range(FOLDS)])),
    1.0,
    len(held),
    np.nan,
    groups_N,
  )


def _cost(stop: estimate.Pairs) -> np.ndarray:
  value, psi_N = estimate.donsker_varadhan(stop)
  return -(value + psi_N)


def _gap(dv: float, mean: float) -> list[str]:
  if abs(dv - mean) <= max(0.06, 0.1 * abs(dv)):
    return []
  return [f"Donsker-Varadhan {dv:.3f} against mean log-ratio {mean:.3f}"]
