"""Shadow models as lanes of one program, and the statistics they are for.

  models   64 digits MLPs 64-128-64-10 on random halves of the data, batch 128, Adam, 20
           epochs, against a PyTorch loop that trains the same networks one by one: target
           >= 20 x. Agreement: mean test accuracies of the two, within 3 standard errors.
           `ratio_at_ceiling`: what a step of nothing but matmuls would reach here.
  lanes    1 to 256 lanes: time per lane-step, and the share of a float32 matmul's
           GFLOP/s.
  table    memorisation, LiRA and RMIA of 512 models x 50,000 examples: target <= 60 s.
           Agreement: a column of each equals the same table of that column alone.

One JSON line a comparison.

  python benchmarks/shadow.py [models lanes table] [--quick]

PyTorch: pip install torch==2.13.0
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from ovl import fit, load, mesh, rng
from ovl.memorise import membership
from ovl.memorise.lanes import as_pytorch

BATCH, RATE, SIDE = 128, 1e-3, 2048
TARGETS = {"models": 20.0, "table": 60.0}
MODEL = as_pytorch(load("models", "mlp", classes=10, hidden=(128, 64)))
FLOPS = 6 * BATCH * (64 * 128 + 128 * 64 + 64 * 10)  # of a lane-step, matmuls alone


def seconds(fn: Callable[[], Any]) -> tuple[float, Any]:
  start = time.perf_counter()
  out = jax.block_until_ready(fn())
  return time.perf_counter() - start, out


def digits() -> tuple[np.ndarray, ...]:
  x, y = load_digits(return_X_y=True)
  x, y = (x / 16).astype(np.float32), y.astype(np.int32)
  train, test = train_test_split(
    np.arange(len(y)), test_size=0.2, random_state=0, stratify=y
  )
  return x[train], y[train], x[test], y[test]


def halves(S: int, N: int) -> np.ndarray:
  return np.stack([np.random.default_rng(s).permutation(N)[: N // 2] for s in range(S)])


def ours(S: int, epochs: int) -> Any:
  x, y, *_ = digits()
  settings = fit.Settings(
    epochs=epochs, batch_size=BATCH, learning_rate=RATE, milestones=(epochs,)
  )
  return fit.fit(
    MODEL, x, y, halves(S, len(x)), rng.per_seed(0, S), settings, mesh.make(S)
  ).params


def theirs(S: int, epochs: int) -> list[float]:
  """Accuracy of every network, trained one after the other."""
  import torch
  from torch import nn

  torch.set_num_threads(1)  # of so small a network more threads cost more than they give
  x, y, x_test, y_test = (torch.from_numpy(a) for a in digits())
  y, y_test = y.long(), y_test.long()
  found = []
  for s, rows in enumerate(halves(S, len(x))):
    torch.manual_seed(s)
    net = nn.Sequential(
      nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)
    )
    tx, loss = torch.optim.Adam(net.parameters(), RATE), nn.CrossEntropyLoss()
    mine = torch.from_numpy(rows)
    for _ in range(epochs):
      order = mine[torch.randperm(len(mine))]
      for at in range(0, len(order) // BATCH * BATCH, BATCH):
        here = order[at : at + BATCH]
        tx.zero_grad()
        loss(net(x[here]), y[here]).backward()
        tx.step()
    with torch.no_grad():
      found.append(float((net(x_test).argmax(1) == y_test).float().mean()))
  return found


def accuracies(params: Any) -> np.ndarray:
  *_, x, y = digits()
  logits = jax.vmap(lambda p: MODEL.apply(p, (), jnp.asarray(x))[0])(params)
  return np.asarray((logits.argmax(-1) == y).mean(1))


def ceiling() -> float:
  a = jnp.ones((SIDE, SIDE))
  run = jax.jit(jnp.matmul)
  jax.block_until_ready(run(a, a))
  return 2 * SIDE**3 / min(seconds(lambda: run(a, a))[0] for _ in range(5))


def models(quick: bool) -> None:
  S, epochs = (16 if quick else 64), 20
  cold, _ = seconds(lambda: ours(S, epochs))
  warm, params = seconds(lambda: ours(S, epochs))
  result = {"name": "shadow models", "peer": "PyTorch loop", "ours_s": round(warm, 3)}
  result["with_compile_s"] = round(cold, 3)
  steps = S * epochs * (len(digits()[0]) // 2 // BATCH)
  floor = steps * FLOPS / ceiling()  # matmuls alone, as fast as this machine multiplies
  result["ceiling_share"] = round(floor / warm, 3)
  if importlib.util.find_spec("torch") is None:
    print(json.dumps(result | {"peer_s": None, "ratio": None, "agree": None}))
    return
  start = time.perf_counter()
  peer = theirs(S, epochs)
  peer_s = time.perf_counter() - start
  mine = accuracies(params)
  gap = abs(float(mine.mean()) - float(np.mean(peer)))
  error = float(np.sqrt((mine.var(ddof=1) + np.var(peer, ddof=1)) / S))
  result |= {
    "peer_s": round(peer_s, 3), "ratio": round(peer_s / warm, 2),
    "ratio_at_ceiling": round(peer_s / floor, 2),
    "target": TARGETS["models"], "agree": bool(gap < 3 * error),
    "accuracy_gap": round(gap, 4),
    "accuracy": round(float(mine.mean()), 4),
  }  # fmt: skip
  print(json.dumps(result))


def lanes(quick: bool) -> None:
  top, epochs = ceiling(), 4
  for S in (1, 16, 64) if quick else (1, 4, 16, 64, 256):
    seconds(lambda S=S: ours(S, epochs))
    took = min(seconds(lambda S=S: ours(S, epochs))[0] for _ in range(2))
    steps = S * epochs * (len(digits()[0]) // 2 // BATCH)
    print(json.dumps({
      "name": f"shadow lanes {S}", "peer": None, "ours_s": round(took, 4),
      "lane_step_ms": round(1e3 * took / steps, 4),
      "ceiling_share": round(steps * FLOPS / took / top, 3),
    }))  # fmt: skip


def table(quick: bool) -> None:
  K, N = (128, 5_000) if quick else (512, 50_000)
  gen = np.random.default_rng(0)
  member = gen.random((K, N), np.float32) < 0.5
  phi = gen.standard_normal((K, N), np.float32)
  p, p_KZ = 1 / (1 + np.exp(-phi)), gen.random((K, 1000), np.float32)
  total, agree = 0.0, True
  for name, run in (
    ("memorisation", lambda m, a, b: membership.memorisation(m, a).value),
    ("lira", lambda m, a, b: membership.lira(m, a)),
    ("rmia", lambda m, a, b: membership.rmia(m, b, p_KZ)),
  ):
    took, found = seconds(lambda run=run: run(member, phi, p))
    alone = run(member[:, :1], phi[:, :1], p[:, :1])
    agree &= bool(np.allclose(found[..., :1], alone, equal_nan=True, atol=1e-4))
    total += took
    print(f"{name}: {took:.2f} s")
  print(json.dumps({
    "name": f"shadow table {K} x {N}", "peer": None, "ours_s": round(total, 2),
    "target": TARGETS["table"], "agree": agree,
  }))  # fmt: skip


def main() -> None:
  parts = {"models": models, "lanes": lanes, "table": table}
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("parts", nargs="*", default=list(parts), help=", ".join(parts))
  parser.add_argument("--quick", action="store_true", help="smaller")
  asked = parser.parse_args()
  for name in asked.parts:
    parts[name](asked.quick)


if __name__ == "__main__":
  main()
