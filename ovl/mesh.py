"""The one file that builds a mesh: axes ("seed", "data"), and what lives where."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import mesh_utils, multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from ovl import processes
from ovl.types import BadInput


@dataclass(frozen=True)
class Settings:
  """How the devices are shared out; it changes where work is done, never a result.

  Attributes:
    seed: devices that share the models; 0: as many as divide them.
    data: devices that share the rows of a batch; 0: what is left.
  """

  seed: int = 0
  data: int = 0

  def __post_init__(self) -> None:
    """Refuses what is no number of devices."""
    if self.seed < 0 or self.data < 0:
      raise BadInput(f"mesh.seed={self.seed}, mesh.data={self.data}: expected at least 0")


AUTOMATIC = Settings()


def make(
  num_seeds: int, settings: Settings = AUTOMATIC, devices: Sequence[Any] | None = None
) -> Mesh:
  """A mesh over the devices: seeds first, what is left goes to data.

  Args:
    num_seeds: how many models there are side by side.
    settings: what is asked for.
    devices: default: all, of all processes.

  Returns:
    A mesh with Auto axes `("seed", "data")`; the seed axis divides `num_seeds`.

  Raises:
    BadInput: the axes do not fit the devices or the models.
  """
  devices = jax.devices() if devices is None else devices
  there = max(len(devices) // max(settings.data, 1), 1)
  seeds = settings.seed or math.gcd(num_seeds, there)
  data = settings.data or max(len(devices) // seeds, 1)
  if num_seeds % seeds:
    raise BadInput(
      f"mesh.seed={seeds} does not divide {num_seeds} models: expected one of "
      f"{_divisors(num_seeds, len(devices))}"
    )
  if seeds * data > len(devices):
    raise BadInput(
      f"mesh.seed={seeds}, mesh.data={data}: {seeds * data} devices, there are "
      f"{len(devices)}"
    )
  if processes.several() and seeds * data < len(devices):
    raise BadInput(
      f"mesh.seed={seeds}, mesh.data={data}: {seeds * data} of {len(devices)} devices; "
      f"several processes use all of theirs, and {num_seeds} models can be shared by "
      f"{_divisors(num_seeds, len(devices))}"
    )
  auto = (AxisType.Auto,) * 2  # the default, Explicit, refuses ordinary gathers
  # Axes of a torus of TPUs may be split: they carry little, see the step's collectives.
  placed = mesh_utils.create_device_mesh(
    (seeds, data), list(devices)[: seeds * data], allow_split_physical_axes=True
  )
  return Mesh(placed, ("seed", "data"), axis_types=auto)


def _divisors(number: int, most: int) -> str:
  return ", ".join(str(n) for n in range(1, most + 1) if number % n == 0)


def memory(mesh: Mesh) -> float | None:
  """Bytes of one device; None where it does not say."""
  device = next(d for d in mesh.devices.flat if d.process_index == jax.process_index())
  return (device.memory_stats() or {}).get("bytes_limit")


def sharding(mesh: Mesh, *axes: str | None) -> NamedSharding:
  """Leading dimensions over the named axes; none = replicated."""
  return NamedSharding(mesh, PartitionSpec(*axes))


def put(tree: Any, mesh: Mesh, *axes: str | None) -> Any:
  """Places every leaf of a tree by `sharding(mesh, *axes)`.

  Every process holds the whole leaf on its host, and gives its devices their part.
  """
  where = sharding(mesh, *axes)
  if not processes.several():
    return jax.device_put(tree, where)
  return jax.tree.map(lambda leaf: _parts(leaf, where), tree)


def _parts(leaf: Any, where: NamedSharding) -> jax.Array:
  if isinstance(leaf, jax.Array):
    if not leaf.is_fully_addressable:
      return jax.device_put(leaf, where)
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      return jax.random.wrap_key_data(_parts(jax.random.key_data(leaf), where))
  host = np.asarray(leaf)
  host = host.astype(jax.dtypes.canonicalize_dtype(host.dtype))
  return made(host.shape, where, lambda at: host[at])


def made(
  shape: tuple[int, ...], where: NamedSharding, part: Callable[[Any], np.ndarray]
) -> jax.Array:
  """An array of parts, each made from its slices where its device is."""
  with jax.transfer_guard_host_to_device("allow"):  # JAX takes these for implicit
    return jax.make_array_from_callback(shape, where, part)


def get(tree: Any) -> Any:
  """Every leaf on the host, whole, in every process."""
  return jax.device_get(jax.tree.map(_whole, tree))


def local(tree: Any) -> Any:
  """As it is, or whole in every process, for what each of several then does by itself."""
  return get(tree) if processes.several() else tree


def _whole(leaf: Any) -> Any:
  if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
    return leaf
  if leaf.is_fully_replicated:
    return leaf.addressable_data(0)
  return multihost_utils.process_allgather(leaf, tiled=True)
