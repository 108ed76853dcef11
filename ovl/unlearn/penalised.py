"""Networks trained to forget as subjects, and those of `no_penalty`, erased."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import optax

from ovl import fit, step, taps
from ovl.judge.cells import Frame
from ovl.load import nearest
from ovl.progress import quiet
from ovl.run import Run
from ovl.subjects import Subject
from ovl.subjects.erased import Erasing, erased, eraser
from ovl.subjects.networks import layers, tapped
from ovl.types import BadInput
from ovl.unlearn.settings import Penalty, Settings, known, monitors, penalty

NO_PENALTY = "no_penalty"
UNTRAINED = "untrained"


class Studio(NamedTuple):
  """What all subjects share."""

  ground: fit.Ground
  frame: Frame
  made: Settings
  run: Run


def subjects(studio: Studio) -> list[Penalty]:
  """The penalties; looks up every name before anything is trained or written."""
  made, ground, there = studio.made, studio.ground, list(layers(studio.ground))
  _check_taps("unlearn.taps", made.taps, [taps.INPUT, *there])
  if made.erasers and not ground.model.stages:
    raise BadInput("unlearn.erasers: this model has no stages, so no layer can be edited")
  for name, settings in made.erasers.items():
    eraser(name, settings)
  attributes = ground.dataset.attributes
  given = sorted(made.penalties.items())
  tried = [penalty(name, g, made, attributes) for name, g in given]
  for one in tried:
    for term in one.plan.terms:
      _check_taps(f"unlearn.penalties.{one.name}: {term.name}.taps", term.taps, there)
    step.make_step(ground.model, optax.sgd(1.0), one.plan)  # refuses cuts that cannot be
    _aims(studio, one)
  return tried


def points(studio: Studio) -> Iterator[Subject]:
  """Every subject of the study, `no_penalty` first."""
  made, attributes = studio.made, studio.ground.dataset.attributes
  tried = subjects(studio)
  plain = fit.Aims(
    step.Plan(tuple(monitors(made, attributes))),
    attributes=_columns(studio, (made.attribute,)),
  )
  total = 1 + len(tried)
  nets = _trained(studio, NO_PENALTY, plain, 1, (0, total))
  if nets.alive is not None and not nets.alive.any():
    raise FloatingPointError(
      "unlearn: without a penalty no network has a finite loss: lower fit.learning_rate, "
      "or look at the inputs"
    )
  yield from _points(studio, NO_PENALTY, nets, [""], plain.plan)
  untrained = nets._replace(params=nets.first_params, state=nets.first_state, read={})
  yield from _points(studio, UNTRAINED, untrained, [""], step.Plan())
  asked = Erasing(
    studio.ground, nets, studio.frame, made.attribute, made.erasers, made.max_width,
    "unlearn.erasers",
  )  # fmt: skip
  for tap in made.taps:
    yield from erased(asked, tap, studio.run.progress)
  for number, one in enumerate(tried, 1):
    copies = len(one.weights)
    nets = _trained(studio, one.name, _aims(studio, one), copies, (number, total))
    settings = [json.dumps({"weight": w}) for w in one.weights]
    yield from _points(studio, one.name, nets, settings, one.plan)


def _trained(
  studio: Studio, name: str, aims: fit.Aims, copies: int, place: tuple[int, int]
) -> fit.Nets:
  number, total = place
  mine = studio.run.part(
    0.5 * number / total, 0.5 * (number + 1) / total, f"training {name}: "
  )
  home = mine.path("nets", name)
  return studio.ground.train(home, mine.progress, aims._replace(strict=False), copies)


def _aims(studio: Studio, one: Penalty) -> fit.Aims:
  """Weights of every network, seed by seed, the weights of a seed side by side."""
  S = len(studio.ground.seeds)
  weights = {one.name: np.tile(np.asarray(one.weights, np.float32), S)}
  weights |= {
    name: np.full(S * len(one.weights), weight, np.float32)
    for name, weight in one.fixed.items()
  }
  rates = {name: _rates(studio, name) for name in one.grouped}
  return fit.Aims(one.plan, weights, _columns(studio, one.attributes), rates)


def _columns(studio: Studio, wanted: tuple[str, ...]) -> dict[str, Any]:
  """Codes, or a quantity standardised by the train part, and where it is known."""
  data, out = studio.ground.dataset, {}
  train = np.unique(studio.ground.part["train"])
  for name in wanted:
    attribute = known(name, data.attributes)
    values = np.where(attribute.known, attribute.values, 0)
    if attribute.kind == "discrete":
      values = values.astype(np.int32)
    else:
      mine = attribute.values[train][attribute.known[train]]
      values = ((values - mine.mean()) / max(mine.std(), 1e-12)).astype(np.float32)
    out[name] = values, attribute.known.astype(np.float32)
  return out


def _rates(studio: Studio, name: str) -> np.ndarray:
  """Share of each group, task label x attribute, in the train part."""
  data = studio.ground.dataset
  attribute = known(name, data.attributes)
  if attribute.kind != "discrete":
    raise BadInput(f"unlearn: groups need classes, and {name!r} is a quantity")
  train = np.unique(studio.ground.part["train"])
  train = train[attribute.known[train]]
  K = attribute.outputs
  group = data.y[train] * K + attribute.values[train]
  counts = np.bincount(group, minlength=len(data.labels) * K)
  return (counts / max(len(train), 1)).astype(np.float32)


def _points(
  studio: Studio, subject: str, nets: fit.Nets, settings: list[str], plan: step.Plan
) -> list[Subject]:
  """Taps the networks of all settings in one program."""
  frame, ground, max_width = studio.frame, studio.ground, studio.made.max_width
  W, S = len(settings), frame.models
  weights = nets.params, nets.state
  unheard = replace(studio.run, progress=quiet)
  named, correct = tapped(ground, weights, frame, unheard, max_width)
  alive_SW = np.ones(S * W, bool) if nets.alive is None else nets.alive
  read = _read(plan, nets, ground.settings.batch_size)

  def of(x: np.ndarray, w: int) -> np.ndarray:
    return x.reshape(S, W, *x.shape[1:])[:, w]

  return [
    Subject(
      subject,
      {tap: of(named[tap], w) for tap in studio.made.taps},
      setting,
      correct_SN=of(correct, w),
      alive_S=of(alive_SW, w),
      read={at: (of(nats, w), floor) for at, (nats, floor) in read.items()},
    )
    for w, setting in enumerate(settings)
  ]


def _read(
  plan: step.Plan, nets: fit.Nets, batch_size: int
) -> dict[tuple[str, str], tuple[np.ndarray, float]]:
  """What critics that monitor in nats read, and would of independent data."""
  found = {}
  for term in plan.terms:
    critic = term.critic
    if critic.unit != "nats" or "monitor" not in critic.uses or not nets.read:
      continue
    floor = critic.floor(batch_size, term.outputs) if critic.floor else 0.0
    for tap in term.taps:
      found[term.name, tap] = nets.read[f"{term.name}/{tap}"], floor
  return found


def _check_taps(where: str, wanted: tuple[str, ...], there: list[str]) -> None:
  for tap in wanted:
    if tap not in there:
      raise BadInput(f"{where}: no layer {tap!r}: {nearest(tap, there)}")
