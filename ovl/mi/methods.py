"""One method on one pair -> what it found: three kinds of critic, three ways to read.

Posteriors (discrete y, logits), log-ratios (y is a quantity or a vector), and statistics
(a number of the rows, nothing learnt).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats as scipy_stats

from ovl import bounds, stats
from ovl.grid.measure import BLOCKS
from ovl.judge.score import shuffles
from ovl.mi import estimate, lanes
from ovl.mi.data import Pair
from ovl.mi.lanes import Lanes, Progress, Settings
from ovl.stats import Metric
from ovl.types import Critic, View

FOLDS = 3
PERMUTATIONS = 999


class Found(NamedTuple):
  """What a method says before anything is quoted.

  Attributes:
    metric: value and influence values on the rows of report.
    cost_N: its per-row score on stop (lower is better): what methods compete by.
    p: of the permutation test.
    doubts: reasons to distrust the value.
    spread: standard deviation over the lanes.
    converged: share of lanes.
    n_train: rows learnt from.
    certified_low: nats, or nan.
    units: the unit of each row of report.
  """

  metric: Metric
  cost_N: np.ndarray
  p: float
  doubts: list[str]
  spread: float
  converged: float
  n_train: int
  certified_low: float
  units: np.ndarray | None


class Task(NamedTuple):
  """A pair, its split, and how to measure it."""

  given: Pair
  parts: dict[str, np.ndarray]
  settings: Settings

  def groups(self, rows: np.ndarray) -> np.ndarray | None:
    """The groups of some rows."""
    return None if self.given.groups_N is None else self.given.groups_N[rows]


def entropy(s_N: np.ndarray, K: int) -> float:
  """H(S) with Miller and Madow's correction, nats."""
  present = int((np.bincount(s_N, minlength=K) > 0).sum())
  return stats.entropy(s_N, K) + (present - 1) / (2 * len(s_N))


def learnt(
  task: Task, critic: Critic, share: float, number: int, progress: Progress
) -> Lanes:
  """Lanes that learn from a share of the train part."""
  parts = [task.parts[name] for name in ("train", "stop", "report")]
  seen = lanes.views(task.given, critic, parts, parts[0])
  n = len(parts[0])
  size_L = np.full(number, max(round(share * n), 2))
  mask_LN = np.ones((number, n))
  return lanes.run(critic, seen, mask_LN, size_L, task.settings, progress)


# ---- posteriors ----------------------------------------------------------------------


class Posterior(NamedTuple):
  """An ensemble, tempered and mixed with the marginal by what stop says."""

  stop_NK: np.ndarray
  report_NK: np.ndarray
  sure_NK: np.ndarray  # before mixing
  r_K: np.ndarray


def posterior(task: Task, found: Lanes) -> Posterior:
  """The quotable q(s|z) of some lanes."""
  values, K = task.given.y.values, task.given.y.outputs
  s_stop = values[task.parts["stop"]]
  stop_NK = estimate.log_mean_posterior(found.stop_others)
  report_NK = estimate.log_mean_posterior(found.others)
  t = estimate.temperature(stop_NK, s_stop)
  stop_NK, report_NK = estimate.tempered(stop_NK, t), estimate.tempered(report_NK, t)
  r_K = estimate.marginal(values[task.parts["train"]], K)
  weight = estimate.weight_of(stop_NK, r_K, s_stop)
  return Posterior(
    estimate.mixed(stop_NK, r_K, weight),
    estimate.mixed(report_NK, r_K, weight),
    report_NK,
    r_K,
  )


def by_posterior(task: Task, found: Lanes) -> Found:
  """Barber-Agakov on report, with a certified lower bound."""
  values = task.given.y.values
  rows = task.parts["report"]
  s_N, groups_N = values[rows], task.groups(rows)
  q = posterior(task, found)
  metric = estimate.barber_agakov(q.report_NK, s_N, q.r_K)
  order_PN = shuffles(
    s_N, np.zeros_like(s_N), groups_N, PERMUTATIONS, task.settings.seed + 1
  )
  log_q_NK = q.report_NK
  everywhere = np.arange(len(s_N))
  null_P = log_q_NK[everywhere, s_N[order_PN]].mean(1)
  observed = float(log_q_NK[everywhere, s_N].mean())
  certified = bounds.lower(q.sure_NK, s_N, q.r_K, task.settings.level, groups_N)
  each = [
    posterior(task, _lane(found, i)).report_NK[everywhere, s_N].mean()
    for i in range(len(found.joint))
  ]
  s_stop = values[task.parts["stop"]]
  return Found(
    metric,
    -q.stop_NK[np.arange(len(s_stop)), s_stop],
    stats.permutation_p(observed, null_P),
    [],
    float(np.std(each)),
    float(found.converged.mean()),
    len(task.parts["train"]),
    certified.low,
    groups_N,
  )


def _lane(found: Lanes, i: int) -> Lanes:
  return Lanes(*(x[i : i + 1] for x in found))


# ---- log-ratios ----------------------------------------------------------------------


def by_ratio(task: Task, found: Lanes, normalised: bool) -> Found:
  """Donsker-Varadhan on report of a critic that was trained."""
  rows = task.parts["report"]
  groups_N = task.groups(rows)
  stop = estimate.ensemble(found.stop_joint, found.stop_others)
  report = estimate.ensemble(found.joint, found.others)
  metric = estimate.donsker_varadhan(report)
  each = [
    estimate.donsker_varadhan(estimate.Pairs(found.joint[i], found.others[i]))[0]
    for i in range(len(found.joint))
  ]
  return Found(
    metric,
    _cost(stop),
    np.nan if groups_N is not None else estimate.rolled_p(report),
    _gap(metric[0], float(report.joint_N.mean())) if normalised else [],
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
  if task.given.groups_N is None:
    fold_N = np.arange(len(held)) % FOLDS
  else:
    fold_N = np.unique(task.given.groups_N[held], return_inverse=True)[1] % FOLDS
  seen = lanes.views(task.given, critic, [held, task.parts["stop"], held], held)
  mask_LN = np.stack([*(fold_N != f for f in range(FOLDS)), np.ones(len(held))])
  size_L = np.full(FOLDS + 1, len(held))
  few = min(24, task.settings.counterparts)
  found = lanes.run(
    critic, seen, mask_LN, size_L, task.settings, progress, counterparts=few
  )
  fresh_N = found.joint[fold_N, np.arange(len(held))].astype(np.float64)
  inside, outside = float(found.joint[FOLDS].mean()), float(fresh_N.mean())
  loss = 1 / (1 - 1 / FOLDS)
  value = (loss * inside + outside) / (loss + 1)
  groups_N = task.groups(held)
  stop = estimate.ensemble(found.stop_joint[FOLDS:], found.stop_others[FOLDS:])
  rolled = np.stack([found.others[f, n] for n, f in enumerate(fold_N)])
  null = estimate.Pairs(fresh_N, rolled.astype(np.float64))
  doubts = _gap(estimate.donsker_varadhan(stop)[0], float(stop.joint_N.mean()))
  if inside - outside > max(0.1, 0.2 * abs(value)):
    doubts.append(f"in-sample {inside:.3f} against held-out {outside:.3f}")
  return Found(
    (value, fresh_N - outside),
    _cost(stop),
    np.nan if groups_N is not None else estimate.rolled_p(null),
    doubts,
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


# ---- statistics ----------------------------------------------------------------------

TESTED = 1024

_value = jax.jit(
  lambda critic, view, key: critic.value((), view, key), static_argnames=("critic",)
)


def by_statistic(task: Task, critic: Critic) -> Found:
  """The number of all rows; its spread over disjoint blocks; permutations of a part.

  Blocks of N/B rows spread sqrt(B) times as far as all rows (Holmes and Nemenman 2019,
  Phys. Rev. E 100, 022404): the influence values are the blocks' deviations / sqrt(B).
  """
  N = len(task.given.x_ND)
  gen = np.random.default_rng([task.settings.seed, 3])
  groups_N = task.given.groups_N
  if groups_N is None:
    order = gen.permutation(N)
  else:
    code_N = np.unique(groups_N, return_inverse=True)[1]
    order = np.argsort(gen.permutation(code_N.max() + 1)[code_N], kind="stable")
  (whole,) = lanes.views(task.given, critic, [order], order)
  key = jax.random.key(task.settings.seed)
  value = number(critic, whole, task.settings.seed)
  size = N // BLOCKS
  blocks = [
    float(_value(critic, _rows(whole, np.arange(b * size, (b + 1) * size)), key))
    for b in range(BLOCKS)
  ]
  doubts = []
  drift = value - float(np.mean(blocks))
  if critic.unit == "nats" and abs(drift) > max(0.1, 0.2 * abs(value)):
    doubts.append(f"an eighth of the rows gives {np.mean(blocks):.3f}")
  p = np.nan
  if groups_N is None:
    part = _rows(whole, np.arange(min(N, TESTED)))
    null = []
    for _ in range(max(19, int(np.ceil(2 / (1 - task.settings.level))) - 1)):
      shuffled = jnp.asarray(np.asarray(part.s_N)[gen.permutation(len(part.mask_N))])
      null.append(float(_value(critic, part._replace(s_N=shuffled), key)))
    p = stats.permutation_p(float(_value(critic, part, key)), np.array(null))
  # A t interval over so few blocks, written as influence values of the blocks.
  wide = scipy_stats.t.ppf(0.975, BLOCKS - 1) / scipy_stats.norm.ppf(0.975)
  psi = (np.array(blocks) - np.mean(blocks)) * wide * np.sqrt(BLOCKS / (BLOCKS - 1))
  return Found((value, psi), np.empty(0), p, doubts, float(np.std(blocks)), 1.0, 0, np.nan,
               None)  # fmt: skip


def number(critic: Critic, view: View, seed: int) -> float:
  """The value of a critic without parameters."""
  return float(_value(critic, view, jax.random.key(seed)))


def _rows(view: View, rows: np.ndarray) -> View:
  return view._replace(z_ND=view.z_ND[rows], s_N=view.s_N[rows], mask_N=view.mask_N[rows])
