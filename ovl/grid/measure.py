"""One critic on one pair (z, s), many lanes: what it says of rows it was not trained on.

A lane is a key, a mask of the rows it learns from and how many of them. The data are
shared; nothing comes back to the host before the end. Lanes are spread over devices.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int, Key

from ovl import nn
from ovl.grid.train import Schedule, train
from ovl.types import Critic, Params, View

BLOCKS = 8  # of rows, whose spread is that of all rows times sqrt(8)


class Readings(NamedTuple):
  """What a critic says of pairs of rows that belong together, and of others.

  Attributes:
    joint: `[L, N]` its log-ratio at (z_i, s_i); discrete: log q(s_i|z_i).
    others: `[L, N, R]` at (z_i, s_j), j = i + shift; discrete: log q(k|z_i), R = K.
  """

  joint: Array
  others: Array


class Measured(NamedTuple):
  """Of every lane: readings of both parts, its own estimate on report, and its end."""

  stop: Readings
  report: Readings
  value: Array
  converged: Array


def measure(
  critic: Critic,
  train_view: View,
  stop: View,
  report: View,
  key_L: Key[Array, " l"],
  mask_LN: Float[Array, "l n"],
  size_L: Int[Array, " l"],
  shift_R: Int[Array, " r"],
  schedule: Schedule,
  mesh: Mesh,
  side_by_side: int = 1,
) -> Measured:
  """Fits or trains every lane and reads it off.

  Args:
    critic: with `logits` (discrete or continuous) or `score`.
    train_view: rows to learn from, in random order.
    stop: rows that stop training and choose.
    report: rows that neither saw.
    key_L: one key a lane.
    mask_LN: rows of `train_view` a lane may use.
    size_L: of those, the first so many.
    shift_R: how far to roll the attribute for the counterparts of a row.
    schedule: for critics that train by their loss.
    mesh: from `mesh.make`.
    side_by_side: lanes in one batch; on CPU few, as batched products of small matrices
      use one core.

  Returns:
    `Measured`. Pure: the caller jits.
  """

  def lane(
    shared: tuple[View, View, View, Array], inputs: tuple[Array, Array, Array]
  ) -> Measured:
    (train_view, stop, report, shift_R), (key, mask_N, size) = shared, inputs
    kept_N = train_view.mask_N * mask_N
    view = train_view._replace(mask_N=kept_N * (jnp.cumsum(kept_N) <= size))
    if critic.fit is not None:
      params, converged = critic.fit(key, view, stop), jnp.bool_(True)
    else:
      params, converged = train(critic, schedule, view, stop, key, size)
    value = critic.value(params, report, key)
    return Measured(
      _read(critic, params, stop, shift_R),
      _read(critic, params, report, shift_R),
      value,
      converged,
    )

  def local(shared: Any, *inputs: Any) -> Measured:
    return jax.lax.map(partial(lane, shared), inputs, batch_size=side_by_side)

  P, everywhere = PartitionSpec("seed"), PartitionSpec()
  lanes = jax.shard_map(
    local, mesh=mesh, in_specs=(everywhere, P, P, P), out_specs=P, check_vma=False
  )
  return lanes((train_view, stop, report, shift_R), key_L, mask_LN, size_L)


def _read(critic: Critic, params: Params, view: View, shift_R: Array) -> Readings:
  if critic.attribute == "discrete":
    assert critic.logits is not None
    log_q_NK = jax.nn.log_softmax(critic.logits(params, view))
    code_N = jnp.clip(view.s_N, 0)
    return Readings(jnp.take_along_axis(log_q_NK, code_N[:, None], 1)[:, 0], log_q_NK)

  if critic.score is not None:
    of_z, of_s = critic.score.sides(params, view)

    def at(shift: Array) -> Array:
      assert critic.score is not None
      return critic.score.join(
        params, of_z, jax.tree.map(lambda x: jnp.roll(x, shift, 0), of_s)
      )

  else:
    assert critic.logits is not None
    out_NK = critic.logits(params, view)  # mean and log scale of a normal score
    normal_NK = jnp.zeros_like(out_NK)

    def at(shift: Array) -> Array:
      s_N = jnp.roll(view.s_N, shift, 0)
      mine_N = nn.log_density(out_NK, s_N, "continuous")
      return mine_N - nn.log_density(normal_NK, s_N, "continuous")

  return Readings(at(jnp.int32(0)), jax.lax.map(at, shift_R).T)


def statistic(
  critic: Critic, z_SND: Array, s_SN: Array, mask_SN: Array, classes_K: Array, mesh: Mesh
) -> Float[Array, "s blocks"]:
  """A critic without parameters, on the rows of every model; columns standardised.

  Returns:
    The number of all rows, then those of `BLOCKS` disjoint blocks of them.
  """

  def one(classes_K: Array, inputs: tuple[Array, Array, Array]) -> Array:
    z_ND, s_N, mask_N = inputs
    z_ND, alive_D = nn.scaled(z_ND, z_ND)
    z_ND = z_ND * alive_D
    view = View(z_ND, s_N, mask_N, alive_D, classes_K)
    size = len(mask_N) // BLOCKS

    def block(b: Array) -> Array:
      part = [jax.lax.dynamic_slice_in_dim(x, b * size, size) for x in view[:3]]
      z, s, mask = part
      return critic.value((), View(z, s, mask, alive_D, classes_K), jax.random.key(0))

    whole = critic.value((), view, jax.random.key(0))
    return jnp.append(whole, jax.lax.map(block, jnp.arange(BLOCKS)))

  P = PartitionSpec("seed")
  lanes = jax.shard_map(
    lambda classes_K, *x: jax.lax.map(partial(one, classes_K), x), mesh=mesh,
    in_specs=(PartitionSpec(), P, P, P), out_specs=P, check_vma=False,
  )  # fmt: skip
  return lanes(classes_K, z_SND, s_SN, mask_SN)
