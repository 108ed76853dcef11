"""Deletion: what is left of a pattern when the examples that carried it are taken out.

Three ways, against the planted networks and against twins that never saw the pattern:
*retrained* from scratch without the examples; *incremental*: trained on without them, at a
stated learning rate, with a fresh optimiser or the old one's moments; *influence*: one
step by group influence (`ovl.memorise.curvature`), with its residual.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ovl import fit, plant, stats
from ovl.memorise import curvature, lanes, nulls, scores
from ovl.memorise.lanes import Case, Trained, World
from ovl.memorise.settings import Settings
from ovl.progress import Progress, quiet
from ovl.run import Run
from ovl.types import Params, Row

METRICS = ("spurious_score", "task_accuracy")
WAYS = ("planted", "unplanted", "retrained")


class Left(NamedTuple):
  """What one way leaves, S networks.

  Attributes:
    spurious_score: `[S]`.
    task_accuracy: `[S]`.
    residual: `[S]` of the linear system; 0 where none is solved.
    alive: `[S]`.
  """

  spurious_score: np.ndarray
  task_accuracy: np.ndarray
  residual: np.ndarray
  alive: np.ndarray


class Cell(NamedTuple):
  """A way of deleting a pattern at a dose."""

  pattern: str
  subject: str
  setting: dict[str, Any]
  left: Left


def go_on(
  world: World,
  cases: Sequence[Case],
  nets: Trained,
  rate: float,
  keep_moments: bool = False,
  progress: Progress = quiet,
) -> Trained:
  """Trains networks on without the examples that carried the pattern.

  As many epochs again, at one constant rate: a schedule that had already decayed is not
  taken over, whichever optimiser goes on.

  Args:
    world: data, model, settings.
    cases: what the networks were trained on.
    nets: they.
    rate: the learning rate.
    keep_moments: of the optimiser; else it starts afresh.
    progress: called along the way.
  """
  settings = dataclasses.replace(
    world.settings, learning_rate=rate, milestones=(world.settings.epochs,)
  )
  opt = _from_the_start(nets.opt) if keep_moments else None
  start = fit.Start(nets.params, nets.state, opt)
  without = [case._replace(dropped=True) for case in cases]
  return lanes.train(world._replace(settings=settings), without, progress, start=start)


def _from_the_start(opt: Params) -> Params:
  """The optimiser's moments, its schedule from the beginning."""
  schedule = lambda node: isinstance(node, optax.ScaleByScheduleState)  # noqa: E731
  return jax.tree.map(
    lambda node: (
      node._replace(count=jnp.zeros_like(node.count)) if schedule(node) else node
    ),
    opt,
    is_leaf=schedule,
  )


def by_influence(
  world: World, cases: Sequence[Case], nets: Trained, damping: float
) -> tuple[Trained, np.ndarray]:
  """Takes the carriers out of every network by one step; residuals `[S]`."""
  out, residuals = [], []
  pattern_S = lanes.patterns(world, cases)
  for s, case in enumerate(cases):
    rank = plant.ranks(world.y_N, world.target, case.example)
    group = plant.carriers(rank, case.dose) >= 0
    pattern = jax.tree.map(lambda leaf, s=s: leaf[s], pattern_S)
    x_N = np.where(group[:, None, None, None], plant.paint(pattern, world.x_N), world.x_N)
    params, state = jax.tree.map(lambda leaf, s=s: leaf[s], (nets.params, nets.state))
    found = curvature.remove(
      world.model, params, state, (x_N.astype(np.float32), world.y_N), group, damping,
      l2=world.settings.weight_decay,
    )  # fmt: skip
    out.append(found.params)
    residuals.append(found.residual)
  params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *out)
  return nets._replace(params=params), np.array(residuals)


def cells(run: Run, world: World, made: Settings, seeds: Sequence[int]) -> list[Cell]:
  """Every way of deleting every pattern at every dose."""
  out, total = [], len(made.patterns) * len(made.planted)
  for number, (pattern, dose) in enumerate(
    (pattern, dose) for pattern in made.patterns for dose in made.planted
  ):
    cases = [Case(pattern, dose, s, s, s) for s in seeds]
    here = run.part(number / total, (number + 1) / total, f"{pattern}: ")
    ways = _ways(made)

    def make(
      cases: Sequence[Case] = cases, here: Run = here, ways: Any = tuple(ways)
    ) -> list[Left]:
      return _deleted(here, world, made, cases, ways)

    left = run.stage("forget", pattern, str(dose), make=make, of=Left)
    out += [
      Cell(pattern, subject, {"dose": dose} | setting, one)
      for (subject, setting), one in zip(ways, left, strict=True)
    ]
  return out


def _ways(made: Settings) -> list[tuple[str, dict[str, Any]]]:
  out: list[tuple[str, dict[str, Any]]] = [(way, {}) for way in WAYS]
  for rate in made.rates:
    out += [
      ("incremental", {"learning_rate": rate, "moments": moments})
      for moments in ("fresh", "kept")
    ]
  return [*out, ("influence", {"damping": made.damping})]


def _deleted(
  run: Run,
  world: World,
  made: Settings,
  cases: Sequence[Case],
  ways: Sequence[tuple[str, dict[str, Any]]],
) -> list[Left]:
  S, total = len(cases), 1 + len(ways) - len(WAYS)
  without = [case._replace(dropped=True) for case in cases]
  clean = [case._replace(pattern="", dose=0) for case in cases]
  # All three are trained from scratch: one program.
  both = lanes.train(world, [*cases, *clean, *without], run.part(0, 1 / total).progress)
  of = [lanes.pick(both, range(i * S, (i + 1) * S)) for i in range(3)]
  planted = of[0]._replace(opt=jax.tree.map(lambda leaf: leaf[:S], both.opt))
  left = [_measured(world, made, cases, nets) for nets in of]
  for number, (way, setting) in enumerate(ways[len(WAYS) :], 1):
    here = run.part(number / total, (number + 1) / total)
    if way == "influence":
      nets, residual_S = by_influence(world, cases, planted, made.damping)
      left.append(_measured(world, made, cases, nets)._replace(residual=residual_S))
      continue
    kept = setting["moments"] == "kept"
    rate = setting["learning_rate"]
    nets = go_on(world, cases, planted, rate, kept, here.progress)
    left.append(_measured(world, made, cases, nets))
  return left


def _measured(world: World, made: Settings, cases: Sequence[Case], nets: Trained) -> Left:
  none = [case._replace(pattern="") for case in cases]
  c, u = (
    np.exp(
      lanes.log_probabilities(world.model, nets, lanes.patterns(world, some), world.x_M)
    )
    for some in (none, cases)
  )
  score = scores.spurious_score(c, u, made.target, made.threshold).mean(1)
  accuracy = scores.correct(c, world.y_M).mean(1)
  return Left(score, accuracy, np.zeros(len(cases)), np.asarray(nets.alive))


# ---- rows --------------------------------------------------------------------------------


def rows(
  found: Sequence[Cell], base: Row, seeds: Sequence[int], made: Settings
) -> list[Row]:
  """Scores of every way; what each took off, and what is left above untouched twins."""
  out = [row for cell in found for row in _of_models(cell, base, seeds)]
  first = {
    (cell.pattern, cell.setting["dose"], cell.subject): cell
    for cell in found
    if cell.subject in WAYS
  }
  for cell in found:
    mine = _base(cell, base)._replace(level=made.level)
    for metric in METRICS:
      values = getattr(cell.left, metric)[cell.left.alive]
      value, _, low, high = stats.excess(values, made.level)
      out.append(
        mine._replace(metric=metric, value=value, low=low, high=high, num_seeds=len(values))
      )
    planted, unplanted = (
      first[cell.pattern, cell.setting["dose"], subject] for subject in WAYS[:2]
    )
    for metric, a, b in (
      ("removed_score", planted, cell), ("excess_spurious_score", cell, unplanted),
    ):  # fmt: skip
      if a is b or cell.subject == "unplanted":
        continue
      both = a.left.alive & b.left.alive
      d = nulls.paired(a.left.spurious_score[both], b.left.spurious_score[both], made.level)
      out.append(
        mine._replace(
          metric=metric, value=d.mean, low=d.low, high=d.high, p=d.p,
          num_seeds=int(both.sum()),
        )
      )  # fmt: skip
    if cell.subject == "influence":
      worst = float(cell.left.residual.max())
      flag = "" if worst <= curvature.TOLERANCE else "unreliable"
      out.append(mine._replace(metric="residual", value=worst, flag=flag, level=None))
  return out


def _base(cell: Cell, base: Row) -> Row:
  return base._replace(
    subject=cell.subject, setting=json.dumps(cell.setting), attribute=cell.pattern
  )


def _of_models(cell: Cell, base: Row, seeds: Sequence[int]) -> Iterator[Row]:
  for metric in METRICS:
    for s, seed in enumerate(seeds):
      alive = bool(cell.left.alive[s])
      yield _base(cell, base)._replace(
        seed=seed, metric=metric, flag="" if alive else "diverged",
        value=float(getattr(cell.left, metric)[s]) if alive else None,
      )  # fmt: skip
