"""The step that a verb would run, compiled ahead of time and read."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from unittest import mock

import jax
import numpy as np
from jax.sharding import Mesh

from ovl import fit, mesh
from ovl.fit import ahead
from ovl.plan.chips import Chip
from ovl.run import Run
from ovl.types import BadInput

WORDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
_COLLECTIVE = re.compile(
  rf" = (?P<shape>.*?) (?P<word>{'|'.join(WORDS)})(-start)?\((?P<rest>.*)"
)
_ARRAY = re.compile(r"(?P<kind>pred|[a-z]+\d+)\[(?P<sizes>[\d,]*)\]")


class Collective(NamedTuple):
  """One kind of exchange between chips.

  Attributes:
    word: of XLA.
    axis: of the mesh: "seed", "data", "both".
    number: how many a step.
    bytes: of their results on one chip, all together.
  """

  word: str
  axis: str
  number: int
  bytes: int


class Plan(NamedTuple):
  """What one step needs on one chip, in bytes and FLOPs.

  Attributes:
    chip: what it was compiled for.
    lanes: networks side by side, on all chips.
    shape: of the mesh, ("seed", "data").
    steps: of the whole training.
    parts: "parameters", "optimiser", "critics", "data", "rows" -> bytes that lie there.
    activations: bytes of temporaries.
    peak: bytes at once, as the compiler counts them.
    flops: a step.
    traffic: bytes between memory and units a step.
    seconds: the compiler's estimate of a step; None where it gives none.
    collectives: between chips, a step.
    most: lanes that still fit; None where memory is not known.
    name: of the training, where a verb has several.
  """

  chip: Chip
  lanes: int
  shape: tuple[int, int]
  steps: int
  parts: Mapping[str, int]
  activations: int
  peak: int
  flops: float
  traffic: float
  seconds: float | None
  collectives: tuple[Collective, ...]
  most: int | None = None
  name: str = ""

  @property
  def fits(self) -> bool:
    """Whether the peak is below the memory of a chip; True where that is not known."""
    return self.chip.memory is None or self.peak <= self.chip.memory

  @property
  def roofline(self) -> float | None:
    """Seconds of a step: FLOPs at the chip's peak or bytes at theirs, what takes longer."""
    if self.chip.flops is None or self.chip.bandwidth is None:
      return None
    return max(self.flops / self.chip.flops, self.traffic / self.chip.bandwidth)

  @property
  def bound(self) -> str:
    """What holds a step up."""
    if self.chip.flops is None or self.chip.bandwidth is None:
      return ""
    products, moved = self.flops / self.chip.flops, self.traffic / self.chip.bandwidth
    return "products" if products >= moved else "memory bandwidth"

  @property
  def hours(self) -> float | None:
    """Chip-hours of the whole training at the compiler's estimate, else the roofline."""
    each = self.seconds or self.roofline
    return None if each is None else each * self.steps * len(self.chip.devices) / 3600


def asked(study: Callable[[Run], Any], config: Mapping[str, Any]) -> list[fit.Asked]:
  """What a verb trains: all that it announces, else the first, up to which it is run.

  Raises:
    BadInput: what the verb refuses; it trains nothing.
  """
  here = {name: each for name, each in config.items() if name != "mesh"}
  try:
    with fit.rehearsing():
      study(Run(here))  # the mesh asked for is of the devices planned for
  except fit.Rehearsed as found:
    return found.trainings
  raise BadInput("ovl plan: this trains no network; expected a verb and a config that do")


def plan(
  what: fit.Asked,
  chip: Chip,
  settings: mesh.Settings = mesh.AUTOMATIC,
  search: bool = True,
) -> Plan:
  """Compiles the step for a chip and reads what the compiler says of it.

  Args:
    what: is trained.
    chip: where.
    settings: of the mesh.
    search: also look how many lanes would fit.

  Raises:
    BadInput: the mesh does not fit; a batch larger than the train part.
  """
  S = len(what.rows_SN)
  found = _compiled(what, chip, S, settings)._replace(name=what.name)
  if not search or chip.memory is None:
    return found
  twice = _compiled(what, chip, 2 * S, mesh.Settings(*found.shape))
  each = max(twice.peak - found.peak, 1) / S  # what is not of lanes stays
  most = S + math.floor((chip.memory - found.peak) / each)
  return found._replace(most=max(most - most % found.shape[0], 0))


def _compiled(what: fit.Asked, chip: Chip, S: int, settings: mesh.Settings) -> Plan:
  grid = mesh.make(S, settings, chip.devices)
  with _as_if(chip.devices[0].platform):
    compiled, args = ahead.compiled(what, grid, S)
  cost, state = compiled.cost_analysis() or {}, args["state"]
  parts = {
    "parameters": _bytes((state.params, state.state)),
    "optimiser": _bytes(state.opt),
    "critics": _bytes((state.critics, state.tasks)),
    "data": _bytes(args["data"]),
    "rows": _bytes((args["order"], args["own"])),
  }
  seconds = float(cost.get("optimal_seconds", 0.0))
  epoch_steps = what.rows_SN.shape[1] // what.settings.batch_size
  return Plan(
    chip, S, (grid.shape["seed"], grid.shape["data"]),
    what.settings.epochs * epoch_steps, parts,
    compiled.memory_analysis().temp_size_in_bytes, ahead.peak(compiled),
    float(cost.get("flops", 0.0)), float(cost.get("bytes accessed", 0.0)),
    seconds if seconds > 0 else None, _collectives(compiled.as_text(), grid),
  )  # fmt: skip


@contextlib.contextmanager
def _as_if(platform: str) -> Iterator[None]:
  """Traces what would run there: a convolution asks where it is, and differs on CPU."""
  with mock.patch.object(jax, "default_backend", return_value=platform):
    yield


def _bytes(tree: Any) -> int:
  """Of one device."""
  return sum(
    math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
    for leaf in jax.tree.leaves(tree)
  )


# ---- collectives ---------------------------------------------------------------------


def _collectives(text: str, grid: Mesh) -> tuple[Collective, ...]:
  """Those of a compiled program, by kind and by the axis that they run along."""
  found: dict[tuple[str, str], list[int]] = {}
  for line in text.splitlines():
    if match := _COLLECTIVE.search(line):
      axis = _axis(match["rest"], grid.shape["seed"], grid.shape["data"])
      found.setdefault((match["word"], axis), []).append(_size(match["shape"]))
  return tuple(
    Collective(word, axis, len(sizes), sum(sizes))
    for (word, axis), sizes in sorted(found.items())
  )


def _size(shape: str) -> int:
  bits = {"pred": 8}
  total = 0
  for match in _ARRAY.finditer(shape):
    kind = match["kind"]
    width = bits.get(kind) or int(re.sub(r"\D", "", kind))
    total += math.prod(int(n) for n in match["sizes"].split(",") if n) * width // 8
  return total


def _axis(rest: str, seeds: int, data: int) -> str:
  """Which devices talk: along a row of the mesh, a column, or all."""
  groups = _groups(rest)
  if groups is None:
    return "both"
  place = np.arange(seeds * data).reshape(seeds, data)
  where = {int(d): (int(i), int(j)) for (i, j), d in np.ndenumerate(place)}
  apart = np.zeros(2, bool)
  for group in groups:
    at_G2 = np.array([where[d] for d in group if d in where])
    apart |= np.ptp(at_G2, 0) > 0
  return {(0, 0): "none", (1, 0): "seed", (0, 1): "data"}.get(tuple(apart), "both")


def _groups(rest: str) -> list[list[int]] | None:
  if listed := re.search(r"replica_groups=\{(\{[\d,{} ]*\})\}", rest):
    return [
      [int(n) for n in group.split(",")]
      for group in re.findall(r"\{([\d, ]+)\}", listed[1])
    ]
  if tiled := re.search(
    r"replica_groups=\[(\d+),(\d+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?", rest
  ):
    shape = [int(n) for n in tiled[3].split(",")]
    order = np.arange(math.prod(shape)).reshape(shape)
    if tiled[4]:
      order = order.transpose([int(n) for n in tiled[4].split(",")])
    return order.reshape(int(tiled[1]), int(tiled[2])).tolist()
  if named := re.search(r"replica_groups=mesh\[([^\]]*)\] *\{([^}]*)\}", rest):
    sizes = {n: int(size) for n, size in re.findall(r"'(\w+)'=(\d+)", named[1])}
    along = re.findall(r"'(\w+)'", named[2])
    place = np.arange(math.prod(sizes.values())).reshape(*sizes.values())
    last = [list(sizes).index(name) for name in along]
    order = np.moveaxis(place, last, range(-len(last), 0))
    return order.reshape(-1, math.prod(sizes[name] for name in along)).tolist()
  return None
