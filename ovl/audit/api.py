"""What does each layer know of each attribute, beyond the task it was trained for?"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import jax
import numpy as np

from ovl import fit, grid, mesh, probes
from ovl.arrays import arrays, read
from ovl.audit.material import Settings, from_arrays, from_config
from ovl.judge import cells
from ovl.judge.cells import Column, Material, Scored
from ovl.judge.conclude import conclude
from ovl.load import load
from ovl.load import settings as settings_of
from ovl.progress import Progress, quiet
from ovl.run import Result, Run
from ovl.types import BadInput, Critic, Found, Kind, Lane, Row


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
) -> Result:
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
    A `Result`: `.rows`, `.table()`, `.report(directory)`. What was read in one of two
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
  config = {"audit": asdict(made), "seed": seed}
  return judged(from_arrays(given, made, seed), made, Run(config, progress=progress))


def make_settings(given: Mapping[str, Any]) -> Settings:
  """Builds `Settings`; one critic may be given by its bare name."""
  critics = given.get("critics")
  bare = {"critics": (critics,)} if isinstance(critics, str) else {}
  made = settings_of(Settings, dict(given) | bare, "audit")
  for name in made.critics:
    probes.reads(name, "audit.critics")
  return made


def study(run: Run) -> Result:
  """`ovl audit`: networks of a config, or with a "path" given activations.

  Args:
    run: its config has the sections of `ovl.fit` and "audit"; with a "path" of it only
      "audit", "seed" and "read", what `arrays.read` takes beside the path.

  Raises:
    BadInput: anything a person can mend.
  """
  config = run.config
  settings, seed = make_settings(config.get("audit", {})), int(config.get("seed", 0))
  if not config.get("path"):
    ground = fit.prepare(config)
    run.begin()
    return judged(from_config(ground, settings, run), settings, run)
  given = read(config["path"], **config.get("read", {}))
  for sentence in given.said():
    run.say(sentence)
  run.begin()
  return judged(from_arrays(given, settings, seed), settings, run)


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


def judged(material: Material, settings: Settings, run: Run) -> Result:
  """Probes every cell, tests it and concludes.

  Args:
    material: what is judged.
    settings: how.
    run: its config's seed is that of critics and permutations.

  Returns:
    The audit.

  Raises:
    BadInput: no attribute has enough examples.
  """
  seed, progress = int(run.config.get("seed", 0)), run.progress
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
      measured += _probe(material, mine, read, settings, run)
      scores += _scores(material, mine, scored, run)
  progress(0.9, "permutation tests")
  found, facts = conclude(material, cols, measured, scores, noise, settings.level, seed)
  about = run.about(verb="audit", readers=settings.critics, **material.meta | facts)
  return Result([*found, *_columns(material)], about)


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
  material: Material, cols: list[Column], critics: dict[str, Critic], run: Run
) -> list[tuple[str, Critic, Lane, Column, np.ndarray]]:
  """Critics without parameters on the test part: `[S, 1 + blocks]` a tap and attribute."""
  frame, found = material.frame, []
  test, devices = frame.part("test"), run.mesh(frame.models)
  for name, critic in critics.items():
    for lane in material.lanes:
      run.progress(0.9, f"{name}: {lane.subject} {lane.layer}")
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
  run: Run,
) -> list[Scored]:
  """Every critic on every lane, for attributes of one kind; then the cells, scored."""
  frame, kind = material.frame, cols[0].kind
  calls = len(critics) + 1

  def ask(name: str, cols: list[Column], lanes: list[Lane], number: int) -> list[Found]:
    stage = name if number < len(critics) else "permuted"
    mine = run.part(0.9 * number / calls, 0.9 * (number + 1) / calls, f"{name} probe: ")
    return probes.ask(
      critics[name], (kind, stage), cols, lanes, frame, settings.schedule, mine
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
