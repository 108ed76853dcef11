"""The fused train step: what monitors and a penalty cost, and PyTorch beside it.

  cost   IRENE and five linear monitors on pooled taps, over the plain step: 28x28 CNN,
         batch 128, 8 seeds. Peer and ours swap places in the ratio: fused / plain,
         target <= 1.25.
  mlp    IRENE in an MLP 64-128-64-10 (digits), batch 128, 64 seeds in one step, against
         the same step in PyTorch, one seed after the other: target >= 8 a seed-step.
  cnn    the same with the CNN, where convolutions bound the step: target >= 1.3.

The peer's step is written with the same stopped gradients: one forward, one backward,
SGD for network and head. Before anything is timed, ten steps from equal parameters on
equal batches must end at equal losses. `ceiling_share` is the share of a float32 matmul's
GFLOP/s. One JSON line a comparison.

  python benchmarks/step.py [cost mlp cnn] [--quick]

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
import optax

from ovl import load, rng, step

BATCH, K, SIDE, STEPS = 128, 10, 2048, 10
SEEDS = {"mlp": 64, "cnn": 8}
IMAGE = {"mlp": 8, "cnn": 28}
RATE, HEAD_RATE, WEIGHT = 0.05, 0.1, 0.5
TARGETS = {"cost": 1.25, "mlp": 8.0, "cnn": 1.3}


def seconds(fn: Callable[[], Any]) -> float:
  start = time.perf_counter()
  jax.block_until_ready(fn())
  return time.perf_counter() - start


def model(kind: str) -> Any:
  if kind == "mlp":
    return load("models", "mlp", classes=10, hidden=(128, 64)), "fc2"
  return load("models", "cnn", classes=10, channels=(16, 32), hidden=(64,)), "fc1"


def data(kind: str) -> tuple[np.ndarray, ...]:
  gen, S, side = np.random.default_rng(0), SEEDS[kind], IMAGE[kind]
  y, s = (gen.integers(0, 10, (S, BATCH)) for _ in range(2))
  x = gen.normal(size=(S, BATCH, side * side)).astype(np.float32)
  x[:, :, :10] += 2 * np.eye(10)[y]
  x[:, :, 10:20] += 2 * np.eye(10)[s]
  x = x.reshape(S, BATCH, side, side, 1)
  return x, y.astype(np.int32), s.astype(np.int32)


def term(name: str, tap: str, penalty: bool = False) -> step.Term:
  critic = load("critics", name, attribute="discrete")
  return step.Term(
    f"{name} {tap}", critic, "s", "discrete", K, (tap,), penalty, max_width=128,
    optimiser="sgd", learning_rate=HEAD_RATE,
  )  # fmt: skip


def ours(kind: str, plan: step.Plan) -> tuple[Any, ...]:
  """The compiled step of all seeds, its state, its arguments and its FLOPs."""
  net, _ = model(kind)
  tx = optax.sgd(RATE, momentum=0.9)
  x, y, s = data(kind)
  batch = step.Batch(
    jnp.asarray(x), jnp.asarray(y), {"s": (jnp.asarray(s), jnp.ones(y.shape))}
  )
  key = rng.per_seed(0, SEEDS[kind])
  state = jax.jit(jax.vmap(lambda k, b: step.init(net, tx, k, b, plan)))(key, batch)
  weights = {t.name: jnp.full(SEEDS[kind], WEIGHT) for t in plan.terms if t.penalty}
  made = jax.jit(jax.vmap(step.make_step(net, tx, plan)))
  args = batch, weights, key
  compiled = made.lower(state, *args).compile()
  return compiled, state, args, compiled.cost_analysis()["flops"]


def torch_steps(kind: str, state: Any, tap: str) -> tuple[Callable[[], Any], Any]:
  """A step of every seed in turn, from the same parameters."""
  import torch
  from torch import nn

  class Net(nn.Module):
    def __init__(self, params: Any) -> None:
      super().__init__()
      self.convs, self.fcs = nn.ModuleList(), nn.ModuleList()
      for leaf in params.values():
        w, b = np.array(leaf["kernel"]), np.array(leaf["bias"])
        if w.ndim == 4:
          layer: Any = nn.Conv2d(w.shape[2], w.shape[3], 3, padding=1)
          layer.weight.data = torch.tensor(w.transpose(3, 2, 0, 1).copy())
        else:
          layer = nn.Linear(*w.shape)
          layer.weight.data = torch.tensor(w.T.copy())
        layer.bias.data = torch.tensor(b)
        (self.convs if w.ndim == 4 else self.fcs).append(layer)

    def forward(self, x: Any) -> tuple[Any, Any]:
      for conv in self.convs:
        x = nn.functional.max_pool2d(torch.relu(conv(x)), 2)
      # Our rows are [H, W, C]; the layer after them was copied in that order.
      x = x.permute(0, 2, 3, 1).flatten(1) if len(self.convs) else x.flatten(1)
      for fc in self.fcs[:-1]:
        x = torch.relu(fc(x))
      return self.fcs[-1](x), x

  order = {
    "mlp": ("fc1", "fc2", "logits"),
    "cnn": ("conv1", "conv2", "fc1", "logits"),
  }[kind]
  x, y, s = data(kind)
  lanes = []
  name = f"irene {tap}/{tap}"
  for i in range(SEEDS[kind]):
    params = jax.tree.map(lambda leaf, i=i: np.asarray(leaf[i]), state.params)
    net = Net({layer: params[layer] for layer in order})
    ((w, b),) = jax.tree.map(lambda leaf, i=i: np.array(leaf[i]), state.critics[name][0])
    head = nn.Linear(*w.shape)
    head.weight.data, head.bias.data = torch.tensor(w.T.copy()), torch.tensor(b)
    txs = (
      torch.optim.SGD(net.parameters(), RATE, momentum=0.9),
      torch.optim.SGD(head.parameters(), HEAD_RATE, momentum=0.9, weight_decay=1e-4),
    )
    rows = torch.tensor(x[i].transpose(0, 3, 1, 2).copy())
    private = torch.tensor(s[i]).long()
    hot = nn.functional.one_hot(private, K).float()
    lanes.append((net, head, txs, rows, torch.tensor(y[i]).long(), private, hot))

  def information(logits: Any, hot: Any) -> Any:
    p = torch.softmax(logits, 1).T @ hot / len(hot)

    def minus_entropy(p: Any) -> Any:
      return (p * torch.log(torch.clamp(p, min=1e-15))).sum()

    return minus_entropy(p) - minus_entropy(p.sum(0)) - minus_entropy(p.sum(1))

  def one(lane: Any) -> Any:
    net, head, txs, x, y, private, hot = lane
    for tx in txs:
      tx.zero_grad(set_to_none=True)
    out, z = net(x)
    task = nn.functional.cross_entropy(out, y)
    stopped = nn.functional.linear(z, head.weight.detach(), head.bias.detach())
    mine = nn.functional.cross_entropy(head(z.detach()), private)
    (task + WEIGHT * information(stopped, hot) + mine).backward()
    for tx in txs:
      tx.step()
    return task.detach()

  return (lambda: [one(lane) for lane in lanes]), torch


def report(name: str, peer: str, ours_s: float, peer_s: float, **more: Any) -> None:
  print(
    json.dumps(
      {
        "name": f"step {name}",
        "peer": peer,
        "ours_s": round(ours_s, 5),
        "peer_s": round(peer_s, 5),
        "ratio": round(more.pop("ratio", peer_s / ours_s), 3),
        "target": TARGETS[name],
        **more,
      }
    ),
    flush=True,
  )


def ceiling(repeats: int) -> float:
  a = jnp.ones((SIDE, SIDE))
  matmul = jax.jit(jnp.matmul)
  jax.block_until_ready(matmul(a, a))
  return 2 * SIDE**3 / min(seconds(lambda: matmul(a, a)) for _ in range(repeats))


def cost(repeats: int) -> None:
  taps = ("conv1", "conv2", "fc1", "logits", "softmax")
  watch = tuple(term("linear", tap) for tap in taps)
  plain, fused = step.Plan(), step.Plan((term("irene", "fc1", True), *watch))
  made = {name: ours("cnn", p) for name, p in (("plain", plain), ("fused", fused))}
  # Monitors must not touch the network; the penalty alone is what moves it.
  alone = ours("cnn", step.Plan((term("irene", "fc1", True),)))
  a, b = (run(state, *args)[0].params for run, state, args, _ in (alone, made["fused"]))
  agree = all(
    np.allclose(p, q, 0, 1e-5) for p, q in zip(*map(jax.tree.leaves, (a, b)), strict=True)
  )
  calls = {n: lambda m=m: m[0](m[1], *m[2]) for n, m in made.items()}
  runs = [{n: seconds(fn) for n, fn in calls.items()} for _ in range(repeats)]
  best = {n: min(r[n] for r in runs) for n in calls}
  report(
    "cost", "our plain step", best["fused"], best["plain"],
    ratio=best["fused"] / best["plain"], agree=bool(agree),
    ceiling_share=round(made["plain"][3] / best["plain"] / ceiling(repeats), 3),
  )  # fmt: skip


def against_torch(kind: str, repeats: int) -> None:
  if importlib.util.find_spec("torch") is None:
    print("PyTorch skipped: pip install torch==2.13.0")
    return
  _, tap = model(kind)
  run, state, args, flops = ours(kind, step.Plan((term("irene", tap, True),)))
  theirs, torch = torch_steps(kind, state, tap)
  now = state
  for _ in range(STEPS):
    now, metrics = run(now, *args)
    losses = torch.stack(theirs())
  gap = float(np.abs(losses.numpy() - np.asarray(metrics["loss"])).max())
  agree = gap < 1e-3

  def mine() -> Any:
    return run(state, *args)[1]["loss"]

  threads = torch.get_num_threads()
  runs: list[dict[str, float]] = []
  for _ in range(repeats):
    found = {"ours": seconds(mine)}
    for number in {1, threads}:
      torch.set_num_threads(number)
      found[f"torch {number}"] = seconds(theirs)
    runs.append(found)
  best = {name: min(r[name] for r in runs) for name in runs[0]}
  peer = min(v for name, v in best.items() if name != "ours")
  report(
    kind, f"PyTorch {torch.__version__}, {SEEDS[kind]} seeds in turn, best thread count",
    best["ours"], peer, agree=agree, gap=round(gap, 6),
    ceiling_share=round(flops / best["ours"] / ceiling(repeats), 3),
  )  # fmt: skip


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("what", nargs="*", help="cost, mlp, cnn; default all")
  parser.add_argument("--quick", action="store_true", help="fewer repeats")
  given = parser.parse_args()
  what = given.what or ["cost", "mlp", "cnn"]
  if unknown := set(what) - set(TARGETS):
    parser.error(f"unknown: {', '.join(sorted(unknown))}; have cost, mlp, cnn")
  repeats = 10 if given.quick else 40
  for name in what:
    if name == "cost":
      cost(repeats)
    else:
      against_torch(name, repeats)


if __name__ == "__main__":
  main()
