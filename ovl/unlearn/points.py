"""Trains every subject and brings its activations home; erases those of `no_penalty`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ovl import chain, erasure, fit, pooling, rng, step, taps
from ovl.judge import cells
from ovl.judge.cells import Frame
from ovl.load import load, nearest
from ovl.run import Run
from ovl.types import Attribute, BadInput, Eraser
from ovl.unlearn.settings import Penalty, Settings, known, monitors, penalty

NO_PENALTY = "no_penalty"
UNTRAINED = "untrained"


class Point(NamedTuple):
  """One subject at one setting, of S models.

  Attributes:
    subject: "no_penalty", "untrained", or the name of a penalty or eraser.
    setting: compact JSON of what was swept; "" where nothing was.
    z: tap -> `[S, N, D]` of the frame's rows `probe | stop | test`; of an eraser the
      tap it edits alone.
    correct_SN: whether the model got each test row's task right.
    alive_S: False where training went to infinity.
    read: (term, tap) -> `[S]` nats that critics of training read at its end, and what
      they read of independent data at most.
    shuffled: of an eraser that is told the attribute: its tap as it edits it when told
      one shuffled within task classes.
  """

  subject: str
  setting: str
  z: dict[str, np.ndarray]
  correct_SN: np.ndarray
  alive_S: np.ndarray
  read: dict[tuple[str, str], tuple[np.ndarray, float]]
  shuffled: Mapping[str, np.ndarray] = MappingProxyType({})


class Studio(NamedTuple):
  """What all subjects share."""

  ground: fit.Ground
  frame: Frame
  made: Settings
  run: Run


def subjects(studio: Studio) -> list[Penalty]:
  """The penalties; looks up every name before anything is trained or written."""
  made, ground = studio.made, studio.ground
  x_B, key = jnp.asarray(ground.dataset.x[:2]), jax.random.key(0)
  look = lambda: ground.model.apply(*ground.model.init(key, x_B), x_B)[1]  # noqa: E731
  layers = list(jax.eval_shape(look))
  _check_taps("unlearn.taps", made.taps, [taps.INPUT, *layers])
  if made.erasers and not ground.model.stages:
    raise BadInput("unlearn.erasers: this model has no stages, so no layer can be edited")
  for name, given in made.erasers.items():
    load("erasers", name, **given)
  attributes = ground.dataset.attributes
  given = sorted(made.penalties.items())
  tried = [penalty(name, g, made, attributes) for name, g in given]
  for one in tried:
    for term in one.plan.terms:
      _check_taps(f"unlearn.penalties.{one.name}: {term.name}.taps", term.taps, layers)
    step.make_step(ground.model, optax.sgd(1.0), one.plan)  # refuses cuts that cannot be
    _aims(studio, one)
  return tried


def points(studio: Studio) -> Iterator[Point]:
  """Every point of the study, `no_penalty` first."""
  made, attributes = studio.made, studio.ground.dataset.attributes
  tried = subjects(studio)
  plain = fit.Aims(
    step.Plan(tuple(monitors(made, attributes))),
    attributes=_columns(studio, (made.attribute,)),
  )
  total = 1 + len(tried)
  nets = _trained(studio, NO_PENALTY, plain, 1, 0, total)
  if nets.alive is not None and not nets.alive.any():
    raise FloatingPointError(
      "unlearn: without a penalty no network has a finite loss: lower fit.learning_rate, "
      "or look at the inputs"
    )
  yield from _points(studio, NO_PENALTY, nets, [""], plain.plan)
  untrained = nets._replace(params=nets.first_params, state=nets.first_state, read={})
  yield from _points(studio, UNTRAINED, untrained, [""], step.Plan())
  for tap in made.taps:
    yield from _erased(studio, nets, tap)
  for number, one in enumerate(tried, 1):
    nets = _trained(studio, one.name, _aims(studio, one), len(one.weights), number, total)
    settings = [json.dumps({"weight": w}) for w in one.weights]
    yield from _points(studio, one.name, nets, settings, one.plan)


def _trained(
  studio: Studio, name: str, aims: fit.Aims, copies: int, number: int, total: int
) -> fit.Nets:
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
) -> list[Point]:
  """Taps the networks of all settings in one program."""
  frame, ground = studio.frame, studio.ground
  W, S = len(settings), frame.models
  rows = np.repeat(frame.rows_SN, W, 0)
  named, code = taps.collect(
    ground.model, nets.params, nets.state, ground.dataset.x, rows,
    studio.run.mesh(len(rows)), max_width=studio.made.max_width,
  )  # fmt: skip
  test = frame.part("test")
  correct = (code[:, test] == np.repeat(frame.y_SN[:, test], W, 0)).reshape(S, W, -1)
  alive = np.ones(S * W, bool) if nets.alive is None else nets.alive
  read = _read(plan, nets, ground.settings.batch_size)
  return [
    Point(
      subject,
      setting,
      {t: named[t].reshape(S, W, *named[t].shape[1:])[:, w] for t in studio.made.taps},
      correct[:, w],
      alive.reshape(S, W)[:, w],
      {at: (nats.reshape(S, W)[:, w], floor) for at, (nats, floor) in read.items()},
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


# ---- erasers -------------------------------------------------------------------------


def _erased(studio: Studio, nets: fit.Nets, tap: str) -> Iterator[Point]:
  """The networks of `no_penalty`, edited at a tap by erasers of their train part."""
  ground, frame, made = studio.ground, studio.frame, studio.made
  if not made.erasers:
    return
  attribute = known(made.attribute, ground.dataset.attributes)
  width = _width(studio, nets, tap)

  def whole(rows_SN: np.ndarray) -> np.ndarray:
    named, _ = taps.collect(
      ground.model, nets.params, nets.state, ground.dataset.x, rows_SN, ground.devices,
      max_width=width,
    )  # fmt: skip
    return named[tap]

  fitted_SND, judged_SND = whole(ground.part["train"]), whole(frame.rows_SN)
  for name, given in sorted(made.erasers.items()):
    studio.run.progress(0.1, f"erasing: {name} at {tap}")
    eraser: Eraser = load("erasers", name, **given)
    if eraser.oracle and not attribute.known.all():
      raise BadInput(
        f"unlearn.erasers.{name} needs the attribute of every row: {made.attribute!r} is "
        f"unknown in {int((~attribute.known).sum())}"
      )
    if attribute.kind not in eraser.attribute:
      kinds = " or ".join(eraser.attribute)
      raise BadInput(f"unlearn.erasers.{name} removes {kinds} attributes alone")
    z_SND = _erase(eraser, fitted_SND, judged_SND, attribute, ground, frame)
    correct_SN = _after(studio, nets, tap, z_SND[:, frame.part("test")])
    alive_S = np.ones(frame.models, bool) if nets.alive is None else nets.alive
    at_tap = partial(_narrow, tap, made.max_width)
    shuffled = {}
    if eraser.oracle:
      shuffled[tap] = at_tap(_erase_shuffled(eraser, fitted_SND, judged_SND, studio))
    yield Point(name, "", {tap: at_tap(z_SND)}, correct_SN, alive_S, {}, shuffled)


def _narrow(tap: str, width: int | None, z_SND: np.ndarray) -> np.ndarray:
  return np.stack([pooling.reduce(tap, jnp.asarray(z_ND), width) for z_ND in z_SND])


def _width(studio: Studio, nets: fit.Nets, tap: str) -> int:
  """Of the whole activation: an eraser edits the network, not a projection of it."""
  shapes = taps.shapes(
    studio.ground.model, nets.params, nets.state, studio.ground.dataset.x
  )
  if tap not in shapes:
    raise BadInput(f"unlearn.erasers: {tap!r} is no layer: {nearest(tap, list(shapes))}")
  width = int(np.prod(shapes[tap]))
  if width > 4096:
    raise BadInput(f"unlearn.erasers: {tap!r} is {width} wide; expected at most 4096")
  return width


def _erase(
  eraser: Eraser,
  fitted_SND: np.ndarray,
  judged_SND: np.ndarray,
  attribute: Attribute,
  ground: fit.Ground,
  frame: Frame,
) -> np.ndarray:
  """Fits one eraser a model on its train part; edits the rows that are judged."""

  def columns(rows_SN: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mask_SN = attribute.known[rows_SN]
    values_SN = np.where(mask_SN, attribute.values[rows_SN], 0)
    if attribute.kind == "discrete":
      hot = np.eye(attribute.outputs, dtype=np.float32)[values_SN.astype(int)]
    else:
      hot = values_SN[..., None].astype(np.float32)
    return hot * mask_SN[..., None], mask_SN.astype(np.float32)

  train_SN = ground.part["train"]
  s_SNM, mask_SN = columns(train_SN)
  rows_K = (s_SNM * mask_SN[..., None]).sum(1).min(0)
  if eraser.refuse and (wrong := eraser.refuse(rows_K, fitted_SND.shape[-1])):
    raise BadInput(f"unlearn.erasers: {wrong}")
  key = rng.per_seed(ground.seeds[0], 1)[0]
  fitted = erasure.fit(eraser, fitted_SND, s_SNM, mask_SN, key)
  edit_SNM = columns(frame.rows_SN)[0] if eraser.oracle else None
  return erasure.on_host(fitted, judged_SND, edit_SNM).astype(np.float32)


def _erase_shuffled(
  eraser: Eraser, fitted_SND: np.ndarray, judged_SND: np.ndarray, studio: Studio
) -> np.ndarray:
  """The same by an attribute that is shuffled within task classes, in both parts.

  The rows know nothing of it, so what is read of it afterwards the edit wrote into them.
  """
  data, made, frame = studio.ground.dataset, studio.made, studio.frame
  attribute, train_SN = known(made.attribute, data.attributes), studio.ground.part["train"]
  none_SN, C = train_SN[:, :0], len(data.labels)
  part = {"probe": train_SN, "stop": none_SN, "test": none_SN}
  values_SN = np.concatenate(
    [
      cells.permuted(cells.column(made.attribute, attribute, data.y, rows), rows).values_SN
      for rows in (cells.frame(part, data.y, C, data.groups), frame)
    ],
    1,
  )
  # Each model has an order of its own: as if all had rows of their own.
  rows_SN, T = np.arange(values_SN.size).reshape(values_SN.shape), train_SN.shape[1]
  apart = Attribute(values_SN.ravel(), attribute.kind, attribute.labels)
  ground = studio.ground._replace(part={"train": rows_SN[:, :T]})
  mine = frame._replace(rows_SN=rows_SN[:, T:])
  return _erase(eraser, fitted_SND, judged_SND, apart, ground, mine)


def _after(studio: Studio, nets: fit.Nets, tap: str, z_SND: np.ndarray) -> np.ndarray:
  """Whether the rest of each network still gets the task right from edited rows."""
  model, frame = studio.ground.model, studio.frame
  shape = taps.shapes(model, nets.params, nets.state, studio.ground.dataset.x)[tap]
  names = [stage.name for stage in model.stages]
  rest = model.stages[names.index(tap) + 1 : names.index("logits") + 1]

  def one(params: Any, state: Any, z_ND: Any) -> Any:
    h_N = z_ND.reshape(-1, *shape)
    named, _ = chain.run(rest, params, state, h_N)
    return named.get("logits", h_N).argmax(-1)  # the edited tap may be the last

  code_SN = jax.jit(jax.vmap(one))(nets.params, nets.state, jnp.asarray(z_SND))
  return np.asarray(code_SN) == frame.y_SN[:, frame.part("test")]
