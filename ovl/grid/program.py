"""Critics over taps x seeds x attributes in one XLA program per critic and width bucket.

A *lane* is one tap of one model. Inside it the representation is shared by all attributes
and by both variants (alone, with the task label): what a solver computes from it alone is
computed once. On CPU lanes run one after the other, which stays in cache and lets each
stop early; on an accelerator they run side by side. Lanes are spread over the seed axis.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, Float, Key, PRNGKeyArray

from ovl import nn
from ovl.grid.train import Schedule, train
from ovl.types import Critic, View

# Which leaves of a View are mapped: over attributes, and over variants.
_BY_ATTRIBUTE: Any = View(None, 0, 0, None, 0)  # type: ignore[arg-type]
_BY_VARIANT: Any = View(0, None, None, 0, None)  # type: ignore[arg-type]


class Data(NamedTuple):
  """The inputs of one program; parts are rows `probe | stop | test` in this order.

  Attributes:
    z_LSND: taps, zero-padded to one width; the task label one-hot in the last columns.
    s_SAN: attributes (codes or normal scores), of the same rows.
    mask_SAN: 1 where the attribute is known.
    features_LVD: which columns a variant may read.
    classes_AK: which classes exist.
  """

  z_LSND: Float[Array, "l s n d"]
  s_SAN: Array
  mask_SAN: Float[Array, "s a n"]
  features_LVD: Bool[Array, "l v d"]
  classes_AK: Bool[Array, "a k"]


class Predictions(NamedTuple):
  """What the critics say of rows they were not trained on.

  Attributes:
    stop: logits `[L, S, V, A, N_stop, K]`.
    test: logits `[L, S, V, A, N_test, K]`.
    converged: `[L, S, V, A]` whether training ended before its limit.
  """

  stop: Array
  test: Array
  converged: Array


def run(
  critic: Critic,
  data: Data,
  key_S: Key[Array, " s"],
  sizes: tuple[int, int, int],
  schedule: Schedule,
  mesh: Mesh,
) -> Predictions:
  """Fits one critic to every lane, attribute and variant, and predicts.

  Args:
    critic: what is fitted.
    data: see `Data`; sharded over "seed" on the axis S.
    key_S: one key a model; taps and attributes of a model share it, so that what is
      compared differs in the data only.
    sizes: rows of the probe, stop and test part.
    schedule: for critics that train by `loss`.
    mesh: from `mesh.make`.

  Returns:
    `Predictions`. Pure: the caller jits (`critic`, `sizes`, `schedule`, `mesh` static).
  """

  on_cpu = jax.default_backend() == "cpu"

  def one_lane(
    classes_AK: Array, lane: tuple[Array, Array, Array, Array, PRNGKeyArray]
  ) -> Predictions:
    z_ND, s_AN, mask_AN, features_VD, key = lane
    parts = _parts(z_ND, s_AN, mask_AN, features_VD, classes_AK, sizes)

    def learn(probe: View, stop: View, test: View) -> Predictions:
      if critic.fit is not None:
        params, converged = critic.fit(key, probe, stop), jnp.bool_(True)
      else:
        params, converged = train(critic, schedule, probe, stop, key)
      assert critic.logits is not None
      return Predictions(
        critic.logits(params, stop), critic.logits(params, test), converged
      )

    # A solver shares what depends on z alone; training on CPU shares nothing, and one
    # at a time each ends at its own epoch.
    if critic.fit is None and on_cpu:
      return _one_by_one(learn, parts)
    return jax.vmap(jax.vmap(learn, (_BY_ATTRIBUTE,) * 3), (_BY_VARIANT,) * 3)(*parts)

  def local(z, s, mask, features, classes, key):  # type: ignore[no-untyped-def]
    L, S = z.shape[:2]
    by_lane = jax.tree.map(
      lambda x: x.reshape(L * S, *x.shape[2:]),
      (
        z,
        jnp.broadcast_to(s, (L, *s.shape)),
        jnp.broadcast_to(mask, (L, *mask.shape)),
        jnp.broadcast_to(features[:, None], (L, S, *features.shape[1:])),
        jnp.broadcast_to(key, (L, S)),
      ),
    )
    side_by_side = None if on_cpu else L * S
    lane = functools.partial(one_lane, classes)
    out = jax.lax.map(lane, by_lane, batch_size=side_by_side)
    return jax.tree.map(lambda x: x.reshape(L, S, *x.shape[1:]), out)

  # Every device runs its own lanes to their own end: the meaning is per device.
  P = PartitionSpec
  lanes = jax.shard_map(
    local,
    mesh=mesh,
    in_specs=(P(None, "seed"), P("seed"), P("seed"), P(), P(), P("seed")),
    out_specs=P(None, "seed"),
    check_vma=False,
  )
  return lanes(*data, key_S)


def _parts(
  z_ND: Array,
  s_AN: Array,
  mask_AN: Array,
  features_VD: Array,
  classes_AK: Array,
  sizes: tuple[int, int, int],
) -> tuple[View, ...]:
  """Standardises on the probe part; a column constant there is no feature."""
  z_ND, alive_D = nn.scaled(z_ND, z_ND[: sizes[0]])
  features_VD = features_VD & alive_D
  z_VND = z_ND * features_VD[:, None]
  views, start = [], 0
  for size in sizes:
    rows = slice(start, start + size)
    s, mask = s_AN[:, rows], mask_AN[:, rows]
    views.append(View(z_VND[:, rows], s, mask, features_VD, classes_AK))
    start += size
  return tuple(views)


def _one_by_one(learn: Callable[..., Predictions], parts: tuple[View, ...]) -> Predictions:
  """`learn` on every variant and attribute, in turn."""
  V, A = parts[0].features_D.shape[0], parts[0].classes_K.shape[0]

  def at(place: Array) -> Predictions:
    v, a = place // A, place % A
    return learn(
      *(
        View(p.z_ND[v], p.s_N[a], p.mask_N[a], p.features_D[v], p.classes_K[a])
        for p in parts
      )
    )

  out = jax.lax.map(at, jnp.arange(V * A))
  return jax.tree.map(lambda x: x.reshape(V, A, *x.shape[1:]), out)
