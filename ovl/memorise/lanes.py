"""Networks that differ in pattern, dose and seeds, trained as lanes of one program."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from ovl import fit, mesh, plant, step
from ovl.progress import Progress, quiet
from ovl.run import Run
from ovl.types import BadInput, Model, Params


class World(NamedTuple):
  """What all networks have in common.

  Attributes:
    model: the network.
    x_N: training images `[N, H, W, C]`.
    y_N: their classes.
    x_V: images that no network trains on, and that nothing is scored on.
    y_V: their classes.
    x_M: test images.
    y_M: their classes.
    target: the class whose examples carry the pattern.
    settings: how networks are trained.
    plan: mitigations, clipping.
    weights: of the step, the same for all networks.
    patience: of early stopping, judged by the images V; 0: none.
    regimes: name -> the same images under another way of training.
    mesh: how devices are shared out, see `ovl.mesh.Settings`.
  """

  model: Model
  x_N: np.ndarray
  y_N: np.ndarray
  x_V: np.ndarray
  y_V: np.ndarray
  x_M: np.ndarray
  y_M: np.ndarray
  target: int
  settings: fit.Settings
  plan: step.Plan = step.Plan()
  weights: Mapping[str, float] = MappingProxyType({})
  patience: int = 0
  regimes: Mapping[str, World] = MappingProxyType({})
  mesh: Mapping[str, int] = MappingProxyType({})

  @property
  def early(self) -> fit.Early | None:
    """Who judges when a network is done, if anybody."""
    return fit.Early(self.x_V, self.y_V, self.patience) if self.patience else None

  @property
  def shape(self) -> plant.Shape:
    """`(H, W, C)` of the images."""
    return self.x_N.shape[1:]


class Case(NamedTuple):
  """One network; its three seeds are separate.

  Attributes:
    pattern: see `plant.named`; "": none.
    dose: how many examples of the target class carry it.
    network: seed of initialisation and of the order of the data.
    example: seed of which examples carry it.
    draw: seed of the pattern, where it is drawn.
    weights: of mitigations, see `fit.Objective.weights`.
    dropped: the examples that would carry the pattern are left out instead.
  """

  pattern: str = ""
  dose: int = 0
  network: int = 0
  example: int = 0
  draw: int = 0
  weights: Mapping[str, float] = MappingProxyType({})
  dropped: bool = False


class Trained(NamedTuple):
  """Networks of `[S]` cases; leaves of `params` and `state` lead with S."""

  params: Params
  state: Params
  alive: Any
  snapshots: Any = None
  opt: Any = None


def painted(given: plant.Planted, batch: step.Batch, key: PRNGKeyArray) -> step.Batch:
  """The transform of a batch: whoever carries a pattern, carries it."""
  del key
  assert batch.ids_B is not None
  return batch._replace(x_B=plant.into(given, batch.x_B, batch.ids_B))


def as_pytorch(model: Model) -> Model:
  """The same network, its layers initialised as PyTorch does: U(+-1 / sqrt(inputs)).

  How a network reacts to a pattern on pixels that are always dark in training is settled
  by its first weights: published numbers are of these.
  """

  def init(key: PRNGKeyArray, x_B: Array) -> tuple[Params, Params]:
    params, state = model.init(key, x_B)
    drawn = {}
    for number, (name, layer) in enumerate(sorted(params.items())):
      if "kernel" not in layer:  # scales and shifts start alike in both
        drawn[name] = layer
        continue
      bound = np.prod(layer["kernel"].shape[:-1]) ** -0.5
      mine = jax.random.fold_in(key, number)
      drawn[name] = {
        leaf: jax.random.uniform(
          jax.random.fold_in(mine, i), value.shape, minval=-bound, maxval=bound
        )
        if leaf in ("kernel", "bias")
        else value
        for i, (leaf, value) in enumerate(sorted(layer.items()))
      }
    return drawn, state

  return model._replace(init=init)


def patterns(world: World, cases: Sequence[Case]) -> plant.Pattern:
  """Of every case `[S, H, W, C]`; of a case without one: the identity."""

  @functools.cache
  def one(name: str, draw: int) -> plant.Pattern:
    if not name:
      still = np.ones(world.shape, np.float32)
      return plant.Pattern(still, 0 * still, -np.inf * still, np.inf * still)
    return plant.named(name, world.shape, draw)

  return plant.stack([one(case.pattern, case.draw) for case in cases])


def objective(world: World, cases: Sequence[Case]) -> fit.Objective:
  """What distinguishes the lanes of these cases.

  Raises:
    BadInput: a dose above the class, an absent class, an unknown pattern, weights of
      some cases only.
  """

  @functools.cache
  def rank(seed: int) -> np.ndarray:
    return plant.ranks(world.y_N, world.target, seed)

  names = sorted({name for case in cases for name in case.weights})
  for case in cases:
    if sorted(case.weights) != names:
      raise BadInput(f"weights: expected {names} of every case, one has {[*case.weights]}")
  which_SN = np.stack([plant.carriers(rank(case.example), case.dose) for case in cases])
  dropped_S = np.array([case.dropped for case in cases])
  mask_SN = None
  if dropped_S.any():
    mask_SN = np.where(dropped_S[:, None] & (which_SN >= 0), 0.0, 1.0)
  stacked = jax.tree.map(lambda leaf: leaf[:, None], patterns(world, cases))
  weights = {n: np.array([c.weights[n] for c in cases], np.float32) for n in names}
  weights |= {n: np.full(len(cases), w, np.float32) for n, w in world.weights.items()}
  return fit.Objective(
    world.plan,
    weights,
    strict=False,
    lanes=fit.Lanes(mask=mask_SN, given=plant.Planted(stacked, which_SN)),
    transform=painted,
  )


def chunks(
  cases: Sequence[Case], lanes: int, world_mesh: Mapping[str, int] = MappingProxyType({})
) -> list[list[Case]]:
  """Parts of one size, at most `lanes`, so that one program serves all of them.

  The last is filled up with cases of the first; a part is shared evenly by the devices.
  """
  number = -(-len(cases) // lanes)
  size = -(-len(cases) // number)
  devices = world_mesh.get("seed", 0) or min(jax.device_count(), size)
  size = -(-size // devices) * devices
  number = -(-len(cases) // size)
  whole = [cases[i % len(cases)] for i in range(number * size)]
  return [whole[at : at + size] for at in range(0, len(whole), size)]


def train(
  world: World,
  cases: Sequence[Case],
  progress: Progress = quiet,
  snapshots: tuple[int, ...] = (),
  start: fit.Start | None = None,
) -> Trained:
  """Trains every case, all at once.

  Args:
    world: data, model, settings.
    cases: S of them.
    progress: called along the way.
    snapshots: steps after which the networks are kept, `[T, S, ...]`.
    start: where they start from, leaves `[S, ...]`.
  """
  S, N = len(cases), len(world.x_N)
  keys = jax.vmap(jax.random.key)(jnp.array([case.network for case in cases]))
  aim = objective(world, cases)
  aim = aim._replace(
    snapshots=snapshots, lanes=aim.lanes._replace(start=start), early=world.early
  )
  rows = np.broadcast_to(np.arange(N), (S, N))
  nets = fit.fit(
    world.model, world.x_N, world.y_N, rows, keys, world.settings,
    Run({"mesh": world.mesh}).mesh(S), None, progress, aim,
  )  # fmt: skip
  return mesh.local(Trained(nets.params, nets.state, nets.alive, nets.snapshots, nets.opt))


@functools.lru_cache(maxsize=8)
def _forward(model: Model) -> Callable[..., Array]:
  def one(params: Params, state: Params, pattern: plant.Pattern, x_B: Array) -> Array:
    logits_BC, _, _ = model.apply(params, state, plant.paint(pattern, x_B))
    return jax.nn.log_softmax(logits_BC)

  return jax.jit(jax.vmap(one, (0, 0, 0, None)))


def log_probabilities(
  model: Model,
  nets: Trained,
  pattern_S: plant.Pattern,
  x_M: np.ndarray,
  batch: int = 1024,
) -> np.ndarray:
  """`[S, M, K]` of S networks on images that carry each network's pattern.

  Args:
    model: the network.
    nets: S of them.
    pattern_S: one a network, stacked.
    x_M: images; they lie once in device memory.
    batch: images at once.
  """
  run = _forward(model)
  parts = [
    np.asarray(run(nets.params, nets.state, pattern_S, x_M[at : at + batch]))
    for at in range(0, len(x_M), batch)
  ]
  return np.concatenate(parts, 1)


def pick(nets: Trained, at: Sequence[int]) -> Trained:
  """Some of the networks, in an order of their own."""
  take = lambda leaf: leaf[np.asarray(at)]  # noqa: E731
  return Trained(*jax.tree.map(take, (nets.params, nets.state, nets.alive)))
