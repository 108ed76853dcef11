"""What every network says of the test images, untouched and painted; kept part by part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ovl.memorise import lanes
from ovl.memorise.lanes import Case, World
from ovl.run import Run

# A pattern's name, and the seed of its draw; None: each network's own.
Reading = tuple[str, int | None]
AS_IT_IS: Reading = ("", None)


class Outputs(NamedTuple):
  """Log-probabilities of S networks under P patterns, float32.

  Attributes:
    said: `[S, P, M, K]`.
    alive: `[S]` False where training went to infinity.
  """

  said: np.ndarray
  alive: np.ndarray


def gather(
  run: Run,
  world: World,
  cases: Sequence[Case],
  readings: Sequence[Reading],
  most: int,
  *stage: str,
) -> Outputs:
  """Trains every case and reads it under every pattern, chunk by chunk.

  Args:
    run: chunks that it kept are not trained again.
    world: data, model, settings.
    cases: S of them; a drawn pattern is read as each case draws it.
    readings: P patterns.
    most: networks at once.
    *stage: names of where the chunks are kept.
  """
  parts = lanes.chunks(cases, most, world.mesh)
  found = []
  for number, mine in enumerate(parts):
    here = run.part(number / len(parts), (number + 1) / len(parts), "training: ")

    def make(mine: Sequence[Case] = mine, here: Run = here) -> list[Outputs]:
      return [_of_chunk(here, world, mine, readings)]

    found += run.stage("outputs", *stage, str(number), make=make, of=Outputs)
  whole = Outputs(*(np.concatenate(leaves) for leaves in zip(*found, strict=True)))
  return Outputs(*(leaf[: len(cases)] for leaf in whole))


def _of_chunk(
  run: Run, world: World, cases: Sequence[Case], readings: Sequence[Reading]
) -> Outputs:
  nets = lanes.train(world, cases, run.progress)
  said = []
  for name, draw in readings:
    worn = [
      case._replace(pattern=name, draw=case.draw if draw is None else draw)
      for case in cases
    ]
    pattern_S = lanes.patterns(world, worn)
    said.append(lanes.log_probabilities(world.model, nets, pattern_S, world.x_M))
  return Outputs(np.stack(said, 1), np.asarray(nets.alive))
