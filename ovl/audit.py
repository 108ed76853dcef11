"""What does each layer know of each attribute, beyond the task it was trained for?"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import jax
import numpy as np

from ovl import fit, grid, mesh, report, results, rng, taps
from ovl import split as splitting
from ovl.arrays import Arrays, arrays, read
from ovl.judge import cells, verdict
from ovl.judge.cells import Column, Frame, Material, Scored
from ovl.judge.conclude import conclude
from ovl.load import load
from ovl.load import settings as settings_of
from ovl.types import BadInput, Found, Lane, Row

Progress = Callable[[float, str], None]


def quiet(share: float, said: str) -> None:
  """Reports to nobody."""


@dataclass(frozen=True)
class Settings:
  """How an audit is made.

  Attributes:
    critics: names of `ovl/critics`, tried on every cell; the stop part chooses.
    max_width: taps wider than this are pooled and projected.
    level: of all intervals; tests are at 1 - level.
    schedule: settings of `ovl.grid.Schedule`.
  """

  critics: tuple[str, ...] = ("linear", "mlp")
  max_width: int = 512
  level: float = 0.95
  schedule: dict[str, Any] = field(default_factory=dict)

  def __post_init__(self) -> None:
    """Refuses what cannot be meant."""
    if not self.critics:
      raise BadInput("audit.critics is empty: expected names such as ('linear', 'mlp')")
    if not 0.5 <= self.level < 1:
      raise BadInput(f"audit.level={self.level}: expected in [.5, 1)")
    if self.max_width < 1:
      raise BadInput(f"audit.max_width={self.max_width}: expected at least 1")


class Audit(NamedTuple):
  """The result: rows, and what a report says beside them."""

  rows: list[Row]
  meta: dict[str, Any]

  def table(self) -> str:
    """A short table of verdicts."""
    return report.table(self.rows)

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
  seed: int = 0,
  progress: Progress = quiet,
  **settings: Any,
) -> Audit:
  """Audits activations of any model, from any framework.

  Args:
    taps: name -> `[N, ...]` (or `[S, N, ...]` with `seeds`), channel last, in depth
      order, of rows the network was not trained on (or say so in `split`).
    attributes: name -> `[N]` integers, text or floats; nan, None and "" are unknown.
    task: `[N]` what the network was trained for; None: nothing is entailed.
    groups: `[N]` person, writer, ...: kept on one side of every split.
    untrained: the same taps of the same networks before training.
    split: `[N]` of "train", "probe", "stop", "test"; default a fresh 40/10/50 per model.
    ids: `[N]` identities of the rows.
    seeds: one number a model where taps have a leading axis of models.
    continuous: attributes to take as quantities whatever their type.
    seed: of splits and critics.
    progress: called with the share done and a word.
    **settings: of `Settings`: critics, max_width, level, schedule.

  Returns:
    An `Audit`: `.rows`, `.table()`, `.report(directory)`.

  Raises:
    BadInput: in one to four lines what came, where, and what fits.

  References:
    Song and Shmatikov (2020), Overlearning Reveals Sensitive Attributes,
    https://arxiv.org/abs/1905.11742, section 3 (inference from representations).
  """
  given = arrays(
    taps, attributes, untrained=untrained, task=task, groups=groups, split=split,
    ids=ids, seeds=seeds, continuous=continuous,
  )  # fmt: skip
  made = make_settings(settings)
  material = from_arrays(given, made, seed)
  return judged(material, made, seed, progress)


def make_settings(given: Mapping[str, Any]) -> Settings:
  """Builds `Settings`; one critic may be given by its bare name."""
  critics = given.get("critics")
  bare = {"critics": (critics,)} if isinstance(critics, str) else {}
  return settings_of(Settings, dict(given) | bare, "audit")


def from_arrays(given: Arrays, settings: Settings, seed: int) -> Material:
  """Splits and narrows activations that a person brought."""
  first = next(iter(given.taps.values()))
  S, N = first.shape[:2]
  y_N = np.zeros(N, np.int32) if given.task is None else given.task.values
  labels = ("",) if given.task is None else given.task.labels
  shares = {k: v for k, v in splitting.SHARES.items() if k != "train"}
  parts = []
  for s in range(S):
    if given.split is not None:
      gen = np.random.default_rng([seed, s])
      parts.append({k: gen.permutation(np.flatnonzero(given.split == k)) for k in shares})
    else:
      parts.append(splitting.split(y_N, given.groups, shares, seed + s))
  frame = _frame(splitting.stack(parts), y_N, len(labels), given.groups)
  lanes, reduced = [], {}
  for subject, source in (("trained", given.taps), ("untrained", given.untrained)):
    for index, name in enumerate(given.taps):
      if name not in source:
        continue
      z_SND = taps.narrow(name, source[name], frame.rows_SN, settings.max_width)
      lanes.append(Lane(subject, name, index, z_SND))
      shape = source[name].shape[2:]
      if shape != z_SND.shape[2:] and int(np.prod(shape, dtype=int)) > z_SND.shape[2]:
        reduced[name] = [list(shape), z_SND.shape[2]]
  seeds = list(given.seeds) if given.seeds is not None else [0]
  config = {"audit": asdict(settings), "seed": seed}
  row = Row(run=run_id(config), dataset="arrays", task="task" if given.task else "")
  meta = {
    "title": "Audit of given activations",
    "model": "given activations",
    "num_models": S,
    "unit": _unit(frame),
    "reduced": reduced,
    "config": config,
  }
  return Material(lanes, frame, given.attributes, y_N, labels, seeds, None, row, meta)


def from_config(
  config: Mapping[str, Any],
  settings: Settings,
  progress: Progress = quiet,
  directory: pathlib.Path | None = None,
) -> Material:
  """Trains the networks of a config and taps them, their twins and the input."""
  study = fit.study(config, directory, lambda s, said: progress(s, f"training: {said}"))
  data, nets = study.dataset, study.nets
  frame = _frame(study.part, data.y, len(data.labels), data.groups)

  def tap(subject: str, params: Any, state: Any) -> tuple[list[Lane], np.ndarray]:
    named, code_SN = taps.collect(
      study.model, params, state, data.x, frame.rows_SN, study.devices,
      max_width=settings.max_width,
      report=lambda share, _: progress(share, f"tapping the {subject} networks"),
    )  # fmt: skip
    lanes = [Lane(subject, n, i - 1, z) for i, (n, z) in enumerate(named.items())]
    return lanes, code_SN

  (raw, *trained), code_SN = tap("trained", nets.params, nets.state)
  (_, *untrained), _ = tap("untrained", nets.first_params, nets.first_state)
  test = frame.part("test")
  model_name = config["model"]["name"]
  row = Row(
    run=run_id(config), dataset=data.name, task=" / ".join(data.labels), model=model_name
  )
  reduced = {
    name: [list(shape), width]
    for name, shape in taps.shapes(study.model, nets.params, nets.state, data.x).items()
    if int(np.prod(shape)) > (width := taps.reduced_width(shape, settings.max_width))
  }
  meta = {
    "title": f"{data.name}: what the network knows beyond its task",
    "dataset": data.name,
    "note": data.note,
    "task": row.task,
    "model": model_name,
    "num_models": frame.models,
    "unit": _unit(frame),
    "split": {"train": int(study.part["train"].shape[1])},
    "reduced": reduced,
    "config": dict(config),
  }
  return Material(
    [raw._replace(subject="raw"), *trained, *untrained], frame,
    data.attributes, data.y, data.labels,
    list(range(int(config["seed"]), int(config["seed"]) + frame.models)),
    code_SN[:, test] == frame.y_SN[:, test], row, meta,
  )  # fmt: skip


def _unit(frame: Frame) -> str:
  """What intervals of aggregates are over."""
  if frame.models > 1:
    return "models"
  return "examples" if frame.groups_SN is None else "groups"


def run(
  config: Mapping[str, Any],
  directory: pathlib.Path,
  progress: Progress = quiet,
) -> tuple[Audit, pathlib.Path]:
  """`ovl audit`: one config, one folder; resumes what an earlier call left unfinished.

  Args:
    config: of the experiment; with a "path" of activations, of it only "audit" and "seed".
    directory: the workdir.
    progress: called along the way.

  Returns:
    The audit and the report's path.

  Raises:
    BadInput: anything a person can mend.
  """
  started = time.time()
  settings = make_settings(config.get("audit", {}))
  results.claim(directory, dict(config))
  results.record(directory, "running", started)
  seed = int(config.get("seed", 0))
  cache = directory / "checkpoints"
  if path := config.get("path"):
    material = from_arrays(read(path), settings, seed)
  else:
    material = from_config(config, settings, progress, cache / "nets")
  result = judged(material, settings, seed, progress, cache / "critics")
  page = result._replace(meta=result.meta | {"wall_s": time.time() - started}).report(
    directory
  )
  results.record(directory, "complete", started)
  return result, page


def _frame(
  part: dict[str, np.ndarray], y_N: np.ndarray, C: int, groups: np.ndarray | None
) -> Frame:
  rows_SN = np.concatenate([part[p] for p in ("probe", "stop", "test")], 1)
  probe, stop, test = (part[p].shape[1] for p in ("probe", "stop", "test"))
  grouped = None if groups is None else groups[rows_SN]
  return Frame(rows_SN, (probe, stop, test), y_N[rows_SN], C, grouped)


def run_id(config: Mapping[str, Any]) -> str:
  """Ten hexadecimal digits of the config: equal configs, equal runs."""
  text = json.dumps(config, sort_keys=True, default=str)
  return hashlib.sha256(text.encode()).hexdigest()[:10]


_program = jax.jit(grid.run, static_argnames=("critic", "sizes", "schedule", "mesh"))


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
  cols = [
    cells.column(name, attribute, material.y_N, material.frame)
    for name, attribute in material.attributes.items()
  ]
  if all(c.state for c in cols):
    said = ", ".join(f"{c.name} ({c.state})" for c in cols)
    raise BadInput(
      f"attributes: none has enough examples: {said}\n"
      f"expected {cells.MIN_ROWS} labelled rows in the probe and in the test part, "
      f"{cells.MIN_CLASS} of them in a second class"
    )
  measured = []
  for kind in ("discrete", "continuous"):
    if mine := [c for c in cols if c.kind == kind and not c.state]:
      measured += _probe(material, mine, settings, seed, progress, cache)
  progress(0.9, "permutation tests")
  found, facts = conclude(material, cols, measured, settings.level, seed)
  progress(1.0, "judged")
  return Audit(found, material.meta | facts | {"critics": list(settings.critics)})


def _probe(
  material: Material,
  cols: list[Column],
  settings: Settings,
  seed: int,
  progress: Progress,
  cache: pathlib.Path | None,
) -> list[Scored]:
  """Every critic on every lane, for attributes of one kind; then the cells, scored."""
  frame, kind = material.frame, cols[0].kind
  devices = mesh.make(frame.models)
  key_S = rng.per_seed(seed, frame.models)
  task_SNC = np.eye(frame.C, dtype=np.float32)[frame.y_SN]
  schedule = settings_of(grid.Schedule, settings.schedule, "audit.schedule")
  critics = {name: load("critics", name, attribute=kind) for name in settings.critics}
  calls = len(critics) + 1

  def ask(name: str, cols: list[Column], lanes: list[Lane], number: int) -> list[Found]:
    stage = f"{kind}-{name}" if number < len(critics) else f"{kind}-permuted"
    if (found := grid.cache.load(cache, stage)) is None:

      def said(share: float, text: str) -> None:
        progress(0.9 * (number + share) / calls, f"{name} probe: {text}")

      found = grid.sweep(
        _program, critics[name], lanes, _labels(cols), task_SNC, key_S, frame.sizes,
        schedule, devices, said,
      )  # fmt: skip
      grid.cache.save(cache, stage, found)
    return found

  found = {name: ask(name, cols, material.lanes, i) for i, name in enumerate(critics)}
  # The shuffled control is refit, so only by a critic that is cheap to fit.
  control = next((n for n, c in critics.items() if c.fit), settings.critics[0])
  shuffled = [cells.permuted(c, frame) for c in cols]
  trained = [lane for lane in material.lanes if lane.subject == "trained"]
  lanes = [lane._replace(subject="permuted") for lane in trained]
  again = ask(control, shuffled, lanes, len(critics))
  return [
    cells.scored(lane, c, at, {name: found[name][i] for name in critics}, frame)
    for at, c in enumerate(cols)
    for i, lane in enumerate(material.lanes)
  ] + [
    cells.scored(lane, c, at, {control: one}, frame)
    for at, c in enumerate(shuffled)
    if c.beyond  # else shuffling within task classes leaves it as it is
    for lane, one in zip(lanes, again, strict=True)
  ]


def _labels(cols: list[Column]) -> grid.Labels:
  """Attributes of one kind, padded to the most classes."""
  K = max(c.outputs for c in cols)
  continuous = cols[0].kind == "continuous"
  return grid.Labels(
    np.stack([c.s_SN for c in cols], 1).astype(np.float32 if continuous else np.int32),
    np.stack([c.mask_SN for c in cols], 1).astype(np.float32),
    np.stack([np.arange(K) < c.outputs for c in cols]),
  )
