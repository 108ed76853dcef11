"""Networks of a config as subjects: their taps on the rows they are judged on."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from ovl import fit, pooling, taps
from ovl.judge.cells import Frame
from ovl.progress import Progress, quiet


def tapped(
  ground: fit.Ground, params: Any, state: Any, frame: Frame, devices: Mesh,
  max_width: int | None = None, progress: Progress = quiet,
) -> tuple[dict[str, np.ndarray], np.ndarray]:  # fmt: skip
  """Taps of networks, the input first, and whether each test row's task is got right.

  Args:
    ground: data and model.
    params: leaves `[S * copies, ...]`, the copies of a seed side by side.
    state: likewise.
    frame: the rows of each seed.
    devices: the mesh.
    max_width: see `ovl.pooling.reduce`.
    progress: called between batches.

  Returns:
    tap -> `[S * copies, N, D]`, and `[S * copies, N_test]`.
  """
  copies = len(jax.tree.leaves(params)[0]) // frame.models
  rows_SN = np.repeat(frame.rows_SN, copies, 0)
  named, code_SN = taps.collect(
    ground.model, params, state, ground.dataset.x, rows_SN, devices, max_width=max_width,
    report=progress,
  )  # fmt: skip
  test = frame.part("test")
  return named, code_SN[:, test] == np.repeat(frame.y_SN[:, test], copies, 0)


def layers(ground: fit.Ground) -> dict[str, tuple[int, ...]]:
  """Each tap's shape for one example, in depth order."""
  x_B, key = jax.numpy.asarray(ground.dataset.x[:2]), jax.random.key(0)
  found: dict[str, tuple[int, ...]] = {}

  def look() -> Any:
    logits, named, _ = ground.model.apply(*ground.model.init(key, x_B), x_B)
    found.update({name: z.shape[1:] for name, z in named.items()})
    return logits

  jax.eval_shape(look)  # a dictionary that is returned comes back sorted
  return found


def reduced(ground: fit.Ground, max_width: int | None) -> dict[str, Any]:
  """Taps of which fewer columns are read than there are: shape, and width read."""
  return {
    name: [list(shape), width]
    for name, shape in layers(ground).items()
    if int(np.prod(shape)) > (width := pooling.reduced_width(shape, max_width))
  }
