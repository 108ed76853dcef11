"""An audit of wide hidden states in a folder, against a loop of scikit-learn's probes.

  50,000 rows of 2,500 people x 6 taps, 768 wide x 3 attributes: under 4 minutes and 6 GB
  on 2 cores, start to report.

`ovl audit FOLDER` as a person types it, in a process of its own: it reads the memory-mapped
taps, fits a linear and an MLP probe to every cell and the shuffled control, tests, bounds
and writes the report. The peer is what people write by hand: StandardScaler, then
LogisticRegression at five strengths, the best on the stop part, AUC on the test part;
nothing else. First both run on a tenth of the rows and of the people, and every AUC must be
at most .01 below the peer's and every attribute that is planted (and no other) must leak;
then both are timed once. `more_taps_gb` is what four more taps add to the peak. Memory is
the process's own, without pages of the files that happen to be mapped. One JSON line.

  python benchmarks/arrays.py [--smoke]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from typing import Any, NamedTuple

import numpy as np

WIDTH, TAPS, ROWS_A_PERSON = 768, 6, 20
PARTS = {"probe": 0.4, "stop": 0.1, "test": 0.5}
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
TOLERANCE, TARGET_S, TARGET_GB = 0.01, 240.0, 6.0
PLANTED = ("sex", "site")  # and "coin", which is in no tap


class World(NamedTuple):
  """What is written to the folder."""

  z_LND: list[np.ndarray]
  attributes: dict[str, np.ndarray]
  person_N: np.ndarray
  split_N: np.ndarray


def world(people: int, width: int, taps: int) -> World:
  """Columns as of embeddings: mixed, of a falling spectrum; people differ in themselves."""
  draw = np.random.default_rng(0)
  person_N = np.repeat(np.arange(people), ROWS_A_PERSON)
  sex, site = draw.integers(0, 2, people), draw.integers(0, 4, people)
  coin_N = draw.integers(0, 2, len(person_N))
  names = np.repeat(
    list(PARTS), np.diff([0, *(np.cumsum([*PARTS.values()]) * people)]).astype(int)
  )
  split = draw.permutation(names)
  fall_D = np.arange(1, width + 1, dtype=np.float32) ** -0.6
  z_LND = []
  for depth in range(taps):
    turn_DD = np.linalg.qr(draw.normal(size=(width, width)))[0].astype(np.float32)
    of_person = 0.3 * draw.normal(size=(people, width))
    of_person += (0.3 + 0.1 * depth) * np.outer(2 * sex - 1, draw.normal(size=width))
    of_person += (0.8 - 0.1 * depth) * draw.normal(size=(4, width))[site]
    z_ND = draw.normal(size=(len(person_N), width)).astype(np.float32)
    z_ND += (of_person[person_N] / 4).astype(np.float32)
    z_LND.append((z_ND * fall_D) @ turn_DD)
  attributes = {"sex": sex[person_N], "site": site[person_N], "coin": coin_N}
  return World(z_LND, attributes, person_N, split[person_N])


def write(made: World, folder: pathlib.Path) -> pathlib.Path:
  (folder / "taps").mkdir(parents=True)
  for depth, z_ND in enumerate(made.z_LND):
    np.save(folder / "taps" / f"h{depth}.npy", z_ND)
  table = made.attributes | {"group": made.person_N, "split": made.split_N}
  rows = zip(*table.values(), strict=True)
  lines = [",".join(table), *(",".join(map(str, row)) for row in rows)]
  (folder / "attributes.csv").write_text("\n".join(lines) + "\n")
  return folder


class Ours(NamedTuple):
  """What a process took and found."""

  seconds: float
  gb: float
  auc: dict[tuple[str, str], float]
  leaks: set[tuple[str, str]]


def ours(folder: pathlib.Path) -> Ours:
  """`ovl audit FOLDER`, start to report."""
  from ovl import results

  workdir = folder.with_name(f"{folder.name}-run")
  code = "from ovl.cli import console; console()"
  words = ["audit", str(folder), f"--workdir={workdir}"]
  start, peak = time.perf_counter(), [0]
  process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code, *words])
  watch = threading.Thread(target=_watch, args=(process, peak))
  watch.start()
  if process.wait():
    raise SystemExit("the audit failed")
  spent = time.perf_counter() - start
  watch.join()
  rows = [r for r in results.read(workdir) if r.subject == "trained" and r.num_seeds]
  return Ours(
    spent,
    peak[0] / 1e9,
    {(r.layer, r.attribute): r.value for r in rows if r.metric == "auc" and not r.setting},
    {(r.layer, r.attribute) for r in rows if r.verdict == "leaks"},
  )


def _watch(process: subprocess.Popen, peak: list[int]) -> None:
  """The most anonymous memory a process had, bytes."""
  status = pathlib.Path(f"/proc/{process.pid}/status")
  with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
    while True:
      for line in status.read_text().splitlines():
        if line.startswith("RssAnon:"):
          peak[0] = max(peak[0], 1024 * int(line.split()[1]))
      time.sleep(0.05)


def peer(made: World) -> dict[tuple[str, str], float]:
  """The loop by hand."""
  from sklearn.linear_model import LogisticRegression
  from sklearn.metrics import log_loss, roc_auc_score
  from sklearn.preprocessing import StandardScaler

  warnings.filterwarnings("ignore", message=".*lbfgs failed to converge")
  probe, stop, test = (made.split_N == part for part in PARTS)
  found = {}
  for depth, z_ND in enumerate(made.z_LND):
    scaler = StandardScaler().fit(z_ND[probe])
    learn_ND, choose_ND, judge_ND = (scaler.transform(z_ND[m]) for m in (probe, stop, test))
    for name, s_N in made.attributes.items():
      models = [
        LogisticRegression(C=C, max_iter=200).fit(learn_ND, s_N[probe]) for C in STRENGTHS
      ]
      best = min(models, key=lambda m: log_loss(s_N[stop], m.predict_proba(choose_ND)))
      p_NK = best.predict_proba(judge_ND)
      of = {} if p_NK.shape[1] > 2 else {"y_score": p_NK[:, 1]}
      found[f"h{depth}", name] = float(
        roc_auc_score(s_N[test], **({"y_score": p_NK, "multi_class": "ovr"} | of))
      )
  return found


def agree(mine: Ours, theirs: dict[tuple[str, str], float]) -> bool:
  """No AUC more than the tolerance below the peer's; what is planted leaks, and no more."""
  for cell, auc in theirs.items():
    said = "leaks" if cell in mine.leaks else ""
    print(f"{cell[0]} {cell[1]:5s} AUC {mine.auc[cell]:.3f}, scikit-learn {auc:.3f} {said}")
  planted = {cell for cell in theirs if cell[1] in PLANTED}
  near = all(mine.auc[cell] >= auc - TOLERANCE for cell, auc in theirs.items())
  return near and mine.leaks == planted


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--smoke", action="store_true", help="96 wide, 100 people, 2 taps")
  smoke = parser.parse_args().smoke
  width, taps, sizes = (96, 2, (100,)) if smoke else (WIDTH, TAPS, (250, 2500))

  agreed = True
  with tempfile.TemporaryDirectory() as directory:
    root = pathlib.Path(directory)
    for people in sizes:
      made = world(people, width, taps)
      whole = ours(write(made, root / f"{people}"))
      start = time.perf_counter()
      theirs = peer(made)
      peer_s = time.perf_counter() - start
      agreed &= agree(whole, theirs)
    few = ours(write(made._replace(z_LND=made.z_LND[: taps // 3 or 1]), root / "few"))
  result: dict[str, Any] = {
    "name": "arrays-smoke" if smoke else "arrays",
    "peer": f"scikit-learn LogisticRegression, {len(theirs)} cells x {len(STRENGTHS)} C",
    "rows": len(made.person_N),
    "taps": taps,
    "ours_s": round(whole.seconds, 1),
    "peer_s": round(peer_s, 1),
    "ratio": round(peer_s / whole.seconds, 2),
    "target": f"{TARGET_S:.0f} s, {TARGET_GB:.0f} GB",
    "agree": agreed,
    "peak_gb": round(whole.gb, 2),
    "more_taps_gb": round(whole.gb - few.gb, 2),
    "met": whole.seconds <= TARGET_S and whole.gb <= TARGET_GB,
  }
  print(json.dumps(result))


if __name__ == "__main__":
  main()
