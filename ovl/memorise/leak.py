"""One training, many features: every patch in or out by a coin, and what that gives away.

Every seed is a training of its own with patches, carriers and coins of its own. The score
of a patch: how much more sure it makes the network of its carrier's class, on held-out
images, in nats. See `ovl.memorise.audit` for what follows from the scores.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ovl import fit, plant, stats
from ovl.memorise import audit, nulls
from ovl.memorise.lanes import World, painted
from ovl.memorise.settings import Settings
from ovl.run import Run
from ovl.types import BadInput, Model, Params, Row


class Patches(NamedTuple):
  """Of S trainings.

  Attributes:
    patterns: m of every training, leaves `[S, m, H, W, C]`.
    carrier: `[S, m]` the row of the train part that may carry each.
    inside: `[S, m]` whether it does.
  """

  patterns: plant.Pattern
  carrier: np.ndarray
  inside: np.ndarray


class Scores(NamedTuple):
  """What S trainings say of their patches.

  Attributes:
    score: `[S, m]` nats.
    inside: `[S, m]`.
    accuracy: `[S]` of the task.
    alive: `[S]`.
  """

  score: np.ndarray
  inside: np.ndarray
  accuracy: np.ndarray
  alive: np.ndarray


def draw(world: World, m: int, side: int, seeds: Sequence[int]) -> Patches:
  """Random bitmaps at random places, a carrier each, a fair coin each.

  Raises:
    BadInput: more patches than training examples, or larger than the images.
  """
  if m > len(world.x_N):
    raise BadInput(f"memorise.patches={m}: the train part has {len(world.x_N)} examples")
  H, W, _ = world.shape
  if side > min(H, W):
    raise BadInput(f"memorise.side={side}: the images are {H}x{W}")
  patterns, carrier, inside = [], [], []
  for seed in seeds:
    gen = np.random.default_rng([seed, 13])
    places = np.stack([gen.integers(0, n - side + 1, m) for n in (H, W)], 1)
    bits = gen.integers(0, 2, (m, side, side))
    patterns.append(
      plant.stack(
        [
          plant.bitmap(bit, world.shape, (int(r), int(c)))
          for bit, (r, c) in zip(bits, places, strict=True)
        ]
      )
    )
    carrier.append(gen.permutation(len(world.x_N))[:m])
    inside.append(gen.integers(0, 2, m) == 1)
  return Patches(
    plant.Pattern(*(np.stack(leaves) for leaves in zip(*patterns, strict=True))),
    np.stack(carrier), np.stack(inside),
  )  # fmt: skip


def cells(run: Run, world: World, made: Settings, seeds: Sequence[int]) -> Scores:
  """Trains a network a seed with its own patches, and scores all of them."""
  patches = draw(world, made.patches, made.side, seeds)

  def make() -> list[Scores]:
    return [_scored(run, world, patches, seeds)]

  return run.stage("leak", make=make, of=Scores)[0]


def _scored(run: Run, world: World, patches: Patches, seeds: Sequence[int]) -> Scores:
  S, N = len(seeds), len(world.x_N)
  which_SN = np.full((S, N), -1, np.int32)
  for s in range(S):
    (mine,) = np.nonzero(patches.inside[s])
    which_SN[s, patches.carrier[s, mine]] = mine
  weights = {name: np.full(S, weight, np.float32) for name, weight in world.weights.items()}
  objective = fit.Objective(
    world.plan, weights, strict=False, transform=painted,
    lanes=fit.Lanes(given=plant.Planted(patches.patterns, which_SN)),
  )  # fmt: skip
  keys = jax.vmap(jax.random.key)(jnp.array(seeds))
  nets = fit.fit(
    world.model, world.x_N, world.y_N, np.broadcast_to(np.arange(N), (S, N)), keys,
    world.settings, run.mesh(S), None, run.part(0, 0.9).progress, objective,
  )  # fmt: skip
  read = _reader(world.model)
  score, accuracy = read(
    nets.params, nets.state, patches.patterns, world.y_N[patches.carrier], world.x_M,
    world.y_M,
  )  # fmt: skip
  alive = np.ones(S, bool) if nets.alive is None else nets.alive
  return Scores(np.asarray(score), patches.inside, np.asarray(accuracy), alive)


@functools.lru_cache(maxsize=8)
def _reader(model: Model) -> Callable[..., tuple[Array, Array]]:
  def one(
    params: Params, state: Params, patterns: Any, label_m: Array, x_M: Array, y_M: Array
  ) -> tuple[Array, Array]:
    said = lambda x: jax.nn.log_softmax(model.apply(params, state, x)[0])  # noqa: E731
    clean_MK = said(x_M)

    def patch(each: Any) -> Array:
      pattern, label = each
      return (said(plant.paint(pattern, x_M)) - clean_MK)[:, label].mean()

    return (
      jax.lax.map(patch, (patterns, label_m), batch_size=16),
      (clean_MK.argmax(-1) == y_M).mean(),
    )

  return jax.jit(jax.vmap(one, (0, 0, 0, 0, None, None)))


# ---- rows --------------------------------------------------------------------------------


def rows(found: Scores, base: Row, seeds: Sequence[int], made: Settings) -> list[Row]:
  """Bounds and exposure of every training, and of all of them as one."""
  out: list[Row] = []
  alive = np.flatnonzero(found.alive)
  for s, seed in enumerate(seeds):
    mine = base._replace(subject="planted", seed=seed)
    if not found.alive[s]:
      out.append(mine._replace(metric="epsilon_low", flag="diverged"))
      continue
    out += _bounds(found.score[s], found.inside[s], mine, made)
    out.append(mine._replace(metric="task_accuracy", value=float(found.accuracy[s])))
  whole = base._replace(subject="planted", num_seeds=len(alive))
  value, _, low, high = stats.excess(found.accuracy[alive], made.level)
  out += _bounds(found.score[alive].ravel(), found.inside[alive].ravel(), whole, made)
  out.append(
    whole._replace(
      metric="task_accuracy", value=value, low=low, high=high, level=made.level
    )
  )
  return out


def _bounds(
  score: np.ndarray, inside: np.ndarray, base: Row, made: Settings
) -> Iterator[Row]:
  ins, outs = score[inside], score[~inside]
  alpha = 1 - made.level
  bound = audit.one_run(ins, outs, alpha, made.delta)
  mine = base._replace(n_eval=len(score), level=made.level)
  yield mine._replace(
    metric="epsilon_low", method="one_run", bound="lower", value=bound.epsilon,
    verdict="leaks" if bound.epsilon > 0 else "no evidence",
  )  # fmt: skip
  pair = audit.gaussian_pair(ins, outs, made.delta, made.level)
  yield mine._replace(
    metric="epsilon", method="gaussian_pair", bound="estimate", value=pair.epsilon,
    low=pair.low, high=pair.high,
  )  # fmt: skip
  area, psi_N = stats.auc(score, inside)
  half = 1.96 * float(np.sqrt(np.square(psi_N).sum())) / len(score)
  yield mine._replace(
    metric="auc", value=area, low=area - half, high=min(area + half, 1.0), chance=0.5,
    level=0.95,
  )  # fmt: skip
  ranks = nulls.exposure(ins, np.broadcast_to(outs, (len(ins), len(outs))))
  yield mine._replace(
    metric="exposure_bits", unit="bits", value=float(ranks.bits_S.mean()),
    chance=ranks.null_bits, level=None,
  )  # fmt: skip
