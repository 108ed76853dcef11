"""The device side: lanes of one critic over one split pair, in chunks."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from ovl import grid, mesh, nn, ranks, rng
from ovl.grid.measure import Measured
from ovl.inputs.checks import check_level
from ovl.mi import data
from ovl.progress import Progress, quiet
from ovl.run import Run
from ovl.types import BadInput, Critic, Params, View

_measure = jax.jit(
  grid.measure, static_argnames=("critic", "schedule", "mesh", "side_by_side")
)


@dataclass(frozen=True)
class Settings:
  """How mutual information is measured.

  Attributes:
    seeds: critics in an ensemble, each with an initialisation of its own.
    level: of intervals; tests are at 1 - level.
    counterparts: other rows each row is compared with when f is read off.
    seed: of the split, the critics and the resampling.
    schedule: of training.
  """

  seeds: int = 5
  level: float = 0.95
  counterparts: int = 64
  seed: int = 0
  schedule: dict[str, Any] = field(default_factory=dict)

  def __post_init__(self) -> None:
    """Refuses what cannot be meant."""
    if self.seeds < 1:
      raise BadInput(f"seeds={self.seeds}: expected at least 1")
    check_level(self.level, "level")
    if self.counterparts < 1:
      raise BadInput(f"counterparts={self.counterparts}: expected at least 1")

  @property
  def training(self) -> grid.Schedule:
    """Averaged weights judge a pass: less noise at the same learning rate."""
    chosen = {"learning_rate": 4e-3, "patience": 8, "average": 0.99} | self.schedule
    try:
      return grid.Schedule(**chosen)
    except TypeError as error:
      raise BadInput(f"schedule: {error}") from error


class Lanes(NamedTuple):
  """What one critic said in every lane, on the host (see `grid.Measured`).

  `value` is the critic's own; of an `exchanged` one `[L, U, P]`.
  """

  stop_joint: np.ndarray
  stop_others: np.ndarray
  joint: np.ndarray
  others: np.ndarray
  value: np.ndarray
  converged: np.ndarray


def view(x_ND: np.ndarray, s: np.ndarray, outputs: int) -> View:
  """A view of rows without holes."""
  return View(
    jnp.asarray(x_ND, jnp.float32),
    jnp.asarray(s),
    jnp.ones(len(x_ND), jnp.float32),
    jnp.ones(x_ND.shape[1], bool),
    jnp.ones(outputs, bool),
  )


def views(
  pair: data.Pair, critic: Critic, parts: list[np.ndarray], fitted_N: np.ndarray
) -> list[View]:
  """The parts as this critic should see them.

  What is trained by its loss sees ranks where y is no class: they leave I as it is and
  tame tails. Closed forms see standardised columns.
  """
  trained = critic.fit is None
  ranked = trained and pair.kind != "discrete"
  scale = ranks.normal_scores if ranked else ranks.standardised
  x_ND, values = scale(pair.x_ND, pair.x_ND[fitted_N]), pair.y.values
  if pair.kind == "discrete":
    s = values.astype(np.int32)
  elif pair.kind == "continuous":
    s = ranks.normal_scores(values, values[fitted_N]).astype(np.float32)
  else:
    s = scale(values, values[fitted_N]).astype(np.float32)
  return [view(x_ND[rows], s[rows], pair.y.outputs) for rows in parts]


CENTRES = 16  # rows of z over which a log-ratio is centred


@functools.lru_cache(maxsize=64)
def exchanged(critic: Critic, units: int) -> Critic:
  """The critic of log-ratios whose value is their sum by unit, y exchanged as told.

  Its report view carries in `input_ND` the unit of each row, then an order of rows a
  column (`exchange.orders`). Of f(z, s_o) its mean over other z is taken off, so that a
  function of s alone moves nothing.
  """

  def value(params: Params, view: View, key: PRNGKeyArray) -> Array:
    assert view.input_ND is not None
    unit_N, order_PN = view.input_ND[:, 0], view.input_ND[:, 1:].T
    if critic.score is not None:
      of_z, of_s = critic.score.sides(params, view)
      join = critic.score.join

      def at(row_N: Array) -> Array:
        return join(params, of_z, jax.tree.map(lambda x: x[row_N], of_s))

    else:
      assert critic.logits is not None
      out_NK = critic.logits(params, view)  # mean and log scale of a normal score

      def at(row_N: Array) -> Array:
        s_N = view.s_N[row_N]
        mine_N = nn.log_density(out_NK, s_N, "continuous")
        return mine_N - nn.log_density(jnp.zeros_like(out_NK), s_N, "continuous")

    here_N = jnp.arange(len(view.mask_N))
    few = min(CENTRES, len(view.mask_N) - 1)
    shift_R = 1 + jnp.arange(few) * (len(view.mask_N) - 1) // few

    def met(shift: Array) -> Array:
      return jnp.roll(at(jnp.roll(here_N, shift)), -shift)

    centre_N = jax.lax.map(met, shift_R).mean(0)

    def summed(row_N: Array) -> Array:
      there_N = centre_N[row_N]
      away_N = at(row_N) - there_N
      away_N = jnp.where(jnp.abs(away_N) > 1e-6 * jnp.abs(there_N), away_N, 0.0)
      return jax.ops.segment_sum(away_N, unit_N, units)

    return jax.lax.map(summed, order_PN).T

  return critic._replace(value=value)


def run(
  critic: Critic,
  parts: list[View],
  mask_LN: np.ndarray,
  size_L: np.ndarray,
  settings: Settings,
  progress: Progress = quiet,
) -> Lanes:
  """Every lane, in calls of as many as there are devices.

  Args:
    critic: what is measured with.
    parts: views of train, stop and report.
    mask_LN: rows of train a lane may use.
    size_L: of those the first so many.
    settings: seeds, counterparts, schedule.
    progress: called between calls.

  Returns:
    `Lanes`.
  """
  devices = Run({}).mesh(len(size_L))
  together = devices.shape["seed"]
  if jax.default_backend() != "cpu":
    together = len(size_L)
  keys = rng.per_seed(settings.seed, len(size_L))
  shortest = min(len(part.mask_N) for part in parts[1:])
  R = min(settings.counterparts, shortest - 1)
  gen = np.random.default_rng([settings.seed, 11])
  shift_R = np.sort(gen.choice(np.arange(1, shortest), R, replace=False))
  *views, shifts = mesh.put((*parts, shift_R), devices)
  found: list[Measured] = []
  for start in range(0, len(size_L), together):
    at = slice(start, start + together)
    progress(start / len(size_L), "")
    mine = (keys[at], mask_LN[at].astype(np.float32), size_L[at].astype(np.int32))
    out = _measure(
      critic, *views, *mesh.put(mine, devices, "seed"), shifts,
      schedule=settings.training, mesh=devices, side_by_side=together,
    )  # fmt: skip
    found.append(mesh.get(out))
  whole = jax.tree.map(lambda *x: np.concatenate(x), *found)
  stop, report = whole.stop, whole.report
  return Lanes(
    stop.joint, stop.others, report.joint, report.others, whole.value, whole.converged
  )
