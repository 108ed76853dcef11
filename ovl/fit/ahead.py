"""The step of a training compiled before there is any data on a device."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ovl import mesh, rng, step
from ovl.fit import lanes, program, source
from ovl.fit.rehearse import Asked


def compiled(what: Asked, grid: Mesh, S: int) -> tuple[Any, dict[str, Any]]:
  """The last step of S networks, all terms of the plan at work.

  Args:
    what: is trained; of arrays only shapes and types are read.
    grid: the mesh, also of devices that are only described.
    S: networks side by side.

  Returns:
    The compiled program, and what it is called with by name: shapes, types, shardings.
  """
  epoch_steps = what.rows_SN.shape[1] // what.settings.batch_size
  plan = what.objective.plan._replace(steps=what.settings.epochs * epoch_steps)
  shape = np.shape(what.x_N)[1:]
  made = program.programs(
    what.model, what.settings, epoch_steps, grid, plan, what.objective.transform, False,
    shape if len(shape) > 1 else (),
  )  # fmt: skip
  args = _arguments(what, made, grid, S, epoch_steps * what.settings.batch_size)
  run = made.step(step.active(plan, plan.steps - 1))
  return run.lower(*args.values()).compile(), args


def _arguments(
  what: Asked, made: program.Programs, grid: Mesh, S: int, rows: int
) -> dict[str, Any]:
  seeds, everywhere = mesh.sharding(grid, "seed"), mesh.sharding(grid)

  def laid(tree: Any, where: Any, lead: int | None = None) -> Any:
    def one(leaf: Any) -> jax.ShapeDtypeStruct:
      shape = np.shape(leaf) if lead is None else (lead, *np.shape(leaf)[1:])
      kind = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
      if not jnp.issubdtype(kind, jax.dtypes.prng_key):
        kind = jax.dtypes.canonicalize_dtype(kind)
      return jax.ShapeDtypeStruct(shape, kind, sharding=where)

    return jax.tree.map(one, tree)

  host: Any = (
    what.x_N, what.y_N, dict(what.objective.attributes), dict(what.objective.rates),
  )  # fmt: skip
  keys = laid(jax.eval_shape(lambda: rng.per_seed(0, S)), seeds)
  x, y, attributes = jax.tree.map(lambda leaf: leaf[: min(2, len(leaf))], host[:3])
  few = laid(step.Batch(x, y, attributes, host[3]), everywhere)
  return {
    "state": laid(jax.eval_shape(made.init, keys, few), seeds),
    "data": laid(step.Batch(source.rows(host[0]), *host[1:]), everywhere),
    "order": jax.ShapeDtypeStruct((S, rows), jnp.int32, sharding=seeds),
    "own": laid(lanes.own(what.objective), seeds, S),
    "keys": keys,
  }


def peak(program_: Any) -> int:
  """Bytes that a compiled program needs on one device at once."""
  memory = program_.memory_analysis()
  kept = memory.argument_size_in_bytes + memory.output_size_in_bytes
  return kept - memory.alias_size_in_bytes + memory.temp_size_in_bytes
