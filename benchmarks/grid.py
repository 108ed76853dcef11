"""Linear probes by the grid against a loop of scikit-learn's LogisticRegression.

8 representations x 8 label vectors of 4,000 rows, 128 correlated columns, 10 classes: a
probe each at l2 = 1, fitted and asked for the held-out rows. First the held-out cross-
entropy of every probe is held against scikit-learn run to convergence; then both are
timed, transfers included, scikit-learn (tol 1e-4) as a loop in one process with threaded
BLAS or spread over two, whichever is faster. `ceiling_share` is the share of a float32
matmul's GFLOP/s that a fixed number of iterations reaches. Ends with one JSON line.

  python benchmarks/grid.py [--quick]
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

TRAIN, STOP, TEST, WIDTH, CLASSES, LABELS = 4000, 500, 2000, 128, 10, 8
SIDE, STEPS, TARGET, TOLERANCE = 2048, 20, 10.0, 0.005


@functools.cache
def material(lanes: int) -> tuple[np.ndarray, np.ndarray]:
  """Factors shifted by every label but the last, seen through 128 noisy columns."""
  draw = np.random.default_rng(0)
  rows, factors = TRAIN + STOP + TEST, 48
  s_AN = draw.integers(0, CLASSES, (LABELS, rows)).astype(np.int32)
  f_NF = draw.normal(size=(rows, factors))
  for strength, s_N in zip(np.linspace(0.2, 0.7, LABELS - 1), s_AN, strict=False):
    f_NF += strength * draw.normal(size=(CLASSES, factors))[s_N]
  mix_LFD = draw.normal(size=(lanes, factors, WIDTH))
  z_LND = f_NF @ mix_LFD + draw.normal(size=(lanes, rows, WIDTH))
  probe_LND = z_LND[:, :TRAIN]
  z_LND = (z_LND - probe_LND.mean(1, keepdims=True)) / probe_LND.std(1, keepdims=True)
  return z_LND.astype(np.float32), s_AN


def cross_entropy(logp_NK: np.ndarray, s_N: np.ndarray) -> float:
  return float(-np.take_along_axis(logp_NK, s_N[:, None], 1).mean())


# -- the peer ------------------------------------------------------------------------


def peer_probe(job: tuple[int, int, int, float]) -> float:
  from sklearn.linear_model import LogisticRegression

  lanes, lane, label, tol = job
  z_LND, s_AN = material(lanes)
  z_ND, s_N = z_LND[lane], s_AN[label]
  model = LogisticRegression(C=1.0, tol=tol, max_iter=5000)
  model.fit(z_ND[:TRAIN], s_N[:TRAIN])
  return cross_entropy(model.predict_log_proba(z_ND[-TEST:]), s_N[-TEST:])


def jobs(lanes: int, used: int, tol: float = 1e-4) -> list[tuple[int, int, int, float]]:
  return [(lanes, lane, label, tol) for lane in range(used) for label in range(LABELS)]


@contextlib.contextmanager
def pool(
  processes: int, threads: int | None, lanes: int, limit: float | None = None
) -> Iterator[Any]:
  """Workers that hold the data already: the peer pays for no transfer."""
  names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
  before = dict(os.environ)
  if threads is not None:
    os.environ |= dict.fromkeys(names, str(threads))
  spawn = multiprocessing.get_context("spawn")
  with spawn.Pool(processes, material, (lanes,)) as workers:
    os.environ.clear()
    os.environ |= before

    def run(used: int, tol: float = 1e-4, limit: float | None = None) -> list[float]:
      work = jobs(lanes, used, tol)
      return workers.map_async(peer_probe, work, chunksize=1).get(limit)

    run(1, limit=limit)
    yield run


def fastest_pool(lanes: int) -> tuple[str, int, int | None]:
  """By 8 probes. Where others use the cores a threaded BLAS can wait for minutes."""
  with pool(2, 1, lanes) as run:
    limit = seconds(lambda: run(1))
  try:
    with pool(1, None, lanes, 8 * limit) as run:
      run(1, limit=limit)
      return "one process, threaded BLAS", 1, None
  except multiprocessing.TimeoutError:
    return "two processes", 2, 1


# -- ours ----------------------------------------------------------------------------


def probes(critic: Any) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
  """NumPy in, held-out logits `[lanes, labels, N, K]` out, by the grid's one program."""
  import jax

  from ovl import grid, mesh, rng

  program = jax.jit(grid.run, static_argnums=(0, 3, 4, 5))
  devices, key_S = mesh.make(1), rng.per_seed(0, 1)

  def run(z_LND: np.ndarray, s_AN: np.ndarray) -> np.ndarray:
    L, _, D = z_LND.shape
    data = grid.Data(
      z_LND[:, None],
      s_AN[None],
      np.ones((1, *s_AN.shape), np.float32),
      np.ones((L, 1, D), bool),
      np.ones((len(s_AN), CLASSES), bool),
    )
    data = jax.device_put(data)
    sizes = (TRAIN, STOP, TEST)
    out = program(critic, data, key_S, sizes, grid.Schedule(), devices)
    return np.asarray(out.test)[:, 0, 0]

  return run


def seconds(fn: Callable[[], Any]) -> float:
  start = time.perf_counter()
  fn()
  return time.perf_counter() - start


def fastest(fns: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
  """The shortest of some interleaved runs."""
  runs = [{name: seconds(fn) for name, fn in fns.items()} for _ in range(repeats)]
  if "peer" in fns:
    print("ratio, run by run:", [f"{run['peer'] / run['ours']:.1f}" for run in runs])
  return {name: min(run[name] for run in runs) for name in fns}


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--quick", action="store_true", help="a quarter of the probes")
  quick = parser.parse_args().quick
  lanes, repeats = (2, 4) if quick else (8, 5)

  import jax
  import jax.numpy as jnp
  from scipy.special import log_softmax
  from threadpoolctl import threadpool_limits

  from ovl.load import load

  z_LND, s_AN = material(lanes)
  count = lanes * LABELS
  threadpool_limits(1, "blas")  # XLA has threads of its own
  run = probes(load("critics", "linear", l2=1.0))
  print(f"compile and first run: {seconds(lambda: run(z_LND, s_AN)):.2f} s")

  ours_LA = [
    [cross_entropy(x, s[-TEST:]) for x, s in zip(lane, s_AN, strict=True)]
    for lane in log_softmax(run(z_LND, s_AN), -1)
  ]
  name, processes, threads = fastest_pool(lanes)
  with pool(processes, threads, lanes) as peer:
    exact = np.reshape(peer(lanes, 1e-7), (lanes, LABELS))
    usual = np.reshape(peer(lanes), (lanes, LABELS))
    gap, peer_gap = (np.abs(x / exact - 1).max() for x in (np.array(ours_LA), usual))
    agree = bool(gap <= TOLERANCE)
    print("held-out cross-entropy, nats:", np.round(exact.mean(0), 3))
    print(f"furthest from the minimum's: ours {gap:.2%}, the peer's own {peer_gap:.2%}")

    a = jnp.ones((SIDE, SIDE))
    matmul = jax.jit(jnp.matmul)
    fixed = probes(load("critics", "linear", l2=1.0, tol=0.0, steps=STEPS))
    timed = {
      "ours": lambda: run(z_LND, s_AN),
      "peer": lambda: peer(lanes),
      "fixed": lambda: fixed(z_LND, s_AN),
      "matmul": lambda: matmul(a, a).block_until_ready(),
    }
    timed["fixed"](), timed["matmul"]()
    best = fastest(timed, repeats)

    if not quick:
      wide_LND = np.tile(z_LND, (4, 1, 1))
      run(wide_LND, s_AN)
      wide = {
        "ours": lambda: run(wide_LND, s_AN),
        "peer": lambda: [peer(lanes) for _ in range(4)],
      }
      wide_s = fastest(wide, 2)
      print(f"{4 * count} probes: {wide_s['ours']:.3f} s, peer {wide_s['peer']:.2f} s")

  flops = 4 * STEPS * lanes * LABELS * CLASSES * TRAIN * WIDTH
  result = {
    "name": "grid" if not quick else "grid-quick",
    "peer": f"scikit-learn LogisticRegression, {count} probes, {name}",
    "ours_s": round(best["ours"], 4),
    "peer_s": round(best["peer"], 3),
    "ratio": round(best["peer"] / best["ours"], 1),
    "target": TARGET,
    "agree": agree,
    "ceiling_share": round(flops / best["fixed"] / (2 * SIDE**3 / best["matmul"]), 3),
  }
  print(json.dumps(result))


if __name__ == "__main__":
  main()
