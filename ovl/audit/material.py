"""What is judged: activations that a person brought, or a config's own networks."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import numpy as np

from ovl import fit, pooling, taps
from ovl import split as splitting
from ovl.about import run_id
from ovl.arrays import Arrays
from ovl.judge import cells
from ovl.judge.cells import Frame, Material
from ovl.run import Run
from ovl.types import BadInput, Lane, Row


@dataclass(frozen=True)
class Settings:
  """How an audit is made.

  Attributes:
    critics: names of `ovl/critics`, tried on every cell; the stop part chooses.
    max_width: taps wider than this are pooled and projected. None: the inner axes of maps
      and sequences are pooled to 512 columns or one position, and up to 4096 columns are
      read as they are.
    level: of all intervals; tests are at 1 - level.
    schedule: settings of `ovl.grid.Schedule`.
    release: name and settings of a file of `ovl/releases`: then every tap is released
      before it is read, and its upper bound stands beside the lower one.
  """

  critics: tuple[str, ...] = ("linear", "mlp")
  max_width: int | None = None
  level: float = 0.95
  schedule: dict[str, Any] = field(default_factory=dict)
  release: dict[str, Any] = field(default_factory=dict)

  def __post_init__(self) -> None:
    """Refuses what cannot be meant."""
    if not self.critics:
      raise BadInput("audit.critics is empty: expected names such as ('linear', 'mlp')")
    if not 0.5 <= self.level < 1:
      raise BadInput(f"audit.level={self.level}: expected in [.5, 1)")
    if self.max_width is not None and self.max_width < 1:
      raise BadInput(f"audit.max_width={self.max_width}: expected at least 1")


def from_arrays(given: Arrays, settings: Settings, seed: int) -> Material:
  """Splits and narrows activations that a person brought; copies of a model count once."""
  given, copies = _distinct(given)
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
  parted = splitting.stack(parts)
  frame = cells.frame(parted, y_N, len(labels), given.groups, given.split is not None)
  lanes, reduced = [], {}
  for subject, source in (("trained", given.taps), ("untrained", given.untrained)):
    for index, name in enumerate(given.taps):
      if name not in source:
        continue
      given_SND = taps.Given(
        name, source[name], frame.rows_SN, settings.max_width, frame.sizes[0]
      )
      # A tap is in memory while it is read; one whose columns had to be chosen stays.
      chosen = given_SND.shape[-1] < given_SND.whole
      z_SND = cast(np.ndarray, np.asarray(given_SND) if chosen else given_SND)
      lanes.append(Lane(subject, name, index, z_SND))
      shape = source[name].shape[2:]
      if int(np.prod(shape, dtype=int)) > z_SND.shape[-1]:
        reduced[name] = [list(shape), z_SND.shape[-1]]
  seeds = list(given.seeds) if given.seeds is not None else [0]
  config = {"audit": asdict(settings), "seed": seed}
  row = Row(run=run_id(config), dataset="arrays", task="task" if given.task else "")
  meta = {
    "title": "Audit of given activations",
    "model": "given activations",
    "num_models": S,
    "unit": _unit(frame),
    "reduced": reduced,
    "notes": given.notes,
    "warnings": [*given.doubts, *copies],
    "task": row.task,
  }
  return Material(lanes, frame, given.attributes, y_N, labels, seeds, None, row, meta)


def _distinct(given: Arrays) -> tuple[Arrays, list[str]]:
  """The models that are no copy of an earlier one, and what is to be said of the others."""
  S = len(next(iter(given.taps.values())))
  first: dict[str, int] = {}
  for s in range(S):
    digest = hashlib.sha256()
    for source in (given.taps, given.untrained):
      for z_SN in source.values():
        digest.update(np.ascontiguousarray(z_SN[s]).view(np.uint8).data)
    first.setdefault(digest.hexdigest(), s)
  keep = list(first.values())
  if len(keep) == S:
    return given, []
  taps, untrained = (
    {name: z_SN[keep] for name, z_SN in source.items()}
    for source in (given.taps, given.untrained)
  )
  seeds = None if given.seeds is None else tuple(given.seeds[s] for s in keep)
  said = f"{S - len(keep)} of {S} models are copies of others: counted once"
  return given._replace(taps=taps, untrained=untrained, seeds=seeds), [said]


def from_config(ground: fit.Ground, settings: Settings, run: Run) -> Material:
  """Trains the networks of a config and taps them, their twins and the input."""
  data, config = ground.dataset, run.config
  nets = ground.train(run.path("nets"), run.part(0.0, 1.0, "training: ").progress)
  frame = cells.frame(ground.part, data.y, len(data.labels), data.groups)

  def tap(subject: str, params: Any, state: Any) -> tuple[list[Lane], np.ndarray]:
    named, code_SN = taps.collect(
      ground.model, params, state, data.x, frame.rows_SN, ground.devices,
      max_width=settings.max_width,
      report=lambda share, _: run.progress(share, f"tapping the {subject} networks"),
    )  # fmt: skip
    lanes = [Lane(subject, n, i - 1, z) for i, (n, z) in enumerate(named.items())]
    return lanes, code_SN

  (raw, *trained), code_SN = tap("trained", nets.params, nets.state)
  (_, *untrained), _ = tap("untrained", nets.first_params, nets.first_state)
  test = frame.part("test")
  model_name = config["model"]["name"]
  row = Row(
    run=run_id(config),
    dataset=data.name,
    task=" / ".join(data.labels),
    model=model_name,
  )
  reduced = {
    name: [list(shape), width]
    for name, shape in taps.shapes(ground.model, nets.params, nets.state, data.x).items()
    if int(np.prod(shape)) > (width := pooling.reduced_width(shape, settings.max_width))
  }
  meta = {
    "title": f"{data.name}: what the network knows beyond its task",
    "dataset": data.name,
    "notes": [data.note] if data.note else [],
    "task": row.task,
    "model": model_name,
    "num_models": frame.models,
    "unit": _unit(frame),
    "split": {"train": int(ground.part["train"].shape[1])},
    "reduced": reduced,
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
