"""Eight CNNs in one vmapped SGD step against eight single steps, one after the other.

Batch 128 of 28x28x1, two convolutions and two dense layers. The hope is no speed-up but
that a plain `vmap` over seeds costs no more than the loop (a grouped convolution: six
times more). `ceiling_share` is the vmapped step's share of a float32 matmul's GFLOP/s.

  python benchmarks/seeds.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ovl import rng
from ovl.models import cnn

SEEDS, BATCH, SIDE, TARGET = 8, 128, 2048, 0.77


def seconds(fn: Callable[[], Any]) -> float:
  start = time.perf_counter()
  jax.block_until_ready(fn())
  return time.perf_counter() - start


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--quick", action="store_true", help="fewer repeats")
  repeats = 8 if parser.parse_args().quick else 40

  model, tx = cnn.model(classes=10), optax.sgd(0.05)

  def step(params, opt, x_B, y_B):
    def loss_fn(params):
      logits_BC, _, _ = model.apply(params, (), x_B, train=True)
      return optax.softmax_cross_entropy_with_integer_labels(logits_BC, y_B).mean()

    loss, grads = jax.value_and_grad(loss_fn)(params)
    updates, opt = tx.update(grads, opt, params)
    return optax.apply_updates(params, updates), opt, loss

  draw = np.random.default_rng(0)
  x_SB = jnp.asarray(draw.normal(size=(SEEDS, BATCH, 28, 28, 1)), jnp.float32)
  y_SB = jnp.asarray(draw.integers(0, 10, (SEEDS, BATCH)))
  params_S, _ = jax.vmap(model.init)(rng.per_seed(0, SEEDS), x_SB)
  args_S = (params_S, jax.vmap(tx.init)(params_S), x_SB, y_SB)
  host_S = jax.device_get(args_S)
  args_each = [
    jax.device_put(jax.tree.map(lambda leaf, i=i: leaf[i], host_S)) for i in range(SEEDS)
  ]

  start = time.perf_counter()
  one = jax.jit(step).lower(*args_each[0]).compile()
  middle = time.perf_counter()
  many = jax.jit(jax.vmap(step)).lower(*args_S).compile()
  print(
    f"compile: one seed {middle - start:.2f} s, {SEEDS} seeds "
    f"{time.perf_counter() - middle:.2f} s"
  )

  def peer():
    return [one(*args) for args in args_each]

  def ours():
    return many(*args_S)

  loop_S = jax.tree.map(lambda *leaves: np.stack(leaves), *peer())
  (loop_params_S, _, loop_loss_S), (params_S, _, loss_S) = loop_S, ours()
  close = jax.tree.map(lambda a, b: np.allclose(a, b, 0, 1e-4), loop_params_S, params_S)
  agree = all(jax.tree.leaves(close)) and np.allclose(loop_loss_S, loss_S, 0, 1e-5)

  a = jnp.ones((SIDE, SIDE))
  matmul = jax.jit(jnp.matmul)
  jax.block_until_ready(matmul(a, a))
  timed = {"ours": ours, "peer": peer, "matmul": lambda: matmul(a, a)}
  runs = [{name: seconds(fn) for name, fn in timed.items()} for _ in range(repeats)]
  best = {name: min(run[name] for run in runs) for name in timed}
  rate = SEEDS * one.cost_analysis()["flops"] / best["ours"]
  result = {
    "name": "seeds",
    "peer": f"{SEEDS} single-seed jitted steps",
    "ours_s": round(best["ours"], 4),
    "peer_s": round(best["peer"], 4),
    "ratio": round(best["peer"] / best["ours"], 3),
    "target": TARGET,
    "agree": bool(agree),
    "ceiling_share": round(rate / (2 * SIDE**3 / best["matmul"]), 3),
  }
  print(json.dumps(result))


if __name__ == "__main__":
  main()
