"""Critics without parameters: a number of the rows, and of disjoint blocks of them."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import numpy as np

from ovl import grid, mesh
from ovl.judge.cells import Column, Frame
from ovl.judge.rows import Statistic
from ovl.readings.critics import labels
from ovl.run import Run
from ovl.types import Critic, Lane

_statistic = jax.jit(grid.statistic, static_argnames=("critic", "mesh"))


def statistics(
  critics: Mapping[str, Critic], cols: list[Column], lanes: list[Lane], frame: Frame,
  run: Run,
) -> list[Statistic]:  # fmt: skip
  """Every critic of every tap and attribute, on the test part.

  Args:
    critics: without parameters, by name.
    cols: attributes of one kind.
    lanes: the taps.
    frame: the rows.
    run: told how far it is.
  """
  found = []
  test, devices = frame.part("test"), run.mesh(frame.models)
  for name, critic in critics.items():
    for number, lane in enumerate(lanes):
      run.progress(number / len(lanes), f"{name}: {lane.subject} {lane.layer}")
      z_SND = mesh.put(np.asarray(lane.z_SND)[:, test], devices, "seed")
      for c in cols:
        given = labels([c])
        values_SB = _statistic(
          critic,
          z_SND,
          mesh.put(given.s_SAN[:, 0, test], devices, "seed"),
          mesh.put(given.mask_SAN[:, 0, test], devices, "seed"),
          mesh.put(given.classes_AK[0], devices),
          mesh=devices,
        )
        found.append(
          Statistic(name, critic, lane, c, np.asarray(mesh.get(values_SB), float))
        )
  return found
