"""Lanes 1 to 64 on one device: what a network costs when others train beside it.

The step that `ovl` trains with: digits MLPs 64-128-64-10, batch 128, Adam, each with its
own order. First the answers: ten losses of every lane equal those of a program of that
network alone. Then, of each number of lanes:

  lane_step_us   time of a step over its lanes
  efficiency     of one network's step to that: above 1, sharing pays
  peak_mib       memory at once, by the compiled program; the data (0.4 MiB) included
  ceiling_share  of a float32 matmul's GFLOP/s, measured in the same run

One JSON line; `ratio` is the efficiency of most lanes.

  python benchmarks/scaling.py [--quick | --smoke]
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from sklearn.datasets import load_digits

from ovl import fit, load, mesh, rng, step
from ovl.fit import ahead

BATCH, SIDE, STEPS, TARGET = 128, 2048, 10, 1.0
LANES = (1, 2, 4, 8, 16, 32, 64)
WIDTHS = (64, 128, 64, 10)
PRODUCTS = [a * b for a, b in itertools.pairwise(WIDTHS)]
# Forward, and backward to weights and to activations; the input needs no gradient.
FLOPS = 2 * BATCH * (3 * sum(PRODUCTS) - PRODUCTS[0])
MODEL = load("models", "mlp", classes=WIDTHS[-1], hidden=WIDTHS[1:-1])
SETTINGS = fit.Settings(epochs=1000, batch_size=BATCH)


class Program(NamedTuple):
  """The compiled step of some networks, the state they start from and its arguments."""

  run: Callable[..., Any]
  state: Any
  args: tuple[Any, ...]
  peak: int


def program(seeds: list[int]) -> Program:
  S, grid, asked = len(seeds), device(), _asked(tuple(seeds))
  run, shapes = compiled(S)
  N = len(asked.x_N)
  made = fit.programs(MODEL, SETTINGS, N // BATCH, grid, plan(N), None)
  data = mesh.put(step.Batch(asked.x_N, asked.y_N, {}, {}), grid)
  key_S = mesh.put(asked.key_S, grid, "seed")
  order_SN = made.order(key_S, mesh.put(asked.rows_SN, grid, "seed"), jnp.int32(0))
  state = made.init(key_S, jax.tree.map(lambda leaf: leaf[:2], data))
  own = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes["own"])
  return Program(run, state, (data, order_SN, own, key_S), ahead.peak(run))


def device() -> jax.sharding.Mesh:
  return mesh.make(1, devices=jax.devices()[:1])


def plan(N: int) -> step.Plan:
  return fit.TASK_ALONE.plan._replace(steps=SETTINGS.epochs * (N // BATCH))


@functools.cache
def compiled(S: int) -> tuple[Any, dict[str, Any]]:
  return ahead.compiled(_asked(tuple(range(S))), device(), S)


def _asked(seeds: tuple[int, ...]) -> fit.Asked:
  x, y = load_digits(return_X_y=True)
  key_S = rng.per_seed(0, LANES[-1])[np.array(seeds)]
  rows_SN = np.tile(np.arange(len(y)), (len(seeds), 1))
  x, y = (x / 16).astype(np.float32), y.astype(np.int32)
  return fit.Asked(MODEL, x, y, rows_SN, key_S, SETTINGS, fit.TASK_ALONE)


def losses(one: Program) -> Float[np.ndarray, "t s"]:
  """Of the first steps of every lane."""
  state, found_TS = jax.tree.map(jnp.copy, one.state), []  # a step takes its state
  for _ in range(STEPS):
    state, metrics = one.run(state, *one.args)
    found_TS.append(metrics["loss"])
  return np.stack(jax.device_get(found_TS))


def seconds(one: Program, steps: int) -> float:
  """Of a step, in a row of so many."""
  state = jax.tree.map(jnp.copy, one.state)
  state, _ = one.run(state, *one.args)
  jax.block_until_ready(state)
  start = time.perf_counter()
  for _ in range(steps):
    state, _ = one.run(state, *one.args)
  jax.block_until_ready(state)
  return (time.perf_counter() - start) / steps


def multiplied(a: jax.Array, run: Callable[..., jax.Array]) -> float:
  start = time.perf_counter()
  jax.block_until_ready(run(a, a))
  return 2 * SIDE**3 / (time.perf_counter() - start)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--quick", action="store_true", help="fewer repeats")
  parser.add_argument("--smoke", action="store_true", help="up to 4 lanes, one repeat")
  given = parser.parse_args()
  lanes = [n for n in LANES if n <= 4] if given.smoke else LANES
  repeats = 1 if given.smoke else 3 if given.quick else 10
  made = {n: program(list(range(n))) for n in lanes}
  alone_TS = np.concatenate([losses(program([i])) for i in range(lanes[-1])], 1)
  far = max(float(np.abs(losses(one) - alone_TS[:, :n]).max()) for n, one in made.items())

  a, matmul = jnp.ones((SIDE, SIDE)), jax.jit(jnp.matmul)
  multiplied(a, matmul)
  best, ceiling = dict.fromkeys(lanes, np.inf), 0.0
  for _ in range(repeats):  # in turn, so that what else runs here meets all of them
    ceiling = max(ceiling, multiplied(a, matmul))
    for n, one in made.items():
      best[n] = min(best[n], seconds(one, max(400 // n, 20)))
  table = [
    {
      "lanes": n,
      "lane_step_us": round(1e6 * best[n] / n, 1),
      "efficiency": round(best[1] * n / best[n], 2),
      "peak_mib": round(made[n].peak / 2**20, 2),
      "ceiling_share": round(n * FLOPS / best[n] / ceiling, 3),
    }
    for n in lanes
  ]
  for line in table:
    print("  ".join(f"{name} {value:>7}" for name, value in line.items()))
  most = lanes[-1]
  result = {
    "name": "scaling", "peer": f"{most} steps of one network",
    "device": jax.devices()[0].device_kind,
    "ours_s": round(best[most], 6), "peer_s": round(best[1] * most, 6),
    "ratio": table[-1]["efficiency"], "target": TARGET, "agree": far < 1e-4,
    "gap": float(f"{far:.1e}"), "ceiling_share": table[-1]["ceiling_share"],
    "ceiling_gflops": round(ceiling / 1e9, 1), "table": table,
  }  # fmt: skip
  print(json.dumps(result))


if __name__ == "__main__":
  main()
