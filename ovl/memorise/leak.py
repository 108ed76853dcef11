"""One training, many features: every patch in or out by a coin, and what that gives away.

Every seed is a training of its own with patches, carriers and coins of its own. The score
of a patch from outside: how much more sure it makes the network of its carrier's class, on
held-out images, in nats. Of full-batch DP-SGD there is a second one, of whoever sees every
noised sum: `ovl.memorise.white`. See `ovl.memorise.audit` for what follows from scores.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ovl import fit, mesh, plant, stats
from ovl.memorise import audit, guesses, nulls, white
from ovl.memorise.lanes import World, painted
from ovl.memorise.settings import Settings
from ovl.run import Run
from ovl.types import BadInput, Model, Params, Row

READERS = ("black_box", "white_box")


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
    score: `[S, R, m]`, R readers: in nats from outside, and of whoever sees the sums.
    inside: `[S, m]`.
    accuracy: `[S]` of the task.
    alive: `[S]`.
    epsilon: what the training keeps to by its noise; nan without noise.
  """

  score: np.ndarray
  inside: np.ndarray
  accuracy: np.ndarray
  alive: np.ndarray
  epsilon: np.ndarray


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
    return [_scored(run, world, made, patches, seeds)]

  return run.stage("leak", make=make, of=Scores)[0]


def _planted(world: World, made: Settings, patches: Patches) -> fit.Lanes:
  """Who carries what, by the coins; or who is there at all, carrying it."""
  S, m = patches.inside.shape
  which_SN = np.full((S, len(world.x_N)), -1, np.int32)
  np.put_along_axis(which_SN, patches.carrier, np.arange(m, dtype=np.int32)[None], 1)
  there_SN = np.ones(which_SN.shape, np.float32)
  np.put_along_axis(there_SN, patches.carrier, patches.inside.astype(np.float32), 1)
  if made.coin == "image":
    return fit.Lanes(mask=there_SN, given=plant.Planted(patches.patterns, which_SN))
  which_SN = np.where(there_SN > 0, which_SN, -1)
  return fit.Lanes(given=plant.Planted(patches.patterns, which_SN))


def _scored(
  run: Run, world: World, made: Settings, patches: Patches, seeds: Sequence[int]
) -> Scores:
  S, N = len(seeds), len(world.x_N)
  open_ = white.able(world, made)
  steps = tuple(range(1, world.settings.epochs + 1)) if open_ else ()
  weights = {name: np.full(S, weight, np.float32) for name, weight in world.weights.items()}
  objective = fit.Objective(
    world.plan, weights, strict=False, transform=painted, snapshots=steps,
    lanes=_planted(world, made, patches),
  )  # fmt: skip
  keys = jax.vmap(jax.random.key)(jnp.array(seeds))
  nets = mesh.local(fit.fit(
    world.model, world.x_N, world.y_N, np.broadcast_to(np.arange(N), (S, N)), keys,
    world.settings, run.mesh(S), None, run.part(0, 0.9).progress, objective,
  ))  # fmt: skip
  read = _reader(world.model)
  outside, accuracy = read(
    nets.params, nets.state, patches.patterns, world.y_N[patches.carrier], world.x_M,
    world.y_M,
  )  # fmt: skip
  score = [np.asarray(outside)]
  if open_:
    score.append(white.score(world, nets, patches.patterns, patches.carrier, made))
  alive = np.ones(S, bool) if nets.alive is None else nets.alive
  return Scores(
    np.stack(score, 1), patches.inside, np.asarray(accuracy), alive,
    np.array(_kept_to(made, world.settings.epochs)),
  )  # fmt: skip


def _kept_to(made: Settings, epochs: int) -> float:
  if not made.noise:
    return np.nan
  length = 1.0 if made.coin == "image" else 2.0
  return audit.of_training(epochs, made.noise, length, made.delta)


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
  base, alive = base._replace(subject="planted"), np.flatnonzero(found.alive)
  out = [
    base._replace(seed=seed, metric="task_accuracy", value=float(accuracy))
    if fine
    else base._replace(seed=seed, metric="epsilon_low", flag="diverged")
    for seed, accuracy, fine in zip(seeds, found.accuracy, found.alive, strict=True)
  ]
  whole = base._replace(num_seeds=len(alive))
  if not np.isnan(found.epsilon):
    out.append(
      whole._replace(
        metric="epsilon", method="composition", bound="upper", value=float(found.epsilon)
      )
    )
  for r in range(found.score.shape[1]):
    setting = json.dumps({"reader": READERS[r]}) if r else ""
    sides = [_sides(found.score[s, r], found.inside[s]) for s in alive]
    guessed = [guesses.guess(*side) for side in sides]
    alpha = 1 - made.level
    each = [guesses.chosen(guessed, alpha, made.delta, name) for name in guesses.METHODS]
    for s, side, bounds in zip(alive, sides, zip(*each, strict=True), strict=True):
      mine = base._replace(seed=seeds[int(s)], setting=setting)
      out += [*_bounds(bounds, mine, made), *_of_scores(*side, mine, made)]
    side = _sides(found.score[alive, r].ravel(), found.inside[alive].ravel())
    bounds = tuple(
      guesses.one_run(*side, alpha, made.delta, name) for name in guesses.METHODS
    )
    mine = whole._replace(setting=setting)
    out += [*_bounds(bounds, mine, made), *_of_scores(*side, mine, made)]
  value, _, low, high = stats.excess(found.accuracy[alive], made.level)
  out.append(
    whole._replace(
      metric="task_accuracy", value=value, low=low, high=high, level=made.level
    )
  )
  return out


def _sides(score: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  return score[inside], score[~inside]


def _bounds(bounds: Sequence[guesses.Bound], base: Row, made: Settings) -> Iterator[Row]:
  for method, bound in zip(guesses.METHODS, bounds, strict=True):
    yield base._replace(
      metric="epsilon_low", method=method, bound="lower", value=bound.epsilon,
      n_eval=bound.guesses or None, level=made.level,
      verdict="leaks" if bound.epsilon > 0 else "no evidence",
    )  # fmt: skip


def _of_scores(
  ins: np.ndarray, outs: np.ndarray, base: Row, made: Settings
) -> Iterator[Row]:
  mine = base._replace(n_eval=len(ins) + len(outs), level=made.level)
  for method, epsilon in audit.by_jax_privacy(ins, outs, 1 - made.level, made.delta):
    yield mine._replace(
      metric="epsilon_low", method=method, bound="lower", value=epsilon,
      verdict="leaks" if epsilon > 0 else "no evidence",
    )  # fmt: skip
  pair = audit.gaussian_pair(ins, outs, made.delta, made.level)
  yield mine._replace(
    metric="epsilon", method="gaussian_pair", bound="estimate", value=pair.epsilon,
    low=pair.low, high=pair.high,
  )  # fmt: skip
  score, inside = (
    np.concatenate([ins, outs]),
    np.repeat([True, False], [len(ins), len(outs)]),
  )
  area, psi_N = stats.auc(score, inside)
  half = 1.96 * float(np.sqrt(np.square(psi_N).sum())) / len(score)
  yield mine._replace(
    metric="auc", value=area, low=area - half, high=min(area + half, 1.0), chance=0.5,
    level=0.95,
  )  # fmt: skip
  # Ranks of all patches together are not independent: no p of their sum.
  bits_m, chance = nulls.bits(1 + (outs >= ins[:, None]).sum(1), len(outs))
  yield mine._replace(
    metric="exposure_bits", unit="bits", value=float(bits_m.mean()), chance=chance,
    level=None,
  )  # fmt: skip
