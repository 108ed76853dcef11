"""The devices that a plan is for: those that are here, or a TPU topology by its name."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax

from ovl.load import nearest
from ovl.types import BadInput

GIB, TERA = 2**30, 1e12


class Chip(NamedTuple):
  """What a step is held against.

  Attributes:
    name: of the topology, or of the device.
    devices: all of them, real or described.
    memory: bytes of one; None where it does not say.
    flops: a second of one, dense bf16 products; None where nobody says.
    bandwidth: bytes a second between its memory and its units; likewise.
  """

  name: str
  devices: Sequence[Any]
  memory: float | None = None
  flops: float | None = None
  bandwidth: float | None = None


# Memory, peak of bf16 products and memory bandwidth a chip, as the vendor states them:
# https://cloud.google.com/tpu/docs/system-architecture-tpu-vm
KINDS = {
  "v4": (32 * GIB, 275 * TERA, 1.2 * TERA),
  "v5e": (16 * GIB, 197 * TERA, 0.82 * TERA),
  "v5p": (95 * GIB, 459 * TERA, 2.77 * TERA),
  "v6e": (32 * GIB, 918 * TERA, 1.64 * TERA),
}
SHAPES = {
  "v4": ("2x2x1", "2x2x2", "2x2x4", "4x4x4", "4x4x8"),
  "v5e": ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16"),
  "v5p": ("2x2x1", "2x2x2", "2x2x4", "4x4x4", "4x4x8"),
  "v6e": ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16"),
}
# A machine without TPUs must not ask the cloud for them, nor look for its neighbours; two
# plans at a time share no chip, so neither has to wait for the other.
ALONE = {
  "TPU_SKIP_MDS_QUERY": "1",
  "TPU_WORKER_HOSTNAMES": "localhost",
  "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


def chips(topology: str = "") -> Chip:
  """The devices of a topology such as v5e:4x4; "": those that are here.

  Raises:
    BadInput: unknown, with the nearest; the extra that describes TPUs is absent.
  """
  if not topology:
    return _here()
  known = [f"{kind}:{shape}" for kind, shapes in SHAPES.items() for shape in shapes]
  if topology not in known:
    raise BadInput(f"--topology={topology} is unknown: {nearest(topology, known)}")
  kind = topology.partition(":")[0]
  for name, value in (ALONE | {"TPU_ACCELERATOR_TYPE": f"{kind}-1"}).items():
    os.environ.setdefault(name, value)
  try:
    import libtpu  # noqa: F401
  except ImportError:
    raise BadInput(
      f'--topology={topology} needs the compiler of TPUs: pip install "ovl[plan]"'
    ) from None
  from jax.experimental import topologies

  try:
    described = topologies.get_topology_desc(platform="tpu", topology_name=topology)
  except Exception as error:  # whatever the plug-in raises
    said = (str(error).splitlines() or [type(error).__name__])[0]
    raise BadInput(f"--topology={topology}: the compiler of TPUs says: {said}") from error
  return Chip(topology, described.devices, *KINDS[kind])


def _here() -> Chip:
  devices = jax.devices()
  stats = devices[0].memory_stats() or {}
  memory = stats.get("bytes_limit")
  if memory is None and devices[0].platform == "cpu":
    memory = free() / len(devices)
  return Chip(f"{len(devices)} x {devices[0].device_kind}", devices, memory)


def free() -> float:
  """Bytes of main memory that are free, of this machine or this container."""
  try:
    text = pathlib.Path("/proc/meminfo").read_text(encoding="utf-8")
    lines = dict(line.split(":") for line in text.splitlines())
    return float(lines["MemAvailable"].split()[0]) * 1024
  except (OSError, KeyError, ValueError):
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
