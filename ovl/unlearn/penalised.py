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


class Context(NamedTuple):
  """What all subjects share."""

  setup: fit.Setup
  frame: Frame
  made: Settings
  run: Run


def subjects(context: Context) -> list[Penalty]:
  """The penalties; looks up every name before anything is trained or written."""
  made, setup, there = context.made, context.setup, list(layers(context.setup))
  _check_taps("unlearn.taps", made.taps, [taps.INPUT, *there])
  if made.erasers and not setup.model.stages:
    raise BadInput("unlearn.erasers: this model has no stages, so no layer can be edited")
  for name, settings in made.erasers.items():
    eraser(name, settings)
  attributes = setup.dataset.attributes
  given = sorted(made.penalties.items())
  tried = [penalty(name, g, made, attributes) for name, g in given]
  for one in tried:
    for term in one.plan.terms:
      _check_taps(f"unlearn.penalties.{one.name}: {term.name}.taps", term.taps, there)
    step.make_step(setup.model, optax.sgd(1.0), one.plan)  # refuses cuts that cannot be
    _aims(context, one)
  return tried


def points(context: Context) -> Iterator[Subject]:
  """Every subject of the study, `no_penalty` first."""
  made, tried, plain = context.made, subjects(context), _plain(context)
  total = 1 + len(tried)
  nets = _trained(context, NO_PENALTY, plain, 1, (0, total))
  if nets.alive is not None and not nets.alive.any():
    raise FloatingPointError(
      "unlearn: without a penalty no network has a finite loss: lower fit.learning_rate, "
      "or look at the inputs"
    )
  yield from _points(context, NO_PENALTY, nets, [""], plain.plan)
  untrained = nets._replace(params=nets.first_params, state=nets.first_state, read={})
  yield from _points(context, UNTRAINED, untrained, [""], step.Plan())
  asked = Erasing(
    context.setup, nets, context.frame, made.attribute, made.erasers, made.max_width,
    "unlearn.erasers",
  )  # fmt: skip
  for tap in made.taps:
    yield from erased(asked, tap, context.run.progress)
  for number, one in enumerate(tried, 1):
    copies = len(one.weights)
    nets = _trained(context, one.name, _aims(context, one), copies, (number, total))
    settings = [json.dumps({"weight": w}) for w in one.weights]
    yield from _points(context, one.name, nets, settings, one.plan)


def trainings(context: Context) -> list[fit.Asked]:
  """Every training of the study, in order."""
  return [
    context.setup.asked(_plain(context), name=NO_PENALTY),
    *(
      context.setup.asked(_aims(context, one), len(one.weights), one.name)
      for one in subjects(context)
    ),
  ]


def _plain(context: Context) -> fit.Objective:
  """The task alone, and what is monitored."""
  made, attributes = context.made, context.setup.dataset.attributes
  return fit.Objective(
    step.Plan(tuple(monitors(made, attributes))),
    attributes=_columns(context, (made.attribute,)),
  )


def _trained(
  context: Context, name: str, objective: fit.Objective, copies: int, place: tuple[int, int]
) -> fit.Nets:
  number, total = place
  mine = context.run.part(
    0.5 * number / total, 0.5 * (number + 1) / total, f"training {name}: "
  )
  home = mine.path("nets", name)
  return context.setup.train(home, mine.progress, objective._replace(strict=False), copies)


def _aims(context: Context, one: Penalty) -> fit.Objective:
  """Weights of every network, seed by seed, the weights of a seed side by side."""
  S = len(context.setup.seeds)
  weights = {one.name: np.tile(np.asarray(one.weights, np.float32), S)}
  weights |= {
    name: np.full(S * len(one.weights), weight, np.float32)
    for name, weight in one.fixed.items()
  }
  rates = {name: _rates(context, name) for name in one.grouped}
  return fit.Objective(one.plan, weights, _columns(context, one.attributes), rates)


def _columns(context: Context, wanted: tuple[str, ...]) -> dict[str, Any]:
  """Codes, or a quantity standardised by the train part, and where it is known."""
  data, out = context.setup.dataset, {}
  train = np.unique(context.setup.part["train"])
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


def _rates(context: Context, name: str) -> np.ndarray:
  """Share of each group, task label x attribute, in the train part."""
  data = context.setup.dataset
  attribute = known(name, data.attributes)
  if attribute.kind != "discrete":
    raise BadInput(f"unlearn: groups need classes, and {name!r} is a quantity")
  train = np.unique(context.setup.part["train"])
  train = train[attribute.known[train]]
  K = attribute.outputs
  group = data.y[train] * K + attribute.values[train]
  counts = np.bincount(group, minlength=len(data.labels) * K)
  return (counts / max(len(train), 1)).astype(np.float32)


def _points(
  context: Context, subject: str, nets: fit.Nets, settings: list[str], plan: step.Plan
) -> list[Subject]:
  """Taps the networks of all settings in one program."""
  frame, setup, max_width = context.frame, context.setup, context.made.max_width
  W, S = len(settings), frame.models
  weights = nets.params, nets.state
  unheard = replace(context.run, progress=quiet)
  named, correct = tapped(setup, weights, frame, unheard, max_width)
  alive_SW = np.ones(S * W, bool) if nets.alive is None else nets.alive
  read = _read(plan, nets, setup.settings.batch_size)

  def of(x: np.ndarray, w: int) -> np.ndarray:
    return x.reshape(S, W, *x.shape[1:])[:, w]

  return [
    Subject(
      subject,
      {tap: of(named[tap], w) for tap in context.made.taps},
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
