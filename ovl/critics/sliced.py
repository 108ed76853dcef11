"""Sliced mutual information: another quantity than I(Z;S), which scales with width."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ovl import kernels, neighbours
from ovl.critics._statistic import columns, reads, statistic
from ovl.types import BadInput, Critic, Kind, View


def _direction(key: Array, exists_D: Array) -> Array:
  """A random unit vector, 0 where a column is padding; one draw a column."""
  columns_D = jnp.arange(len(exists_D))
  x_D = jax.vmap(lambda d: jax.random.normal(jax.random.fold_in(key, d)))(columns_D)
  x_D *= exists_D
  return x_D / jnp.sqrt(jnp.maximum(jnp.square(x_D).sum(), 1e-30))


def _scores(x_N: Array, mask_N: Array) -> Array:
  """Normal scores among the rows that count, standardised."""
  x_N1 = jnp.where(mask_N > 0, x_N, jnp.inf)[:, None]
  rows = jnp.maximum(mask_N.sum(), 1.0)
  scores_N1 = kernels.normal_scores(jnp.sort(x_N1, 0), rows, x_N1)
  return kernels.standardised(scores_N1, mask_N)[:, 0]


def critic(
  attribute: Kind = "continuous",
  slices: int = 64,
  method: str = "ksg",
  k: int = 5,
  seed: int = 0,
  tile: int = kernels.TILE,
) -> Critic:
  r"""The mean of :math:`I(\theta'Z; \phi'S)` over random unit vectors: *not* I(Z;S).

  0 where Z and S are independent and only there, at most I(Z;S), mostly far less; it
  can grow from a layer to the next.

  Args:
    attribute: "continuous" or "vector".
    slices: how many pairs of directions, the same in every call.
    method: of two numbers: "ksg" (nearest neighbours), or "gaussian": -log(1 - r²) / 2
      with r of the normal scores, fast, blind to what is not monotone.
    k: which neighbour ("ksg").
    seed: of the directions.
    tile: rows at a time ("ksg").

  Returns:
    A critic in nats of another quantity, hence no bound and no estimate of I(Z;S).

  References:
    Goldfeld and Greenewald (2021), "Sliced Mutual Information", arXiv 2110.05279, def. 1.
  """
  reads("sliced", attribute, ("continuous", "vector"))
  if method not in ("ksg", "gaussian"):
    raise BadInput(f"sliced: method {method!r}: 'ksg' or 'gaussian' fit")

  def value(view: View) -> Float[Array, ""]:
    s_NM, mask_N = columns(view), view.mask_N
    exists_M = view.classes_K if view.s_N.ndim == 2 else jnp.ones(1, bool)
    z_ND, s_NM = kernels.centred(view.z_ND, mask_N), kernels.centred(s_NM, mask_N)

    def one(key: Array) -> Array:
      key_z, key_s = jax.random.split(key)
      z_N = (z_ND * _direction(key_z, view.features_D)).sum(1)
      s_N = (s_NM * _direction(key_s, exists_M)).sum(1)
      if method == "ksg":
        return neighbours.ksg(z_N[:, None], s_N[:, None], mask_N, (k,), tile=tile)
      r = (_scores(z_N, mask_N) * _scores(s_N, mask_N)).sum()
      r = jnp.clip(r / jnp.maximum(mask_N.sum(), 1.0), -1 + 1e-6, 1 - 1e-6)
      return -0.5 * jnp.log1p(-jnp.square(r))

    return jax.lax.map(one, jax.random.split(jax.random.key(seed), slices)).mean()

  return statistic(value, attribute, "nats", None)
