"""The one file that builds a mesh: axes ("seed", "data"), and what lives where."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec


def make(num_seeds: int, devices: Sequence[Any] | None = None) -> Mesh:
  """A mesh over all devices: seeds first, what is left goes to data.

  Args:
    num_seeds: how many models are trained side by side.
    devices: default: all.

  Returns:
    A mesh with Auto axes `("seed", "data")`; the seed axis divides `num_seeds`.
  """
  devices = jax.devices() if devices is None else devices
  seeds = math.gcd(num_seeds, len(devices))
  shape = (seeds, len(devices) // seeds)
  auto = (AxisType.Auto,) * 2  # the default, Explicit, refuses ordinary gathers
  return jax.make_mesh(shape, ("seed", "data"), axis_types=auto, devices=devices)


def sharding(mesh: Mesh, *axes: str | None) -> NamedSharding:
  """Leading dimensions over the named axes; none = replicated."""
  return NamedSharding(mesh, PartitionSpec(*axes))


def put(tree: Any, mesh: Mesh, *axes: str | None) -> Any:
  """Places every leaf of a tree by `sharding(mesh, *axes)`."""
  return jax.device_put(tree, sharding(mesh, *axes))
