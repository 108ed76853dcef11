"""A number of the rows that learns nothing: its spread by blocks, its test by exchange."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from ovl import exchange, stats
from ovl.grid.measure import BLOCKS
from ovl.mi import lanes
from ovl.mi.task import Found, Task
from ovl.types import Critic, View

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
  N = len(task.pair.x_ND)
  every = np.arange(N)
  groups_N, settings = task.pair.groups_N, task.settings
  (whole,) = lanes.views(task.pair, critic, [every], every)
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
