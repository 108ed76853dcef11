"""What does each layer know of each attribute, beyond the task it was trained for?"""

from __future__ import annotations

import os
import pathlib
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ovl import grid, mesh, probes, report, results
from ovl.arrays import arrays, read
from ovl.audit.material import (
  Progress,
  Settings,
  from_arrays,
  from_config,
  quiet,
)
from ovl.judge import cells, verdict
from ovl.judge.cells import Column, Material, Scored
from ovl.judge.conclude import conclude
from ovl.load import load
from ovl.load import settings as settings_of
from ovl.types import BadInput, Critic, Found, Kind, Lane, Row


class Audit(NamedTuple):
  """The result: rows, and what a report says beside them."""

  rows: list[Row]
  meta: dict[str, Any]

  def table(self) -> str:
    """A short table of verdicts, and what to look at before believing them."""
    doubts = [f"note: {doubt}" for doubt in self.meta.get("warnings", ())]
    return "\n".join([report.table(self.rows), *doubts])

  def report(self, directory: str | os.PathLike[str]) -> pathlib.Path:
    """Writes `rows.jsonl`, `rows.csv`, `plots/` and `report.html`; returns its path."""
    path = pathlib.Path(directory)
    results.write(self.rows, path)
    return report.write(self.rows, self.meta, path)

  def failures(self, above: float) -> list[Row]:
    """Leaking cells whose share beyond the task is surely above a limit."""
    leaking = (verdict.OVERLEARNED, verdict.PASSED, verdict.LEAKS)
    return [
      row
      for row in self.rows
      if row.metric == "share_beyond_task"
      and row.verdict in leaking
      and row.low is not None
      and row.low > above
    ]


def audit(
  taps: Mapping[str, Any],
  attributes: Mapping[str, Any],
  *,
  task: Any = None,
  groups: Any = None,
  untrained: Mapping[str, Any] | None = None,
  split: Any = None,
  ids: Any = None,
  seeds: Sequence[int] | np.ndarray | None = None,
  continuous: Iterable[str] = (),
  discrete: Iterable[str] = (),
  channels: str = "auto",
  mask: Any = None,
  lengths: Any = None,
  pool: str | Iterable[str] = (),
  seed: int = 0,
  progress: Progress = quiet,
  **settings: Any,
) -> Audit:
  """Audits activations of any model, from any framework.

  Args:
    taps: name -> `[N, ...]` (or `[S, N, ...]` with `seeds`), in depth order, of rows the
      network was not trained on (or say so in `split`).
    attributes: name -> `[N]` integers, text or floats, or a table of such columns; nan,
      None, "" and "NA" are unknown. More than 20 distinct whole numbers are a quantity,
      unless they are codes 0..K-1 or 1..K without a gap.
    task: `[N]` what the network was trained for; None: nothing is entailed.
    groups: `[N]` person, writer, ...: kept on one side of every split.
    untrained: the same taps of the same networks before training.
    split: `[N]` of "train", "probe", "stop", "test"; default a fresh 40/10/50 per model.
    ids: `[N]` identities of the rows.
    seeds: one number a model where taps have a leading axis of models.
    continuous: attributes to take as quantities whatever their type.
    discrete: attributes to take as classes whatever their type.
    channels: where maps have them: "first", "last" or "auto": as their shape tells.
    mask: `[N, T]` of 0 and 1, or name -> such: which positions of `[N, T, D]` are real.
    lengths: `[N]` how many positions are real, in place of a mask.
    pool: of "mean", "last", "first" real position, each a tap of its own.
    seed: of splits and critics.
    progress: called with the share done and a word.
    **settings: of `Settings`: critics, max_width, level, schedule.

  Returns:
    An `Audit`: `.rows`, `.table()`, `.report(directory)`. What was read in one of two
    ways, and rows that are copies of others, are warned of.

  Raises:
    BadInput: in one to four lines what came, where, and what fits.

  References:
    Song and Shmatikov (2020), Overlearning Reveals Sensitive Attributes,
    https://arxiv.org/abs/1905.11742, section 3 (inference from representations).
  """
  given = arrays(
    taps, attributes, untrained=untrained, task=task, groups=groups, split=split,
    ids=ids, seeds=seeds, continuous=continuous, discrete=discrete, channels=channels,
    mask=mask, lengths=lengths, pool=pool,
  )  # fmt: skip
  for doubt in given.doubts:
    warnings.warn(doubt, stacklevel=2)
  made, seed = make_settings(settings), int(seed)
  material = from_arrays(given, made, seed)
  return judged(material, made, seed, progress)


def make_settings(given: Mapping[str, Any]) -> Settings:
  """Builds `Settings`; one critic may be given by its bare name."""
  critics = given.get("critics")
  bare = {"critics": (critics,)} if isinstance(critics, str) else {}
  made = settings_of(Settings, dict(given) | bare, "audit")
  for name in made.critics:
    probes.reads(name, "audit.critics")
  return made


def run(
  config: Mapping[str, Any],
  directory: pathlib.Path,
  progress: Progress = quiet,
  say: Callable[[str], None] = lambda sentence: None,
) -> tuple[Audit, pathlib.Path]:
  """`ovl audit`: one config, one folder; resumes what an earlier call left unfinished.

  Args:
    config: of the experiment; with a "path" of activations, of it only "audit", "seed"
      and "read", what `arrays.read` takes beside the path.
    directory: the workdir.
    progress: called along the way.
    say: told how each attribute and tap of given activations is read, before the work.

  Returns:
    The audit and the report's path.

  Raises:
    BadInput: anything a person can mend.
  """
  started = time.time()
  settings = make_settings(config.get("audit", {}))
  given = read(config["path"], **config.get("read", {})) if config.get("path") else None
  for sentence in given.said() if given is not None else ():
    say(sentence)
  if moved := results.claim(directory, dict(config)):
    progress(0.0, moved)
  results.record(directory, "running", started)
  seed = int(config.get("seed", 0))
  cache = directory / "checkpoints"
  if given is not None:
    material = from_arrays(given, settings, seed)
  else:
    material = from_config(config, settings, progress, cache / "nets")
  result = judged(material, settings, seed, progress, cache / "critics")
  page = result._replace(meta=result.meta | {"wall_s": time.time() - started}).report(
    directory
  )
  results.record(directory, "complete", started)
  return result, page


def _columns(material: Material) -> list[Row]:
  """Of every tap of which fewer columns were read than there are: how many there are."""
  reduced = material.meta["reduced"]
  return [
    material.row._replace(
      kind="audit", subject=lane.subject, layer=lane.layer, layer_index=lane.depth,
      width=reduced[lane.layer][1], num_seeds=material.frame.models, metric="columns",
      value=float(np.prod(reduced[lane.layer][0])),
    )
    for lane in material.lanes
    if lane.subject == "trained" and lane.layer in reduced
  ]  # fmt: skip


_statistic = jax.jit(grid.statistic, static_argnames=("critic", "mesh"))


def judged(
  material: Material,
  settings: Settings,
  seed: int,
  progress: Progress = quiet,
  cache: pathlib.Path | None = None,
) -> Audit:
  """Probes every cell, tests it and concludes.

  Args:
    material: what is judged.
    settings: how.
    seed: of critics and permutations.
    progress: called along the way.
    cache: a folder for what critics found, so that an interrupted run resumes.

  Returns:
    The audit.

  Raises:
    BadInput: no attribute has enough examples.
  """
  material, noise = _released(material, settings, seed)
  cols = [
    cells.column(name, attribute, material.y_N, material.frame)
    for name, attribute in material.attributes.items()
  ]
  if not any(cells.enough(c, material.frame) for c in cols):
    said = ", ".join(f"{c.name} ({c.state})" for c in cols)
    raise BadInput(
      f"attributes: none has enough examples: {said}\n"
      f"expected {cells.MIN_ROWS} labelled rows in the probe and in the test part, "
      f"{cells.MIN_CLASS} of them in a second class"
    )
  measured, scores = [], []
  kinds: tuple[Kind, ...] = ("discrete", "continuous")
  for kind in kinds:
    if mine := [c for c in cols if c.kind == kind and not c.state]:
      read, scored = probes.critics(settings.critics, kind, "audit.critics")
      measured += _probe(material, mine, read, settings, seed, progress, cache)
      scores += _scores(material, mine, scored, progress)
  progress(0.9, "permutation tests")
  found, facts = conclude(material, cols, measured, scores, noise, settings.level, seed)
  progress(1.0, "judged")
  return Audit(
    [*found, *_columns(material)],
    material.meta | facts | {"critics": list(settings.critics)},
  )


def _released(
  material: Material, settings: Settings, seed: int
) -> tuple[Material, dict[str, Any]]:
  """What an adversary sees: every tap clipped and noised, where a release is set."""
  given = dict(settings.release)
  if not given:
    return material, {}
  release = load("releases", given.pop("name", "gaussian"), **given)
  lanes = []
  for place, lane in enumerate(material.lanes):
    # Models that share a row share no noise.
    z_SND = [
      release(z_ND, seed=np.random.default_rng([seed, place, s]))
      for s, z_ND in enumerate(np.asarray(lane.z_SND))
    ]
    lanes.append(lane._replace(z_SND=np.stack(z_SND).astype(np.float32)))
  return material._replace(lanes=lanes), {"bound": release.bound}


def _scores(
  material: Material, cols: list[Column], critics: dict[str, Critic], progress: Progress
) -> list[tuple[str, Critic, Lane, Column, np.ndarray]]:
  """Critics without parameters on the test part: `[S, 1 + blocks]` a tap and attribute."""
  frame, found = material.frame, []
  test, devices = frame.part("test"), mesh.make(frame.models)
  for name, critic in critics.items():
    for lane in material.lanes:
      progress(0.9, f"{name}: {lane.subject} {lane.layer}")
      z_SND = mesh.put(np.asarray(lane.z_SND)[:, test], devices, "seed")
      for c in cols:
        labels = probes.labels([c])
        values_S = _statistic(
          critic,
          z_SND,
          mesh.put(labels.s_SAN[:, 0, test], devices, "seed"),
          mesh.put(labels.mask_SAN[:, 0, test], devices, "seed"),
          labels.classes_AK[0],
          mesh=devices,
        )
        found.append((name, critic, lane, c, np.asarray(values_S, float)))
  return found


def _probe(
  material: Material,
  cols: list[Column],
  critics: dict[str, Critic],
  settings: Settings,
  seed: int,
  progress: Progress,
  cache: pathlib.Path | None,
) -> list[Scored]:
  """Every critic on every lane, for attributes of one kind; then the cells, scored."""
  frame, kind = material.frame, cols[0].kind
  calls = len(critics) + 1

  def ask(name: str, cols: list[Column], lanes: list[Lane], number: int) -> list[Found]:
    stage = f"{kind}-{name}" if number < len(critics) else f"{kind}-permuted"

    def said(share: float, text: str) -> None:
      progress(0.9 * (number + share) / calls, f"{name} probe: {text}")

    return probes.ask(
      critics[name], stage, cols, lanes, frame, settings.schedule, seed, said, cache
    )

  blank = Lane("label", "", -1, np.zeros((*frame.rows_SN.shape, 1), np.float32))
  lanes = [*material.lanes, blank]
  found = {name: ask(name, cols, lanes, i) for i, name in enumerate(critics)}
  blind = {name: one[-1] for name, one in found.items()}
  # The shuffled control is refit, so only by a critic that is cheap to fit.
  control = next((n for n, c in critics.items() if c.fit), next(iter(critics)))
  shuffled = [cells.permuted(c, frame) for c in cols]
  lanes = [lane._replace(subject="permuted") for lane in lanes if lane.subject == "trained"]
  again = ask(control, shuffled, [*lanes, blank], len(critics))
  return (
    [
      cells.scored(lane, c, at, {n: found[n][i] for n in critics}, frame, blind)
      for at, c in enumerate(cols)
      for i, lane in enumerate(material.lanes)
    ]
    + [
      cells.scored(lane, c, at, {control: one}, frame, {control: again[-1]})
      for at, c in enumerate(shuffled)
      if c.beyond  # else shuffling within task classes leaves it as it is
      for lane, one in zip(lanes, again[:-1], strict=True)
    ]
  )
