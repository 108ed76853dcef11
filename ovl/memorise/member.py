"""Who was in the training set: many networks on random halves, attacked by one another.

Every seed is a network trained on a random half of the data. One table of networks and
examples serves memorisation, LiRA and RMIA; the attacked network is left out of its own
attack.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats as scipy_stats

from ovl import fit, mesh, rng, stats
from ovl.memorise import influence, lanes, membership
from ovl.memorise.lanes import Case, Trained, World
from ovl.memorise.settings import Settings
from ovl.run import Run
from ovl.types import BadInput, Row

RATES = (0.001, 0.01)  # false positive rates that are looked at
CURVE = np.logspace(-5, 0, 31)
SHOWN = 8  # examples that are drawn
INFLUENCES = ("tracin", "tracin_no_rate", "trak")
JUDGED = 8  # networks whose gradients are followed
WIDTH = 256  # of random projections
ALONG = 8  # of their training, looked at
LEAST = 8  # networks; half of them, less the attacked one, are on each side


class Table(NamedTuple):
  """Of K networks.

  Attributes:
    member: `[K, N]` which was trained on which example.
    margin: `[K, N]` log p_y / (1 - p_y).
    population: `[K, M]` likewise of test images.
    right: `[K, N]` whether the class is right.
    accuracy: `[K]` on test images.
    influence: `[J, 3, N]` of examples on themselves in some networks, by `INFLUENCES`.
  """

  member: np.ndarray
  margin: np.ndarray
  population: np.ndarray
  right: np.ndarray
  accuracy: np.ndarray
  influence: np.ndarray


def cells(run: Run, world: World, made: Settings, seeds: Sequence[int]) -> Table:
  """Trains a network a seed on its own half, as many at once as `lanes`.

  Raises:
    BadInput: too few networks.
  """
  if len(seeds) < LEAST:
    raise BadInput(f"seeds={len(seeds)}: an attack by the others needs at least {LEAST}")
  parts = [seeds[at : at + made.lanes] for at in range(0, len(seeds), made.lanes)]
  found = []
  for number, mine in enumerate(parts):
    here = run.part(number / len(parts), (number + 1) / len(parts))

    def make(
      mine: Sequence[int] = mine, here: Run = here, judged: int = JUDGED * (not number)
    ) -> list[Table]:
      return [_table(here, world, mine, judged)]

    found += run.stage("members", str(number), make=make, of=Table)
  return Table(*(np.concatenate(leaves) for leaves in zip(*found, strict=True)))


def _table(run: Run, world: World, seeds: Sequence[int], judged: int) -> Table:
  S, N = len(seeds), len(world.x_N)
  rows_SN = np.stack(
    [np.random.default_rng([seed, 17]).permutation(N)[: N // 2] for seed in seeds]
  )
  member = np.zeros((S, N), bool)
  np.put_along_axis(member, rows_SN, True, 1)
  weights = {n: np.full(S, w, np.float32) for n, w in world.weights.items()}
  keys = jax.vmap(lambda seed: rng.stream(jax.random.key(seed), "half"))(jnp.array(seeds))
  steps = world.settings.epochs * (N // 2 // world.settings.batch_size)
  looked = sorted({max(steps * (i + 1) // ALONG, 1) for i in range(ALONG)})
  nets = mesh.local(fit.fit(
    world.model, world.x_N, world.y_N, rows_SN, keys, world.settings, run.mesh(S), None,
    run.progress, fit.Objective(world.plan, weights, snapshots=tuple(looked)),
  ))  # fmt: skip
  trained = Trained(nets.params, nets.state, nets.alive)
  still = lanes.patterns(world, [Case()] * S)
  said = lambda x: lanes.log_probabilities(world.model, trained, still, x)  # noqa: E731
  log_N, log_M = said(world.x_N), said(world.x_M)
  return Table(
    member,
    membership.margin(log_N, world.y_N),
    membership.margin(log_M, world.y_M),
    log_N.argmax(-1) == world.y_N,
    (log_M.argmax(-1) == world.y_M).mean(1),
    np.array([_of_itself(world, nets, s, looked) for s in range(min(S, judged))]).reshape(
      -1, len(INFLUENCES), N
    ),
  )


def _of_itself(world: World, nets: fit.Nets, s: int, looked: Sequence[int]) -> np.ndarray:
  """What every example did to itself in one network, `[3, N]`."""
  data = world.x_N, world.y_N
  along = jax.tree.map(lambda leaf: leaf[:, s], nets.snapshots)
  last = jax.tree.map(lambda leaf: leaf[s], (nets.params, nets.state))
  # The step whose gradient is taken next: of the last network, the last that was taken.
  rate = fit.schedule(world.settings, max(looked))
  rates_T = np.array([rate(min(t, max(looked) - 1)) for t in looked], np.float64)
  width = min(WIDTH, len(world.x_N) // 4)
  return np.stack([
    influence.self_influence(world.model, along, *data, rates_T),
    influence.self_influence(world.model, along, *data),
    influence.trak_self(world.model, last, *data, width, seed=s),
  ])  # fmt: skip


def rows(table: Table, base: Row, seeds: Sequence[int], made: Settings) -> list[Row]:
  """Attacks of every network by the others, and what is memorised."""
  sure = lambda phi: 1 / (1 + np.exp(-np.clip(phi, -60, 60)))  # noqa: E731
  attacks = {
    "lira_online": membership.lira(table.member, table.margin),
    "lira_offline": membership.lira(table.member, table.margin, "offline"),
    "rmia": membership.rmia(table.member, sure(table.margin), sure(table.population)),
  }
  whole = base._replace(subject="trained", num_seeds=len(seeds), level=made.level)
  out: list[Row] = []
  for name, score in attacks.items():
    out += _attack(score, table.member, whole._replace(method=name), seeds)
  out += _remembered(table, whole)
  out += _gradients(table, whole)
  accuracy, _, low, high = stats.excess(table.accuracy, made.level)
  return [*out, whole._replace(metric="task_accuracy", value=accuracy, low=low, high=high)]


def _attack(
  score: np.ndarray, member: np.ndarray, whole: Row, seeds: Sequence[int]
) -> Iterator[Row]:
  """True positive rates, the curve and its area, all networks at one threshold."""
  outs = (~member).sum(1).min()
  for fpr in RATES:
    mine = whole._replace(metric=f"tpr_at_fpr_{fpr:g}", chance=fpr)
    if fpr * outs >= 1:  # a network has enough others for a threshold of its own
      for seed, its, who in zip(seeds, score, member, strict=True):
        yield mine._replace(
          seed=seed, num_seeds=None, level=None,
          value=membership.tpr_at_fpr(its, who, fpr).tpr,
        )  # fmt: skip
    point = membership.over_networks(score, member, fpr, whole.level or 0.95)
    yield mine._replace(value=point.tpr, low=point.low, high=point.high)
  fpr_, tpr_ = membership.roc(score, member)
  least = 1 / max((~member).sum(), 1)
  for fpr in [rate for rate in CURVE if rate >= least]:
    at = np.searchsorted(fpr_, fpr + 1e-12, "right") - 1
    yield whole._replace(
      metric="tpr", setting=json.dumps({"fpr": float(fpr)}), value=float(tpr_[at]),
      chance=float(fpr), level=None,
    )  # fmt: skip
  fine = ~np.isnan(score)
  area, _ = stats.auc(score[fine], member[fine])
  yield whole._replace(metric="auc", value=area, chance=0.5, level=None)


def _remembered(table: Table, whole: Row) -> Iterator[Row]:
  """Memorisation of all examples, and the most memorised ones with their errors."""
  found = membership.memorisation(table.member, table.right)
  mine = whole._replace(level=None)
  yield mine._replace(metric="memorisation", value=float(np.nanmean(found.value)))
  strong = found.value > 0.25
  yield mine._replace(metric="memorised_share", value=float(strong.mean()))
  again = membership.halves(table.member, table.margin)
  yield mine._replace(metric="repeats", value=again)
  by_value = np.argsort(-np.nan_to_num(found.value, nan=-1.0), kind="stable")
  for n in by_value[:SHOWN]:
    low, high = difference(table.right[:, n], table.member[:, n], whole.level or 0.95)
    yield whole._replace(
      metric="memorised_example", attribute=f"training image {n}",
      setting=json.dumps({"example": int(n)}), value=float(found.value[n]), low=low,
      high=high,
    )  # fmt: skip


def difference(
  right_K: np.ndarray, member_K: np.ndarray, level: float
) -> tuple[float, float]:
  """Interval of a difference of two shares, not empty where all are right or none.

  References:
    Agresti and Caffo (2000), The American Statistician 54(4).
  """
  sides = [right_K[member_K], right_K[~member_K]]
  p, n = zip(
    *(((one.sum() + 1) / (len(one) + 2), len(one) + 2) for one in sides), strict=True
  )
  error = np.sqrt(sum(p_ * (1 - p_) / n_ for p_, n_ in zip(p, n, strict=True)))
  half = float(scipy_stats.norm.ppf((1 + level) / 2)) * float(error)
  return max(p[0] - p[1] - half, -1.0), min(p[0] - p[1] + half, 1.0)


def _gradients(table: Table, whole: Row) -> Iterator[Row]:
  """How gradients along training rank examples, against how networks without them do.

  A network's ranking of its own members is compared with the margin that the others lose
  without each: the unit is the network.
  """
  others = membership.memorisation(table.member, table.margin).value
  known = np.isfinite(others)
  for i, name in enumerate(INFLUENCES):
    each = [
      float(scipy_stats.spearmanr(own[who & known], others[who & known]).statistic)
      for own, who in zip(table.influence[:, i], table.member, strict=False)
    ]
    value, _, low, high = stats.excess(np.array(each), whole.level or 0.95)
    yield whole._replace(
      metric="rank_correlation", method=name, value=value, low=low, high=high, chance=0.0,
      num_seeds=len(each),
    )  # fmt: skip


def pictures(
  rows: Sequence[Row], world: World, labels: Sequence[str]
) -> dict[str, dict[str, Any]]:
  """The images that rows name, for the page."""
  named = {
    row.attribute: json.loads(row.setting)["example"] for row in rows if row.attribute
  }
  return {
    name: {"kind": "image", "image": np.round(world.x_N[n].astype(float), 2).tolist(),
           "label": str(labels[int(world.y_N[n])])}
    for name, n in named.items()
  }  # fmt: skip
