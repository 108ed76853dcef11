"""How hard an attribute is to extract: what more data and larger families buy."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ovl import stats
from ovl.load import settings as settings_of
from ovl.mi import data, estimate, lanes, methods
from ovl.mi.api import critic_of, quiet
from ovl.mi.lanes import Progress, Settings
from ovl.mi.methods import Task
from ovl.mi.selfcheck import aligned
from ovl.types import BadInput, Critic

MOST_SIZES = 7  # n, n/2, n/4, ...
FEWEST_ROWS = 16
NEAR = 0.1  # share of the most V-information one may miss


class Curve(NamedTuple):
  """What one family of critics makes of more and more rows. All in nats but accuracies.

  Attributes:
    method: the family.
    sizes: rows learnt from.
    ce: cross-entropy on report after each size, mean over seeds.
    v_information: mean of log q(s|z)/r(s) on report after the largest size, r the class
      shares of train: H(S) - CE, both of the same rows.
    low: lower end of its t interval over seeds and rows of report; nan with one seed.
    high: upper end.
    codelength: of the labels of the largest size's rows, online code, mean over seeds.
    compression: n log K / codelength.
    sdl: surplus description length at epsilon; a lower bound where epsilon is not reached.
    epsilon: the cross-entropy asked for.
    sample_complexity: the smallest size with at most epsilon; nan where none has.
    accuracy: on report after the largest size, mean over seeds.
    control_accuracy: of the same family on permuted labels.
    selectivity: accuracy - control accuracy.
    selectivity_nats: V-information - that of the permuted labels.
    converged: share of the critics whose training ended before its limit.
    seeds: orders of the rows, each with an initialisation of its own.
  """

  method: str
  sizes: tuple[int, ...]
  ce: tuple[float, ...]
  v_information: float
  low: float
  high: float
  codelength: float
  compression: float
  sdl: float
  epsilon: float
  sample_complexity: float
  accuracy: float
  control_accuracy: float
  selectivity: float
  selectivity_nats: float
  converged: float
  seeds: int

  @property
  def reached(self) -> bool:
    """Whether a size has a cross-entropy of at most epsilon."""
    return not np.isnan(self.sample_complexity)


class Effort(NamedTuple):
  """Several families on one attribute.

  Attributes:
    curves: one a method.
    entropy: H(S), nats.
  """

  curves: list[Curve]
  entropy: float

  def table(self) -> str:
    """Plain text, a line a method."""
    heads = ("method", "V-information", "codelength", "compression", "SDL", "rows needed")
    return aligned(
      (*heads, "accuracy", "selectivity"),
      [
        (
          one.method,
          f"{one.v_information:.3f} [{one.low:.3f}, {one.high:.3f}]",
          f"{one.codelength:.1f}",
          f"{one.compression:.2f}",
          f"{'' if one.reached else '> '}{one.sdl:.1f}",
          f"{one.sample_complexity:.0f}" if one.reached else f"> {one.sizes[-1]}",
          f"{one.accuracy:.3f}",
          f"{one.selectivity:.3f}",
        )
        for one in self.curves
      ],
    )


def codelength(first: float, next_ce_T: np.ndarray, sizes_T: np.ndarray) -> float:
  r"""Nats to send labels block by block, each coded by what the rows before it taught.

  .. math:: n_1 \ell + \sum_t (n_{t+1} - n_t) \, CE_t

  Args:
    first: l, nats a label before anything is learnt: log K.
    next_ce_T: cross-entropy of the block that follows each size but the last.
    sizes_T: n_1 < n_2 < ... .

  References:
    Voita and Titov (2020), https://arxiv.org/abs/2003.12298, eq. 3.
  """
  return float(np.diff(sizes_T, prepend=0) @ np.concatenate([[first], next_ce_T]))


def sample_complexity(ce_T: np.ndarray, sizes_T: np.ndarray, epsilon: float) -> float:
  """The smallest size with cross-entropy at most epsilon; nan where none has."""
  enough = np.flatnonzero(ce_T <= epsilon)
  return float(sizes_T[enough[0]]) if len(enough) else np.nan


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
  made = settings_of(Settings, settings, "effort")
  given = data.pair(z, s, groups)
  if given.kind != "discrete":
    raise BadInput(
      f"s is {given.kind}: effort reads classes; bin it, or give codes as text: "
      "s.astype(str)"
    )
  for doubt in filter(None, (given.asked, given.copies)):
    warnings.warn(doubt, stacklevel=2)
  wanted = [method] if isinstance(method, str | Critic) else list(method)
  families = [_family(one) for one in wanted]
  if not families:
    raise BadInput("method is empty: expected a name such as 'linear'")
  task = Task(given, data.split(given, made.seed), made)
  sizes_T = _sizes(sizes, len(task.parts["train"]))
  shuffled = np.random.default_rng([made.seed, 17]).permutation(given.y.values)
  control = task._replace(given=given._replace(y=given.y._replace(values=shuffled)))
  read = []
  for i, (name, critic) in enumerate(families):

    def said(share: float, text: str, i: int = i, name: str = name) -> None:
      progress((i + share) / len(families), name)

    real = _read(task, critic, sizes_T, lambda share, text: said(0.8 * share, text))
    bare = _read(control, critic, sizes_T[-1:], lambda x, text: said(0.8 + 0.2 * x, text))
    read.append((name, real, bare))
  H = methods.entropy(given.y.values, given.y.outputs)
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
  given = np.asarray(sizes)
  whole = given.ndim == 1 and given.size > 0 and given.dtype.kind in "iu"
  if not whole or given[0] < 2 or given[-1] > n or (np.diff(given) <= 0).any():
    raise BadInput(
      f"sizes={sizes}: expected increasing whole numbers from 2 to {n:,}, the train part"
    )
  return given


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
  s_N, K = task.given.y.values, task.given.y.outputs
  unit_N = np.arange(n)
  if task.given.groups_N is not None:
    unit_N = np.unique(task.given.groups_N[train], return_inverse=True)[1]
  gen = np.random.default_rng([task.settings.seed, 19])
  # Where a row stands in a seed's order: units at random, their rows together.
  turn_SN = np.stack([gen.permutation(unit_N.max() + 1)[unit_N] for _ in range(S)])
  place_SN = np.argsort(np.argsort(turn_SN, axis=1, kind="stable"), axis=1)
  mask_STN = place_SN[:, None] < sizes_T[:, None]
  rows = [train, stop, np.concatenate([train, report])]
  found = lanes.run(
    critic, lanes.views(task.given, critic, rows, train), mask_STN.reshape(S * T, n),
    np.tile(sizes_T, S), task.settings, progress, counterparts=1,
  )  # fmt: skip
  cost_STN = -found.joint.reshape(S, T, -1).astype(np.float64)
  fresh_STN = mask_STN[:, 1:] & ~mask_STN[:, :-1]
  return _Read(
    cost_STN[:, :, n:].mean(2),
    (cost_STN[:, :-1, :n] * fresh_STN).sum(2) / np.diff(sizes_T),
    found.others.reshape(S, T, -1, K)[:, -1, n:].astype(np.float64),
    s_N[report],
    estimate.marginal(s_N[train], K),
    float(found.converged.mean()),
  )


def _curve(
  task: Task, sizes_T: np.ndarray, epsilon: float, name: str, real: _Read, bare: _Read
) -> Curve:
  K, n = task.given.y.outputs, int(sizes_T[-1])
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
