"""Fresh attackers: critics of the grid, and boosted trees on the host."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from ovl import grid, probes, taps
from ovl.judge import cells, removal
from ovl.judge.cells import Column, Frame, Scored
from ovl.judge.removal import Case
from ovl.types import Found, Lane
from ovl.unlearn.points import NO_PENALTY, UNTRAINED, Point
from ovl.unlearn.settings import TREES, Settings

Progress = Callable[[float, str], None]


def cases(
  points: list[Point],
  tap: str,
  depth: int,
  column: Column,
  frame: Frame,
  made: Settings,
  seed: int,
  progress: Progress,
  cache: pathlib.Path | None,
) -> list[Case]:
  """Attacks one tap of every point; boosted trees where the front is.

  Args:
    points: of the study; those without this tap are passed over.
    tap: the layer.
    depth: its place.
    column: the attribute.
    frame: the rows: attackers learn from the probe part, which nothing before has seen.
    made: settings.
    seed: of the attackers.
    progress: called along the way.
    cache: of what attackers found.
  """
  mine = [point for point in points if tap in point.z]
  lanes = [Lane(p.subject, tap, depth, p.z[tap], p.setting) for p in mine]
  names = [name for name in made.attackers if name != TREES]
  critics, _ = probes.critics(names, column.kind, "unlearn.attackers")
  found: list[dict[str, Found]] = [{} for _ in lanes]
  for number, (name, critic) in enumerate(critics.items()):

    def said(share: float, text: str, number: int = number, name: str = name) -> None:
      progress((number + share) / (len(critics) + 1), f"{name} attacks {text}")

    all_of_them = probes.ask(
      critic, f"{tap}-{name}", [column], lanes, frame, made.schedule, seed, said, cache
    )
    for one, its in zip(found, all_of_them, strict=True):
      one[name] = its

  def case(i: int) -> Case:
    point, lane = mine[i], lanes[i]
    alone = {
      name: cells.scored(lane, column, 0, {name: its}, frame)
      for name, its in found[i].items()
    }
    best = alone[names[0]] if len(alone) == 1 else None
    best = best or cells.scored(lane, column, 0, found[i], frame)
    read = {name: said for (name, at), said in point.read.items() if at == tap}
    control = point.subject == UNTRAINED
    return Case(
      point.subject, point.setting, best, alone, point.correct_SN, point.alive_S, read,
      control,
    )  # fmt: skip

  out = [case(i) for i in range(len(mine))]
  if TREES not in made.attackers:
    return out
  # A point may leave the front once trees have read it, and let another one in.
  while True:
    on_front = removal.front(out)
    want = [
      i
      for i, point in enumerate(mine)
      if (on_front[i] or point.subject == NO_PENALTY) and TREES not in found[i]
    ]
    if not want:
      return out
    for number, i in enumerate(want):
      text = f"trees attack {mine[i].subject} {mine[i].setting}"
      progress((len(critics) + number / len(want)) / (len(critics) + 1), text)
      stage = f"{tap}-trees-{mine[i].subject}-{_weight(mine[i].setting)}"
      if (trees := grid.cache.load(cache, stage)) is None:
        trees = [_trees(lanes[i], column, frame, seed)]
        grid.cache.save(cache, stage, trees)
      found[i][TREES] = trees[0]
      out[i] = case(i)


def controls(
  points: list[Point],
  x_N: np.ndarray,
  depths: dict[str, int],
  column: Column,
  frame: Frame,
  made: Settings,
  seed: int,
  progress: Progress,
  cache: pathlib.Path | None,
) -> list[Scored]:
  """The input itself, and every tap of `no_penalty` with the attribute shuffled.

  The latter by one critic that is cheap to fit: it must find nothing.

  Args:
    points: of the study.
    x_N: inputs of the whole data set.
    depths: tap -> its place.
    column: the attribute.
    frame: the rows.
    made: settings.
    seed: of the attackers.
    progress: called along the way.
    cache: of what attackers found.
  """
  names = [name for name in made.attackers if name != TREES]
  critics, _ = probes.critics(names, column.kind, "unlearn.attackers")

  def ask(name: str, stage: str, column: Column, lanes: list[Lane]) -> list[Found]:
    return probes.ask(
      critics[name], f"{stage}-{name}", [column], lanes, frame, made.schedule, seed,
      progress, cache,
    )  # fmt: skip

  x_SN = np.broadcast_to(x_N, (frame.models, *x_N.shape))
  z_SND = taps.narrow(taps.INPUT, x_SN, frame.rows_SN, made.max_width)
  raw = Lane("raw", taps.INPUT, -1, z_SND)
  found = {name: ask(name, "raw", column, [raw])[0] for name in critics}
  out = [cells.scored(raw, column, 0, found, frame)]
  if not column.beyond:  # shuffling within task classes leaves it as it is
    return out
  cheap = next((name for name, c in critics.items() if c.fit), names[0])
  plain = next(point for point in points if point.subject == NO_PENALTY)
  shuffled = cells.permuted(column, frame)
  lanes = [Lane("permuted", tap, depths[tap], z) for tap, z in plain.z.items()]
  for lane, its in zip(lanes, ask(cheap, "permuted", shuffled, lanes), strict=True):
    out.append(cells.scored(lane, shuffled, 0, {cheap: its}, frame))
  return out


def _weight(setting: str) -> str:
  return "-".join(str(v) for v in json.loads(setting or "{}").values())


def _trees(lane: Lane, column: Column, frame: Frame, seed: int) -> Found:
  """Boosted trees of every model, in the form in which critics answer."""
  C = frame.C if frame.C > 1 else 0
  outputs: list[list[tuple[np.ndarray, np.ndarray]]] = []
  for s in range(frame.models):
    task = np.eye(frame.C, dtype=np.float32)[frame.y_SN[s]]
    both = [lane.z_SND[s], np.concatenate([lane.z_SND[s], task], 1)]
    with threadpool_limits(1):  # small trees spend their time waiting for threads
      outputs.append([_one(z, column, frame, s, seed) for z in both[: 2 if C else 1]])
  stop, test = (
    np.stack([np.stack([one[part] for one in model]) for model in outputs])[:, :, None]
    for part in (0, 1)
  )
  return Found(stop, test, np.ones(stop.shape[:3], bool))


def _one(
  z_ND: np.ndarray, column: Column, frame: Frame, s: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
  probe, stop, test = (frame.part(name) for name in ("probe", "stop", "test"))
  known = column.mask_SN[s, probe]
  z, labels = z_ND[probe][known], column.s_SN[s, probe][known]
  settings: dict[str, Any] = {"max_iter": 50, "max_leaf_nodes": 15, "random_state": seed}
  settings |= {"early_stopping": False}
  if column.kind == "continuous":
    model = HistGradientBoostingRegressor(**settings).fit(z, labels)
    there = column.mask_SN[s, stop]
    error = column.s_SN[s, stop][there] - model.predict(z_ND[stop][there])
    scale = np.log(max(float(np.sqrt(np.square(error).mean())), 1e-3))
    parts = [model.predict(z_ND[part]) for part in (stop, test)]
    return tuple(np.stack([m, np.full_like(m, scale)], 1) for m in parts)  # type: ignore
  model = HistGradientBoostingClassifier(**settings).fit(z, labels)
  out = []
  for part in (stop, test):
    log_q = np.full((len(z_ND[part]), column.outputs), -30.0, np.float32)
    log_q[:, model.classes_] = np.log(model.predict_proba(z_ND[part]) + 1e-12)
    out.append(log_q)
  return out[0], out[1]
