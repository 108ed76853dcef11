"""Classes: the posterior of an ensemble, read as a bound on what it knows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ovl import bounds, exchange, posterior, stats
from ovl.mi import estimate
from ovl.mi.lanes import Lanes
from ovl.mi.task import Found, Task
from ovl.posterior import Guess
from ovl.stats import Metric

PERMUTATIONS = 999


class Posterior(NamedTuple):
  """An ensemble, tempered and mixed with the marginal by what stop says."""

  stop: Guess
  report: Guess
  sure_NK: np.ndarray  # log-probabilities before mixing, fixed before report is looked at
  r_K: np.ndarray  # likewise the marginal


def quotable(task: Task, found: Lanes) -> Posterior:
  """The q(s|z) of some lanes that is quoted."""
  K = task.pair.y.outputs
  s_train, s_stop, s_report = (
    task.pair.y.values[task.parts[name]] for name in ("train", "stop", "report")
  )
  stop_NK, report_NK = (posterior.pooled(x) for x in (found.stop_others, found.others))
  t = posterior.temperature(stop_NK, s_stop)
  stop_NK, report_NK = (posterior.tempered(x, t) for x in (stop_NK, report_NK))
  r_K = posterior.marginal(s_train, K)

  def guess(q_NK: np.ndarray, s_N: np.ndarray, weight: float) -> Guess:
    forms = [q_NK, np.broadcast_to(r_K, q_NK.shape)]
    if task.pair.groups_N is not None:  # parts may differ in their mix of classes
      forms = [posterior.tilt(form_NK, s_train, s_N) for form_NK in forms]
    return Guess("discrete", forms[0], forms[1], weight)

  stop = guess(stop_NK, s_stop, 0.0)
  stop = stop._replace(weight=posterior.mix(stop, s_stop)[0])
  report = guess(report_NK, s_report, stop.weight)
  report = posterior.against(report, stop.probabilities.mean(0), s_report)
  return Posterior(stop, report, np.log(report_NK + 1e-38), r_K)


def by_posterior(task: Task, found: Lanes) -> Found:
  """Barber-Agakov on report, with a certified lower bound."""
  values = task.pair.y.values
  rows = task.parts["report"]
  s_N, groups_N = values[rows], task.groups(rows)
  q = quotable(task, found)
  read = _fano if _says_a_choice(found) else _barber_agakov
  untested = task.untested(rows)
  p = np.nan
  if not untested:
    draws = exchange.draws_for(task.settings.level, PERMUTATIONS)
    p = exchange.p_of(
      np.log(q.report.probabilities + 1e-38), s_N, groups_N, rows, draws, task.settings.seed
    )
  certified = bounds.lower(q.sure_NK, s_N, q.r_K, task.settings.level, groups_N)
  of_lane = [quotable(task, _lane(found, i)) for i in range(len(found.joint))]
  each = [read(one.report, s_N)[0] for one in of_lane]
  s_stop = values[task.parts["stop"]]
  return Found(
    read(q.report, s_N),
    -q.stop.log_density(s_stop),
    p,
    untested,
    float(np.std(each)),
    float(found.converged.mean()),
    len(task.parts["train"]),
    certified.low,
    groups_N,
    floor=posterior.floor_cost(q.stop.weight, len(s_stop)),
  )


def _says_a_choice(found: Lanes) -> bool:
  """Whether a posterior is equally sure of every row: it says a class and no more."""
  sorted_LNK = np.sort(found.others, -1)
  alike = np.ptp(sorted_LNK.reshape(-1, sorted_LNK.shape[-1]), 0).max() < 1e-4
  others = sorted_LNK[..., :-1]
  chosen = found.others.argmax(-1)
  return bool(alike and np.ptp(others) < 1e-4 and np.ptp(chosen) > 0)


def _barber_agakov(guess: Guess, s_N: np.ndarray) -> Metric:
  """Mean of log q(s|z)/r(s), nats: exactly 0 where q says no more than the marginal r.

  This is a lower bound in expectation up to KL(p||r), about (K - 1) / 2n nats;
  `bounds.lower` pays for that.
  """
  return stats.mean(guess.log_ratio(s_N))


def _fano(guess: Guess, s_N: np.ndarray) -> Metric:
  return estimate.fano(guess.probabilities.argmax(1) != s_N, s_N, guess.base_N[0])


def _lane(found: Lanes, i: int) -> Lanes:
  return Lanes(*(x[i : i + 1] for x in found))
