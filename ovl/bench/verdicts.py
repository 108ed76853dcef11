"""How often what is said is wrong where the truth is known: `ovl bench verdicts`.

Every world is drawn many times; every draw goes through a public door; what comes out is
counted against the truth (`claims`).
"""

from __future__ import annotations

import functools
import json
import time
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ovl.bench import table
from ovl.bench.claims import CLAIMS, MEANS, mean_word, word
from ovl.bench.count import counted
from ovl.bench.drawn import World
from ovl.load import nearest
from ovl.run import Result, Run
from ovl.types import BadInput, Row


def study(run: Run) -> Result:
  """Every world, drawn again and again; finished draws are not run again.

  Args:
    run: its config has `worlds` (names; none: all), `draws` (at most, of each), `level`
      (that no word is wrong by chance), `audit`, `mi` (settings of the doors), `seed`.

  Raises:
    BadInput: an unknown world or setting.
  """
  config = run.config
  wanted = _wanted(config)
  run.begin()
  total = sum(draws for _, draws in wanted)
  rows: list[Row] = []
  done = 0
  for world, draws in wanted:
    for draw in range(draws):
      run.progress(done / total, f"{world.name}, draw {draw + 1} of {draws}")
      make = functools.partial(_measure, world, draw, config)
      rows += run.rows("cells", world.name, str(draw), make=make)
      done += 1
  rows += aggregates(rows, config["level"])
  title = "How often a verdict is wrong where the truth is known"
  return Result(rows, run.about(verb="bench", title=title, level=config["level"]))


def _wanted(config: Mapping[str, Any]) -> list[tuple[World, int]]:
  names = list(config["worlds"]) or list(table.TABLE)
  for name in names:
    if name not in table.TABLE:
      raise BadInput(f"bench.worlds: {name!r}: {nearest(name, list(table.TABLE))}")
  most = int(config["draws"])
  if most < 1:
    raise BadInput(f"bench.draws={most}: expected at least 1")
  return [(one, min(one.draws, most)) for one in (table.TABLE[name] for name in names)]


def _measure(world: World, draw: int, config: Mapping[str, Any]) -> list[Row]:
  clock = time.perf_counter()
  seeds = [int(config["seed"]), zlib.crc32(world.name.encode()), draw]
  gen = np.random.default_rng(seeds)
  drawn = world.draw(gen)
  rows = counted(drawn, config, int(gen.integers(2**31)))
  rows.append(Row(metric="seconds", unit="s", value=time.perf_counter() - clock))
  return [
    row._replace(kind="bench", dataset="verdicts", task=world.name, seed=draw)
    for row in rows
  ]


def aggregates(rows: list[Row], level: float) -> list[Row]:
  """Over the draws of a world: the rate or mean of each line, its interval, its word."""
  lines: dict[tuple[str, str, str], list[Row]] = {}
  for row in rows:
    lines.setdefault((row.task, row.metric, row.setting), []).append(row)
  judged = sum(metric in CLAIMS or metric in MEANS for _, metric, _ in lines)
  adjusted = 1 - (1 - level) / max(judged, 1)
  return [_aggregate(mine, adjusted) for mine in lines.values()]


def _aggregate(mine: list[Row], adjusted: float) -> Row:
  values_N = np.array([row.value for row in mine], float)
  trials_N = np.array([row.n_eval or 0 for row in mine])
  trials = int(trials_N.sum())
  whole = mine[0]._replace(seed=None, num_seeds=len(mine), n_eval=trials)
  if (claim := CLAIMS.get(whole.metric)) is not None:
    low, high, said = word(claim, int(values_N.sum()), trials, adjusted)
    return whole._replace(
      value=values_N.sum() / trials, low=low, high=high, level=adjusted, verdict=said,
      unit="of trials", chance=claim.stated[1],
    )  # fmt: skip
  if whole.metric in MEANS:
    low, high, said = mean_word(values_N, adjusted)
    return whole._replace(
      value=float(values_N.mean()), low=low, high=high, level=adjusted, verdict=said,
      unit="nats" if "information" in json.loads(whole.setting)["of"] else "share",
    )  # fmt: skip
  return whole._replace(value=float(values_N.sum()))
