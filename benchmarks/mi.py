"""Mutual information: many critics in one program against loops, vmap and bmi.

  mine    64 MINE critics (hidden 16-8, batch 256, one rolled negative, 5,000 rows) of
          1 x 1 and 5 x 5 Gaussians: >= 100 x bmi's steps, >= 8 x a PyTorch loop,
          >= 1.5 x torch.func.vmap. Held-out values agree within .05 nats.
  probes  64 softmax probes (width 64, hidden 64, 4 classes): >= 4 x a PyTorch loop.
          Held-out cross-entropies agree within 2 %.
  grid    12 taps x 10 seeds x 4 objectives, width 512, 10,000 rows: <= 5 minutes.
  knn     KSG and Ross of 12 taps, 10,000 rows: >= 10 x bmi's KSG. Agree within .02 nats.

Steps and work are equal: PyTorch too judges a pass on the stop part and keeps the best.
A loop is timed on some of the critics and multiplied; bmi's rate is that between two
lengths of training, without its compilation and its checks. Ours includes transfers;
compilation is printed apart. `ceiling_share` is the share of a float32 matmul's GFLOP/s.
One JSON line a comparison.

  python benchmarks/mi.py [mine probes grid knn] [--quick] [--bmi_python=PATH]

PyTorch: pip install torch==2.13.0. bmi needs an environment of its own:

  python -m venv bmi && bmi/bin/pip install benchmark-mi jax==0.4.30 jaxlib==0.4.30
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

TRAIN, STOP, REPORT, BATCH, LANES = 5000, 1250, 2500, 256, 64
STEPS = TRAIN // BATCH  # a pass
RATE, DECAY = 5e-3, 0.9
SIDE = 2048
PARTS = {"train": slice(0, TRAIN), "stop": slice(TRAIN, -REPORT)}
PARTS["report"] = slice(-REPORT, None)


def seconds(fn: Callable[[], Any]) -> float:
  start = time.perf_counter()
  fn()
  return time.perf_counter() - start


def fastest(fns: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
  """The shortest of some interleaved runs."""
  runs: dict[str, list[float]] = {name: [] for name in fns}
  for _ in range(repeats):
    for name, fn in fns.items():
      cpu = time.process_time()
      runs[name].append(seconds(fn))
      cpu = time.process_time() - cpu
      print(f"  {name}: {runs[name][-1]:.2f} s, of all cores {cpu:.2f} s")
  return {name: min(took) for name, took in runs.items()}


@functools.cache
def ceiling() -> float:
  """FLOP/s of a float32 matmul."""
  import jax
  import jax.numpy as jnp

  a = jnp.ones((SIDE, SIDE))
  matmul = jax.jit(jnp.matmul)
  matmul(a, a).block_until_ready()
  return 2 * SIDE**3 / min(seconds(lambda: matmul(a, a).block_until_ready()) for _ in "abc")


def say(
  name: str,
  peer: str,
  ours_s: float,
  peer_s: float,
  target: float,
  agree: Any,
  flops: float | None = None,
) -> None:
  share = None if flops is None else round(flops / ours_s / ceiling(), 3)
  result = {
    "name": name,
    "peer": peer,
    "ours_s": round(ours_s, 3),
    "peer_s": round(peer_s, 2),
    "ratio": round(peer_s / ours_s, 2),
    "target": target,
    "agree": bool(agree),
    "ceiling_share": share,
  }
  print(json.dumps(result), flush=True)


def gaussians(width: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
  """Two pairs of columns (one of 1 x 1) with a correlation of .8, the rest noise."""
  draw = np.random.default_rng(0)
  x_ND, y_ND = draw.normal(size=(2, rows, width))
  y_ND[:, :2] = 0.8 * x_ND[:, :2] + 0.6 * y_ND[:, :2]
  return x_ND.astype(np.float32), y_ND.astype(np.float32)


def classes(
  width: int, rows: int, seed: int = 0, number: int = 4
) -> tuple[np.ndarray, np.ndarray]:
  """Classes that shift eight directions, seen through noisy columns."""
  draw = np.random.default_rng(seed)
  s_N = draw.integers(0, number, rows).astype(np.int32)
  hidden_NF = draw.normal(size=(number, 8))[s_N] * 0.5 + draw.normal(size=(rows, 8))
  z_ND = hidden_NF @ draw.normal(size=(8, width)) + draw.normal(size=(rows, width))
  return ((z_ND - z_ND.mean(0)) / z_ND.std(0)).astype(np.float32), s_N


# -- ours ----------------------------------------------------------------------------


def view(z_ND: np.ndarray, s_N: np.ndarray, outputs: int) -> Any:
  from ovl.types import View

  rows, width = z_ND.shape
  ones = np.ones(rows, np.float32)
  return View(z_ND, s_N, ones, np.ones(width, bool), np.ones(outputs, bool))


def trained(
  critic: Any,
  parts: list[Any],
  lanes: int,
  side_by_side: int,
  schedule: Any,
) -> Callable[[], np.ndarray]:
  """NumPy in, the value of every lane on the report part out; compiled at its first."""
  import jax

  from ovl import grid, mesh, rng

  program = jax.jit(
    grid.measure, static_argnames=("critic", "schedule", "mesh", "side_by_side")
  )
  devices, rows = mesh.make(lanes), len(parts[0].mask_N)

  def run() -> np.ndarray:
    out = program(
      critic,
      *jax.device_put(parts),
      rng.per_seed(0, lanes),
      np.ones((lanes, rows), np.float32),
      np.full(lanes, rows),
      np.array([1]),
      schedule=schedule,
      mesh=devices,
      side_by_side=side_by_side,
    )
    return np.asarray(out.value)

  return run


def compiled(run: Callable[[], np.ndarray]) -> np.ndarray:
  start = time.perf_counter()
  out = run()
  print(f"  compile and first run: {time.perf_counter() - start:.1f} s")
  return out


# -- PyTorch -------------------------------------------------------------------------


class Torch:
  """The same critics: MLPs of z, or of z and s next to each other."""

  def __init__(self, z_ND: np.ndarray, s_N: np.ndarray, hidden: tuple[int, ...]):
    import torch

    self.torch, self.pairs = torch, s_N.ndim == 2
    self.z, self.s = (
      torch.tensor(z_ND),
      torch.tensor(s_N if self.pairs else s_N.astype(int)),
    )
    width = z_ND.shape[1] + (s_N.shape[1] if self.pairs else 0)
    self.widths = (width, *hidden, 1 if self.pairs else int(s_N.max()) + 1)

  def net(self) -> Any:
    """An untrained critic."""
    nn, layers = self.torch.nn, []
    for a, b in zip(self.widths, self.widths[1:], strict=False):
      layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])

  def bound(self, f: Callable[..., Any], z: Any, s: Any) -> tuple[Any, Any]:
    """E_p f and log E_pp exp f, or minus the cross-entropy and 0."""
    torch = self.torch
    if not self.pairs:
      value = -torch.nn.functional.cross_entropy(f(z), s)
      return value, torch.zeros_like(value)
    joint = f(torch.cat([z, s], 1))[:, 0].mean()
    other = f(torch.cat([z, s.roll(1, 0)], 1))[:, 0]
    return joint, other.logsumexp(0) - math.log(len(z))

  def loss(self, f: Callable[..., Any], z: Any, s: Any, log_m: Any) -> tuple[Any, Any]:
    """MINE's, with the moving average of the denominator; and its next logarithm."""
    torch = self.torch
    joint, now = self.bound(f, z, s)
    if not self.pairs:
      return -joint, log_m
    moved = torch.logaddexp(log_m + math.log(DECAY), now.detach() + math.log(1 - DECAY))
    return (now - moved).exp() - joint, moved

  def part(self, name: str) -> tuple[Any, Any]:
    """Rows of z and s."""
    return self.z[PARTS[name]], self.s[PARTS[name]]

  def loop(self, lanes: int, epochs: int) -> np.ndarray:
    """One critic after the other."""
    torch, (z, s) = self.torch, self.part("train")

    def one(seed: int) -> float:
      torch.manual_seed(seed)
      net = self.net()
      tx = torch.optim.Adam(net.parameters(), RATE)
      log_m, best, kept = torch.tensor(0.0), -math.inf, {}
      for _ in range(epochs):
        for rows in torch.randperm(TRAIN)[: STEPS * BATCH].view(STEPS, BATCH):
          tx.zero_grad()
          loss, log_m = self.loss(net, z[rows], s[rows], log_m)
          loss.backward()
          tx.step()
        with torch.no_grad():
          joint, now = self.bound(net, *self.part("stop"))
        if (value := float(joint - now)) > best:
          best, kept = value, {k: v.clone() for k, v in net.state_dict().items()}
      net.load_state_dict(kept)
      with torch.no_grad():
        joint, now = self.bound(net, *self.part("report"))
      return float(joint - now)

    return np.array([one(seed) for seed in range(lanes)])

  def vmap(self, lanes: int, epochs: int) -> np.ndarray:
    """All side by side: stacked parameters, torch.func, one fused Adam."""
    torch, func, (z, s) = self.torch, self.torch.func, self.part("train")
    torch.manual_seed(0)
    nets = [self.net() for _ in range(lanes)]
    params, _ = func.stack_module_state(nets)
    tx = torch.optim.Adam(params.values(), RATE, fused=True)

    def call(p: Any) -> Callable[[Any], Any]:
      return lambda x: func.functional_call(nets[0], p, (x,))

    def loss(p: Any, rows: Any, log_m: Any) -> tuple[Any, Any]:
      return self.loss(call(p), z[rows], s[rows], log_m)

    def value(p: Any, part: tuple[Any, Any]) -> Any:
      joint, now = self.bound(call(p), *part)
      return joint - now

    step = func.vmap(func.grad(loss, has_aux=True))
    judge = func.vmap(value, (0, None))
    log_m, best = torch.zeros(lanes), torch.full((lanes,), -math.inf)
    kept = {k: v.detach().clone() for k, v in params.items()}
    for _ in range(epochs):
      order = torch.rand(lanes, TRAIN).argsort(1)[:, : STEPS * BATCH]
      for rows in order.view(lanes, STEPS, BATCH).unbind(1):
        grads, log_m = step(params, rows, log_m)
        for k, v in params.items():
          v.grad = grads[k]
        tx.step()
      with torch.no_grad():
        now = judge(params, self.part("stop"))
        better = now > best
        best = torch.where(better, now, best)
        for k, v in params.items():
          kept[k][better] = v[better]
    with torch.no_grad():
      return judge(kept, self.part("report")).numpy()

  def threads(self, fn: Callable[[], Any]) -> int:
    """One or all cores, whichever is faster."""
    fn()
    took = {}
    for number in {1, os.cpu_count() or 1}:
      self.torch.set_num_threads(number)
      took[number] = min(seconds(fn) for _ in range(2))
    return min(took, key=took.__getitem__)

  def on(self, threads: int, fn: Callable[[], Any]) -> Callable[[], Any]:
    """`fn` on so many threads."""

    def run() -> Any:
      self.torch.set_num_threads(threads)
      return fn()

    return run


def torch_found() -> bool:
  if importlib.util.find_spec("torch"):
    return True
  print("PyTorch skipped: pip install torch==2.13.0")
  return False


# -- bmi -----------------------------------------------------------------------------


def ask_bmi(python: str | None, what: str, **given: Any) -> dict[str, np.ndarray] | None:
  """This file's `serve`, run by the Python that has bmi."""
  if python is None:
    print("bmi skipped: --bmi_python=PATH (see --help)")
    return None
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "samples.npz"
    np.savez(path, what=what, **given)
    subprocess.run([python, __file__, "serve", path], check=True)
    with np.load(path) as answer:
      return dict(answer)


def serve(path: str) -> None:
  """What bmi says of the samples in a file, and how long it takes."""
  with np.load(path) as file:
    given = dict(file)
  x, y = given["x"], given["y"]
  if given["what"] == "ksg":
    from bmi.estimators import KSGEnsembleFirstEstimator

    model = KSGEnsembleFirstEstimator()
    model.estimate(x[:500], y[:500])
    start, cpu = time.perf_counter(), time.process_time()
    value = model.estimate(x, y)
    took = {"s": time.perf_counter() - start, "cpu": time.process_time() - cpu}
    np.savez(path, value=value, **took)
    return

  import jax
  import jax.numpy as jnp
  from bmi.estimators.neural._critics import MLP
  from bmi.estimators.neural._mine_estimator import _mine_value, mine_training

  x, y, steps = jnp.asarray(x), jnp.asarray(y), int(given["steps"])
  key = jax.random.PRNGKey(0)

  def train(number: int) -> Any:
    net = MLP(key, x.shape[1], y.shape[1], [16, 8])
    return mine_training(
      key,
      net,
      x[PARTS["train"]],
      y[PARTS["train"]],
      batch_size=BATCH,
      alpha=DECAY,
      test_every_n_steps=10 * steps,
      max_n_steps=number,
      early_stopping=False,
      learning_rate=RATE,
    )[1]

  train(2)
  clocks, nets = [], []
  for number in (steps // 4, steps):
    start, cpu = time.perf_counter(), time.process_time()
    nets.append(train(number))
    clocks.append((time.perf_counter() - start, time.process_time() - cpu))
  s, cpu = (np.diff(clocks, axis=0)[0] / (steps - steps // 4)).tolist()
  x, y = x[PARTS["report"]], y[PARTS["report"]]
  value = _mine_value(nets[-1], x, y, jnp.roll(y, 1, 0))
  np.savez(path, value=value, s=s, cpu=cpu)


# -- comparisons ---------------------------------------------------------------------


def against_torch(
  name: str,
  peer: Torch,
  ours: Callable[[], np.ndarray],
  agree: Callable[[np.ndarray, np.ndarray], bool],
  targets: dict[str, float],
  epochs: int,
  flops: float,
  quick: bool,
) -> float:
  """PyTorch's loop, and where there is a target its vmap. Returns our seconds."""
  some = 4 if quick else 16
  value_L = ours()
  known = {"loop": peer.loop, "vmap": peer.vmap}
  lanes = {"loop": some, "vmap": LANES}
  found, timed = {}, {"ours": ours}
  for how in targets:
    run = known[how]
    threads = peer.threads(functools.partial(run, 2 if how == "loop" else LANES, 1))
    timed[how] = peer.on(threads, functools.partial(run, lanes[how], epochs))
    found[how] = timed[how]()
    print(f"  {how}: {found[how].mean():.3f}, ours {value_L.mean():.3f}, threads {threads}")
  best = fastest(timed, 2 if quick else 3)
  said = {"loop": "PyTorch loop", "vmap": f"torch.func.vmap of {LANES}"}
  for how, target in targets.items():
    peer_s = best[how] * LANES / lanes[how]
    same = agree(value_L, found[how])
    say(f"{name}-{how}", said[how], best["ours"], peer_s, target, same, flops)
  return best["ours"]


def mine(quick: bool, python: str | None) -> None:
  from ovl import grid
  from ovl.load import load

  epochs = 20 if quick else 52
  rows = TRAIN + STOP + REPORT
  schedule = grid.Schedule(RATE, weight_decay=0.0, epochs=epochs, patience=epochs)
  for width in (5,) if quick else (1, 5):
    name = f"mine-{width}x{width}" + ("-quick" if quick else "")
    print(f"{name}: {epochs * STEPS} steps of {LANES} critics")
    x_ND, y_ND = gaussians(width, rows)
    critic = load("critics", "mine", attribute="vector", hidden=(16, 8), decay=DECAY)
    parts = [view(x_ND[at], y_ND[at], width) for at in PARTS.values()]
    ours = trained(critic, parts, LANES, LANES, schedule)
    value_L = compiled(ours)
    macs = 2 * width * 16 + 2 * (16 * 8 + 8)  # forward, of a row: both kinds of pairs
    flops = 6.0 * macs * epochs * STEPS * BATCH * LANES

    def agree(a: np.ndarray, b: np.ndarray) -> bool:
      return abs(a.mean() - b.mean()) <= 0.05

    ours_s = None
    if torch_found():
      peer = Torch(x_ND, y_ND, (16, 8))
      targets = {"loop": 8.0, "vmap": 1.5}
      ours_s = against_torch(name, peer, ours, agree, targets, epochs, flops, quick)
    answer = ask_bmi(python, "mine", x=x_ND, y=y_ND, steps=epochs * STEPS)
    if answer is not None:
      now_s = min(seconds(ours) for _ in range(2))
      ours_s = min(now_s, ours_s or now_s)
      peer_s = float(answer["s"]) * epochs * STEPS * LANES
      same = agree(value_L, answer["value"])
      rate, cpu = 1 / answer["s"], 1 / answer["cpu"]
      print(f"  bmi: {answer['value']:.3f}; steps a second {rate:.0f}, of CPU {cpu:.0f}")
      say(f"{name}-bmi", "bmi MINE, its step rate", ours_s, peer_s, 100.0, same, flops)


def probes(quick: bool, python: str | None) -> None:
  del python
  from ovl import grid
  from ovl.load import load

  epochs = 8 if quick else 26
  name = "probes" + ("-quick" if quick else "")
  z_ND, s_N = classes(64, TRAIN + STOP + REPORT)
  schedule = grid.Schedule(RATE, weight_decay=0.0, epochs=epochs, patience=epochs)
  critic = load("critics", "mlp", hidden=(64,))
  parts = [view(z_ND[at], s_N[at], 4) for at in PARTS.values()]
  print(f"{name}: {epochs * STEPS} steps of {LANES} probes")
  runs = {}
  for side in (1, LANES):
    run = trained(critic, parts, LANES, side, schedule)
    compiled(run)
    runs[side] = (seconds(run), run)
    print(f"  {side} side by side: {runs[side][0]:.2f} s")
  run = min(runs.values(), key=lambda pair: pair[0])[1]
  if not torch_found():
    return
  share_K = np.bincount(s_N[PARTS["report"]]) / REPORT
  entropy = -(share_K * np.log(share_K)).sum()

  def agree(a: np.ndarray, b: np.ndarray) -> bool:
    return abs((entropy - a.mean()) / -b.mean() - 1) <= 0.02

  # The first layer's inputs need no gradient.
  flops = 2.0 * (2 * 64 * 64 + 3 * 64 * 4) * epochs * STEPS * BATCH * LANES
  print(f"  H(S) {entropy:.3f}: the peer prints minus its cross-entropy")
  peer = Torch(z_ND, s_N, (64,))
  against_torch(name, peer, run, agree, {"loop": 4.0}, epochs, flops, quick)


def grid(quick: bool, python: str | None) -> None:
  del python
  from ovl.load import load
  from ovl.mi.lanes import Settings

  taps, seeds = (2, 2) if quick else (12, 10)
  objectives = ("mlp", "dv") if quick else ("mlp", "dv", "nwj", "infonce")
  width, rows = 512, 10_000
  cuts = (slice(0, 6000), slice(6000, 7500), slice(7500, rows))
  schedule = Settings().training
  sides = (1, 2) if quick else (1, 4, 10)
  print(f"grid: {taps} taps x {seeds} seeds x {objectives}, width {width}, {rows} rows")

  def runs(tap: int, side: int) -> dict[str, Callable[[], np.ndarray]]:
    z_ND, s_N = classes(width, rows, tap)
    parts = [view(z_ND[at], s_N[at], 4) for at in cuts]
    return {
      name: trained(programs[name], parts, seeds, side, schedule) for name in objectives
    }

  programs = {name: load("critics", name, hidden=(64,)) for name in objectives}
  took, first = {}, {}
  for side in sides:
    run = runs(0, side)["mlp"]
    first[side], took[side] = seconds(run), seconds(run)
    print(f"  {side} side by side: {took[side] / seeds:.2f} s an estimate")
  side = min(took, key=took.__getitem__)
  compile_s = first[side] - took[side]
  value, total = {name: [] for name in objectives}, 0.0
  for tap in range(taps):
    for name, run in runs(tap, side).items():
      last = seconds(run) if tap == 0 and name != "mlp" else None
      now = seconds(lambda run=run, name=name: value[name].append(run().mean()))
      compile_s += 0.0 if last is None else last - now
      total += now
  print({name: np.round(found, 3).tolist() for name, found in value.items()})
  mean = np.array([np.mean(found) for found in value.values()])
  each = total / (taps * seeds * len(objectives))
  print(
    f"  {each:.2f} s an estimate; compilation, {len(objectives)} times: {compile_s:.1f} s"
  )
  whole = 480 * each + 4 / len(objectives) * compile_s
  note = ", extrapolated" if quick else ""
  say(
    "grid" + ("-quick" if quick else ""),
    f"5 minutes; {side} lanes side by side{note}",
    whole,
    300.0,
    1.0,
    np.ptp(mean) <= 0.1,
  )


def tree_ross(z_ND: np.ndarray, s_N: np.ndarray, k: int = 3) -> float:
  """Ross (2014), eq. 2, by KD-trees."""
  from scipy.spatial import cKDTree
  from scipy.special import digamma

  reach_N, size_N = np.empty(len(s_N)), np.bincount(s_N)[s_N]
  for code in np.unique(s_N):
    own = s_N == code
    reach_N[own] = cKDTree(z_ND[own]).query(z_ND[own], k + 1)[0][:, -1]
  near = cKDTree(z_ND).query_ball_point(
    z_ND, reach_N * (1 + 1e-9), return_length=True, workers=-1
  )
  terms = digamma(size_N) + digamma(near - 1)
  return float(digamma(len(s_N)) + digamma(k) - terms.mean())


def knn(quick: bool, python: str | None) -> None:
  import jax
  import jax.numpy as jnp

  from ovl.load import load

  taps, rows, width = (2, 10_000, 5) if quick else (12, 10_000, 5)
  x_ND, y_ND = gaussians(width, rows)
  turn_LDD = np.linalg.qr(np.random.default_rng(1).normal(size=(taps, width, width)))[0]
  turn_LDD[0] = np.eye(width)
  z_LND = (x_ND @ turn_LDD).astype(np.float32)
  s_N = (2 * (y_ND[:, 0] > 0) + (y_ND[:, 1] > 0)).astype(np.int32)

  def runner(critic: Any, s: np.ndarray, outputs: int) -> Callable[[], np.ndarray]:
    def one(z_ND: Any, s: Any) -> Any:
      return critic.value((), view(z_ND, s, outputs), jax.random.key(0))

    program = jax.jit(lambda z_LND, s: jax.lax.map(lambda z_ND: one(z_ND, s), z_LND))
    return lambda: np.asarray(program(jnp.asarray(z_LND), jnp.asarray(s)))

  ksg = load("critics", "ksg", attribute="vector", k=(5, 10), metric="euclidean")
  ross = load("critics", "ross")
  run_ksg, run_ross = runner(ksg, y_ND, width), runner(ross, s_N, 4)
  suffix = "-quick" if quick else ""
  print(f"knn: {taps} taps of {rows} x {width}")
  ksg_L, ross_L = compiled(run_ksg), compiled(run_ross)
  best = fastest({"ksg": run_ksg, "ross": run_ross}, 2)
  tree: list[float] = []
  tree_s = seconds(lambda: tree.extend(tree_ross(z_ND, s_N) for z_ND in z_LND))
  same = np.abs(ross_L - tree).max() <= 0.02
  print(f"  ross {ross_L[0]:.4f}, KD-trees {tree[0]:.4f}; {tree_s:.2f} s")
  flops = 3.0 * taps * rows**2 * width
  answer = ask_bmi(python, "ksg", x=x_ND, y=y_ND)
  if answer is None:
    say("ross" + suffix, "KD-trees", best["ross"], tree_s, 1.0, same, flops)
    return
  peer_s = taps * float(answer["s"])
  print(f"  ksg {ksg_L[0]:.4f}, bmi {answer['value']:.4f}; a tap {answer['s']:.2f} s,")
  print(f"  of all cores {answer['cpu']:.2f} s")
  near = abs(ksg_L[0] - answer["value"]) <= 0.02
  say("ksg" + suffix, "bmi KSG", best["ksg"], peer_s, 10.0, near, 2 * flops)
  say("ross" + suffix, "bmi KSG", best["ross"], peer_s, 10.0, same, flops)
  say("ross" + suffix, "KD-trees", best["ross"], tree_s, 1.0, same, flops)


def main() -> None:
  if sys.argv[1:2] == ["serve"]:
    return serve(sys.argv[2])
  sections = {"mine": mine, "probes": probes, "grid": grid, "knn": knn}
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("section", nargs="*", help=f"of {', '.join(sections)}; default: all")
  parser.add_argument("--quick", action="store_true", help="fewer steps, taps, repeats")
  parser.add_argument("--bmi_python", help="a Python that imports bmi")
  args = parser.parse_args()
  if unknown := set(args.section) - set(sections):
    parser.error(f"no section {', '.join(sorted(unknown))}: {', '.join(sections)} fit")
  for name in args.section or sections:
    sections[name](args.quick, args.bmi_python)
    print("load:", [round(x, 1) for x in os.getloadavg()])


if __name__ == "__main__":
  main()
