"""Named key streams: a key is a function of the seed, a name and a step, never carried."""

from __future__ import annotations

import zlib

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PRNGKeyArray


def stream(root: PRNGKeyArray, name: str) -> PRNGKeyArray:
  """The key of the stream `name` under `root`; equal names give equal keys."""
  return jax.random.fold_in(root, zlib.crc32(name.encode()) & 0x7FFFFFFF)


def at(key: PRNGKeyArray, step: int | Array) -> PRNGKeyArray:
  """The key of one step of a stream."""
  return jax.random.fold_in(key, step)


def per_seed(seed: int, num_seeds: int) -> Key[Array, " s"]:
  """`[S]` root keys: model i has the seed `seed + i`, however many there are."""
  return jax.vmap(jax.random.key)(seed + jnp.arange(num_seeds))
