"""One method on one pair -> what it found: three kinds of critic, three ways to read.

Posteriors (discrete y, logits), log-ratios (y is a quantity or a vector), and statistics
(a number of the rows, nothing learnt).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ovl import bounds, exchange, stats
from ovl.grid.measure import BLOCKS
from ovl.mi import estimate, lanes
from ovl.mi.data import Pair
from ovl.mi.lanes import Lanes, Progress, Settings
from ovl.stats import Metric
from ovl.types import Critic, View

FOLDS = 3
PERMUTATIONS = 999
RATIO_DRAWS = 99


class Found(NamedTuple):
  """What a method says before anything is quoted.

  Attributes:
    metric: value and influence values on the rows of report.
    cost_N: its per-row score on stop (lower is better): what methods compete by.
    p: of the permutation test; nan where too few units exchange.
    doubts: reasons to distrust the value.
    spread: standard deviation over the lanes.
    converged: share of lanes.
    n_train: rows learnt from.
    certified_low: nats, or nan.
    units: the unit of each row of report.
    recognised: y exchanged by whole groups reads much the same.
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
  recognised: bool = False


class Task(NamedTuple):
  """A pair, its split, and how to measure it."""

  given: Pair
  parts: dict[str, np.ndarray]
  settings: Settings

  def groups(self, rows: np.ndarray) -> np.ndarray | None:
    """The groups of some rows."""
    return None if self.given.groups_N is None else self.given.groups_N[rows]

  def untested(self, rows: np.ndarray, fold_N: np.ndarray | None = None) -> list[str]:
    """Why the exchange of these rows' y cannot reach 1 - level, if it cannot."""
    groups_N, y = self.groups(rows), self.given.y.values[rows]
    least = exchange.reach(y, groups_N, rows, self.settings.seed, fold_N)
    if least <= 1 - self.settings.level:
      return []
    units = (
      f"{len(rows)} rows" if groups_N is None else f"{len(np.unique(groups_N))} groups"
    )
    return [
      f"cannot be tested: the exchange of y among {units} reaches p = {least:.2g} at best, "
      f"{1 - self.settings.level:.2g} is asked for: more units are needed"
    ]


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
  if critic.attribute != "discrete":
    nothing_N = np.zeros(len(parts[2]), int)
    critic, seen[2] = exchanging(task, critic, seen[2], parts[2], nothing_N)
  n = len(parts[0])
  size_L = np.full(number, max(round(share * n), 2))
  mask_LN = np.ones((number, n))
  return lanes.run(critic, seen, mask_LN, size_L, task.settings, progress)


def exchanging(
  task: Task, critic: Critic, view: View, rows: np.ndarray, fold_N: np.ndarray
) -> tuple[Critic, View]:
  """A critic of log-ratios and its report view, such that its value is the test's sums.

  Units are groups, or where there are none the folds, inside which y is exchanged.
  """
  settings, groups_N = task.settings, task.groups(rows)
  draws = exchange.draws_for(settings.level, RATIO_DRAWS)
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
  choice = _says_a_choice(found)
  read = _fano if choice else estimate.barber_agakov
  untested = task.untested(rows)
  p = np.nan
  if not untested:
    draws = exchange.draws_for(task.settings.level, PERMUTATIONS)
    p = exchange.p_of(q.report_NK, s_N, groups_N, rows, draws, task.settings.seed)
  certified = bounds.lower(q.sure_NK, s_N, q.r_K, task.settings.level, groups_N)
  of_lane = [posterior(task, _lane(found, i)) for i in range(len(found.joint))]
  each = [read(one.report_NK, s_N, one.r_K)[0] for one in of_lane]
  s_stop = values[task.parts["stop"]]
  return Found(
    read(q.report_NK, s_N, q.r_K),
    -q.stop_NK[np.arange(len(s_stop)), s_stop],
    p,
    untested,
    float(np.std(each)),
    float(found.converged.mean()),
    len(task.parts["train"]),
    certified.low,
    groups_N,
  )


def _says_a_choice(found: Lanes) -> bool:
  """Whether a posterior is equally sure of every row: it says a class and no more."""
  sorted_LNK = np.sort(found.others, -1)
  alike = np.ptp(sorted_LNK.reshape(-1, sorted_LNK.shape[-1]), 0).max() < 1e-4
  others = sorted_LNK[..., :-1]
  chosen = found.others.argmax(-1)
  return bool(alike and np.ptp(others) < 1e-4 and np.ptp(chosen) > 0)


def _fano(log_q_NK: np.ndarray, s_N: np.ndarray, r_K: np.ndarray) -> Metric:
  return estimate.fano(log_q_NK.argmax(1) != s_N, s_N, r_K)


def _lane(found: Lanes, i: int) -> Lanes:
  return Lanes(*(x[i : i + 1] for x in found))


# ---- log-ratios ----------------------------------------------------------------------


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
  if task.given.groups_N is None:
    fold_N = np.arange(len(held)) % FOLDS
  else:
    fold_N = np.unique(task.given.groups_N[held], return_inverse=True)[1] % FOLDS
  seen = lanes.views(task.given, critic, [held, task.parts["stop"], held], held)
  by_fold, seen[2] = exchanging(task, critic, seen[2], held, fold_N)
  mask_LN = np.stack([*(fold_N != f for f in range(FOLDS)), np.ones(len(held))])
  size_L = np.full(FOLDS + 1, len(held))
  few = min(24, task.settings.counterparts)
  found = lanes.run(
    by_fold, seen, mask_LN, size_L, task.settings, progress, counterparts=few
  )
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


# ---- statistics ----------------------------------------------------------------------

TESTED = 1024

_value = jax.jit(
  lambda critic, view, key: critic.value((), view, key), static_argnames=("critic",)
)


def by_statistic(task: Task, critic: Critic) -> Found:
  """The number of all rows; its spread over disjoint blocks; y exchanged in a part.

  Blocks of N/B rows spread sqrt(B) times as far as all rows (Holmes and Nemenman 2019,
  Phys. Rev. E 100, 022404): the influence values are the blocks' deviations / sqrt(B).
  Of groups, blocks hold whole ones.
  """
  N = len(task.given.x_ND)
  every = np.arange(N)
  groups_N, settings = task.given.groups_N, task.settings
  (whole,) = lanes.views(task.given, critic, [every], every)
  key = jax.random.key(settings.seed)
  turn_N = np.random.default_rng([settings.seed, 3]).permutation(N)
  # In random order: a critic that reads the order of rows reads nothing of the file's.
  value = number(critic, _rows(whole, turn_N, N), settings.seed)
  block_N, tested = _blocks(groups_N, N, settings.seed)
  size = int(np.bincount(block_N).max())
  blocks = [
    float(_value(critic, _rows(whole, np.flatnonzero(block_N == b), size), key))
    for b in range(block_N.max() + 1)
  ]
  doubts = []
  drift = value - float(np.mean(blocks))
  if critic.unit == "nats" and abs(drift) > max(0.1, 0.2 * abs(value)):
    doubts.append(f"an eighth of the rows gives {np.mean(blocks):.3f}")
  untested = task.untested(tested)
  part = _rows(whole, tested, len(tested))
  draws = exchange.draws_for(settings.level, 19)
  null_P = exchanged_values(task, critic, part, tested, draws)
  observed = number(critic, part, settings.seed)
  floor = 0.05 if critic.unit == "nats" else 0.0
  recognised = groups_N is not None and null_P.mean() > max(floor, 0.2 * abs(observed))
  if recognised:
    doubts.append(
      f"rows of a group are alike: y exchanged by whole groups reads {null_P.mean():.3f}"
    )
  psi = np.array(blocks) - np.mean(blocks)
  p = np.nan if untested else stats.permutation_p(observed, null_P)
  return Found((value, psi), np.empty(0), p, doubts + untested, float(np.std(blocks)), 1.0,
               0, np.nan, None, recognised)  # fmt: skip


def _blocks(
  groups_N: np.ndarray | None, N: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
  """The block of each row, of equal size or nearly, and the rows that are tested.

  Where rows are more than are tested, every group keeps as many as it has, up to a
  number, in their order.
  """
  gen = np.random.default_rng([seed, 3])
  turn_N = gen.permutation(N)
  if groups_N is None:
    return np.argsort(turn_N) * BLOCKS // N, np.sort(turn_N[:TESTED])
  code_N = np.unique(groups_N, return_inverse=True)[1]
  size_G = np.bincount(code_N)
  order_G = gen.permutation(len(size_G))
  middle_G = np.empty(len(size_G))
  middle_G[order_G] = np.cumsum(size_G[order_G]) - size_G[order_G] / 2
  block_G = (middle_G * BLOCKS / N).astype(int)
  # Large groups may skip a block.
  block_N = np.unique(block_G[code_N], return_inverse=True)[1]
  sorted_N = turn_N[np.argsort(code_N[turn_N], kind="stable")]
  rank_N = np.empty(N, int)
  rank_N[sorted_N] = np.arange(N) - (np.cumsum(size_G) - size_G)[code_N[sorted_N]]
  most = int(np.searchsorted(np.cumsum(np.bincount(rank_N)), TESTED, "right"))
  return block_N, np.flatnonzero(rank_N < max(most, 1))


def exchanged_values(
  task: Task, critic: Critic, part: View, rows: np.ndarray, draws: int
) -> np.ndarray:
  """The number of some rows, their y exchanged."""
  key = jax.random.key(task.settings.seed)
  orders = exchange.orders(task.groups(rows), rows, draws, task.settings.seed)
  return np.array(
    [float(_value(critic, part._replace(s_N=part.s_N[at]), key)) for at in orders]
  )


def number(critic: Critic, view: View, seed: int) -> float:
  """The value of a critic without parameters."""
  return float(_value(critic, view, jax.random.key(seed)))


def _rows(view: View, rows: np.ndarray, size: int) -> View:
  """Some rows of a view, as many as `size` with those that do not count."""
  at = np.concatenate([rows, np.zeros(size - len(rows), int)])
  mask_N = jnp.asarray(np.arange(size) < len(rows), jnp.float32)
  return view._replace(z_ND=view.z_ND[at], s_N=view.s_N[at], mask_N=mask_N)
