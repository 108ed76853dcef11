"""Networks of a config as subjects: their taps on the rows they are judged on."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ovl import fit, pooling, taps
from ovl.judge.cells import Frame
from ovl.run import Run


def tapped(
  setup: fit.Setup,
  weights: tuple[Any, Any],
  frame: Frame,
  run: Run,
  max_width: int | None = None,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
  """Taps of networks, the input first, and whether each test row's task is got right.

  Args:
    setup: data and model.
    weights: parameters and state, leaves `[S * copies, ...]`, the copies of a seed side by
      side.
    frame: the rows of each seed.
    run: has the devices, and is told how far it is.
    max_width: see `ovl.pooling.reduce`.

  Returns:
    tap -> `[S * copies, N, D]`, and `[S * copies, N_test]`.
  """
  copies = len(jax.tree.leaves(weights[0])[0]) // frame.models
  rows_SN = np.repeat(frame.rows_SN, copies, 0)
  named, code_SN = taps.collect(
    setup.model, *weights, setup.dataset.x, rows_SN, run.mesh(len(rows_SN)),
    max_width=max_width, report=run.progress,
  )  # fmt: skip
  test = frame.part("test")
  return named, code_SN[:, test] == np.repeat(frame.y_SN[:, test], copies, 0)


def layers(setup: fit.Setup) -> dict[str, tuple[int, ...]]:
  """Each tap's shape for one example, in depth order."""
  x_B, key = jax.numpy.asarray(setup.dataset.x[:2]), jax.random.key(0)
  found: dict[str, tuple[int, ...]] = {}

  def look() -> Any:
    logits, named, _ = setup.model.apply(*setup.model.init(key, x_B), x_B)
    found.update({name: z.shape[1:] for name, z in named.items()})
    return logits

  jax.eval_shape(look)  # a dictionary that is returned comes back sorted
  return found


def reduced(setup: fit.Setup, max_width: int | None) -> dict[str, Any]:
  """Taps of which fewer columns are read than there are: shape, and width read."""
  return {
    name: [list(shape), width]
    for name, shape in layers(setup).items()
    if int(np.prod(shape)) > (width := pooling.reduced_width(shape, max_width))
  }
