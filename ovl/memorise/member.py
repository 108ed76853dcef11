"""Who was in the training set: many networks on random halves, attacked by one another.

Every seed is a network trained on a random half of the data. One table of networks and
examples serves memorisation, LiRA and RMIA; the attacked network is left out of its own
attack.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ovl import fit, rng, stats
from ovl.memorise import lanes, membership
from ovl.memorise.lanes import Case, Trained, World
from ovl.memorise.settings import Settings
from ovl.run import Run
from ovl.types import BadInput, Row

RATES = (0.001, 0.01)  # false positive rates that are looked at
LEAST = 8  # networks; half of them, less the attacked one, are on each side


class Table(NamedTuple):
  """Of K networks.

  Attributes:
    member: `[K, N]` which was trained on which example.
    margin: `[K, N]` log p_y / (1 - p_y).
    population: `[K, M]` likewise of test images.
    right: `[K, N]` whether the class is right.
    accuracy: `[K]` on test images.
  """

  member: np.ndarray
  margin: np.ndarray
  population: np.ndarray
  right: np.ndarray
  accuracy: np.ndarray


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

    def make(mine: Sequence[int] = mine, here: Run = here) -> list[Table]:
      return [_table(here, world, mine)]

    found += run.stage("members", str(number), make=make, of=Table)
  return Table(*(np.concatenate(leaves) for leaves in zip(*found, strict=True)))


def _table(run: Run, world: World, seeds: Sequence[int]) -> Table:
  S, N = len(seeds), len(world.x_N)
  rows_SN = np.stack(
    [np.random.default_rng([seed, 17]).permutation(N)[: N // 2] for seed in seeds]
  )
  member = np.zeros((S, N), bool)
  np.put_along_axis(member, rows_SN, True, 1)
  weights = {n: np.full(S, w, np.float32) for n, w in world.weights.items()}
  keys = jax.vmap(lambda seed: rng.stream(jax.random.key(seed), "half"))(jnp.array(seeds))
  nets = fit.fit(
    world.model, world.x_N, world.y_N, rows_SN, keys, world.settings, run.mesh(S), None,
    run.progress, fit.Objective(world.plan, weights),
  )  # fmt: skip
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
  )


def rows(table: Table, base: Row, seeds: Sequence[int], made: Settings) -> list[Row]:
  """Attacks of every network by the others, and what is memorised."""
  sure = lambda phi: 1 / (1 + np.exp(-np.clip(phi, -60, 60)))  # noqa: E731
  attacks = {
    "lira_online": membership.lira(table.member, table.margin),
    "lira_offline": membership.lira(table.member, table.margin, "offline"),
    "rmia": membership.rmia(table.member, sure(table.margin), sure(table.population)),
  }
  whole = base._replace(subject="trained", num_seeds=len(seeds), level=made.level)
  out = []
  for name, score in attacks.items():
    for fpr in RATES:
      # Intervals are over networks: examples of one network are not independent.
      each = np.array(
        [
          membership.tpr_at_fpr(mine, member, fpr).tpr
          if fpr * (~member).sum() >= 1
          else np.nan
          for mine, member in zip(score, table.member, strict=True)
        ]
      )
      # All networks at one threshold where a single one has too few others.
      value = membership.tpr_at_fpr(score, table.member, fpr).tpr
      low = high = None
      if not np.isnan(each).any():
        value, _, low, high = stats.excess(each, made.level)
        out += [
          base._replace(
            subject="trained", seed=seed, method=name, metric=f"tpr_at_fpr_{fpr:g}",
            value=float(own), chance=fpr,
          )
          for seed, own in zip(seeds, each, strict=True)
        ]  # fmt: skip
      out.append(
        whole._replace(
          method=name, metric=f"tpr_at_fpr_{fpr:g}", value=value, low=low, high=high,
          chance=fpr,
        )
      )  # fmt: skip
    area, _ = stats.auc(score[~np.isnan(score)], table.member[~np.isnan(score)])
    out.append(
      whole._replace(method=name, metric="auc", value=area, chance=0.5, level=None)
    )
  found = membership.memorisation(table.member, table.right)
  out.append(
    whole._replace(metric="memorisation", value=float(np.nanmean(found.value)), level=None)
  )
  strong = found.value > 0.25
  out.append(
    whole._replace(metric="memorised_share", value=float(strong.mean()), level=None)
  )
  again = membership.halves(table.member, table.margin)
  out.append(whole._replace(metric="repeats", value=again, level=None))
  accuracy, _, low, high = stats.excess(table.accuracy, made.level)
  return [*out, whole._replace(metric="task_accuracy", value=accuracy, low=low, high=high)]
