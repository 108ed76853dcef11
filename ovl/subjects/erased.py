"""Networks edited at a tap by erasers of their train part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ovl import chain, concepts, erasure, fit, mesh, pooling, rng, taps
from ovl.judge import cells
from ovl.judge.cells import Frame
from ovl.load import load, nearest
from ovl.progress import Progress
from ovl.subjects.networks import layers
from ovl.subjects.subject import Subject
from ovl.types import Attribute, BadInput, Eraser

WIDEST = 4096  # an eraser edits the whole activation, not a projection of it


class Erasing(NamedTuple):
  """What is erased, from which networks.

  Attributes:
    setup: data, model and parts.
    nets: the networks.
    frame: the rows that are judged.
    name: of the attribute.
    erasers: name -> settings.
    max_width: see `ovl.pooling.reduce`: of what attackers read.
    where: of the settings, in messages.
  """

  setup: fit.Setup
  nets: fit.Nets
  frame: Frame
  name: str
  erasers: Mapping[str, Mapping[str, Any]]
  max_width: int | None
  where: str

  @property
  def attribute(self) -> Attribute:
    """What goes."""
    return self.setup.dataset.attributes[self.name]


def erased(asked: Erasing, tap: str, progress: Progress) -> Iterator[Subject]:
  """One subject an eraser: the networks with one tap edited.

  Raises:
    BadInput: a tap that is no layer or too wide, an eraser that cannot work here.
  """
  if not asked.erasers:
    return
  frame, width = asked.frame, _width(asked, tap)
  fitted_SND = _whole(asked, tap, width, asked.setup.part["train"])
  judged_SND = _whole(asked, tap, width, frame.rows_SN)
  for name, settings in sorted(asked.erasers.items()):
    progress(0.1, f"erasing: {name} at {tap}")
    its = _loaded(asked, name, settings)
    z_SND = _erase(its, asked, fitted_SND, judged_SND)
    shuffled = {}
    if its.oracle:
      apart = _shuffled(asked)
      shuffled[tap] = _narrow(asked, tap, _erase(its, apart, fitted_SND, judged_SND))
    yield Subject(
      name,
      {tap: _narrow(asked, tap, z_SND)},
      correct_SN=_after(asked, tap, z_SND[:, frame.part("test")]),
      alive_S=asked.nets.alive,
      shuffled=shuffled,
    )


def eraser(name: str, settings: Mapping[str, Any]) -> Eraser:
  """By its name, or by the `method` of its settings."""
  rest = dict(settings)
  found: Eraser = load("erasers", rest.pop("method", name), **rest)
  return found


def _loaded(asked: Erasing, name: str, settings: Mapping[str, Any]) -> Eraser:
  its = eraser(name, settings)
  known, where = asked.attribute.known, f"{asked.where}.{name}"
  if its.oracle and not known.all():
    raise BadInput(
      f"{where} needs the attribute of every row: {asked.name!r} is unknown in "
      f"{int((~known).sum())}"
    )
  if asked.attribute.kind not in its.attribute:
    raise BadInput(f"{where} removes {' or '.join(its.attribute)} attributes alone")
  return its


def _whole(asked: Erasing, tap: str, width: int, rows_SN: np.ndarray) -> np.ndarray:
  setup, nets = asked.setup, asked.nets
  named, _ = taps.collect(
    setup.model, nets.params, nets.state, setup.dataset.x, rows_SN, setup.devices,
    max_width=width,
  )  # fmt: skip
  return named[tap]


def _narrow(asked: Erasing, tap: str, z_SND: np.ndarray) -> np.ndarray:
  width = asked.max_width
  return np.stack([pooling.reduce(tap, jnp.asarray(z_ND), width) for z_ND in z_SND])


def _width(asked: Erasing, tap: str) -> int:
  """Of the whole activation."""
  shapes = layers(asked.setup)
  if tap not in shapes:
    raise BadInput(f"{asked.where}: {tap!r} is no layer: {nearest(tap, list(shapes))}")
  width = int(np.prod(shapes[tap]))
  if width > WIDEST:
    raise BadInput(f"{asked.where}: {tap!r} is {width} wide; expected at most {WIDEST}")
  return width


def _erase(
  its: Eraser, asked: Erasing, fitted_SND: np.ndarray, judged_SND: np.ndarray
) -> np.ndarray:
  """Fits one eraser a model on its train part; edits the rows that are judged."""
  attribute, train_SN = asked.attribute, asked.setup.part["train"]
  learnt_N = np.zeros(len(attribute.values), bool)
  learnt_N[train_SN] = True
  known_N = attribute.known
  concept = concepts.taken(its, asked.where, asked.name, attribute, known_N & learnt_N)
  s_NM, mask_N = concepts.coded(attribute, concept), known_N.astype(np.float32)
  key = rng.per_seed(asked.setup.seeds[0], 1)[0]
  fitted = erasure.fit(its, fitted_SND, s_NM[train_SN], mask_N[train_SN], key, asked.where)
  edit_SNM = s_NM[asked.frame.rows_SN] if its.oracle else None
  return erasure.on_host(fitted, judged_SND, edit_SNM).astype(np.float32)


def _shuffled(asked: Erasing) -> Erasing:
  """The same of an attribute that is shuffled within task classes, in both parts.

  The rows know nothing of it, so what is read of it afterwards the edit wrote into them.
  """
  data, frame, attribute = asked.setup.dataset, asked.frame, asked.attribute
  train_SN, C = asked.setup.part["train"], len(data.labels)
  none_SN = train_SN[:, :0]
  part = {"probe": train_SN, "stop": none_SN, "test": none_SN}
  values_SN = np.concatenate(
    [
      cells.permuted(cells.column(asked.name, attribute, data.y, rows), rows).values_SN
      for rows in (cells.frame(part, data.y, C, data.groups), frame)
    ],
    1,
  )
  # Each model has an order of its own: as if all had rows of their own.
  rows_SN, T = np.arange(values_SN.size).reshape(values_SN.shape), train_SN.shape[1]
  apart = Attribute(values_SN.ravel(), attribute.kind, attribute.labels)
  setup = asked.setup._replace(
    dataset=data._replace(attributes={asked.name: apart}),
    part={"train": rows_SN[:, :T]},
  )
  return asked._replace(setup=setup, frame=frame._replace(rows_SN=rows_SN[:, T:]))


def _after(asked: Erasing, tap: str, z_SND: np.ndarray) -> np.ndarray:
  """Whether the rest of each network still gets the task right from edited rows."""
  model, frame, shape = asked.setup.model, asked.frame, layers(asked.setup)[tap]

  def one(params: Any, state: Any, z_ND: Any) -> Any:
    named, _ = chain.resume(model.stages, tap, params, state, z_ND.reshape(-1, *shape))
    return named.get("logits", named[tap]).argmax(-1)  # the edited tap may be the last

  nets, devices = asked.nets, asked.setup.devices
  z_SND = mesh.put(z_SND, devices, "seed")
  code_SN = mesh.get(jax.jit(jax.vmap(one))(nets.params, nets.state, z_SND))
  return code_SN == frame.y_SN[:, frame.part("test")]
