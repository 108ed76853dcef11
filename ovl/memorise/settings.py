"""What `ovl memorise` is asked, and the world it is asked of."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ovl import fit, plant, step
from ovl.inputs.checks import check_level
from ovl.load import load, nearest
from ovl.load import settings as settings_of
from ovl.memorise.lanes import World, as_pytorch
from ovl.memorise.regimes import read
from ovl.types import BadInput, Dataset

QUESTIONS = ("dose", "unique", "forget", "leak", "member")


@dataclass(frozen=True)
class Settings:
  """What is asked.

  Attributes:
    question: "dose": how many examples it takes until a pattern is learnt; "unique":
      whether a feature of a single image is remembered; "forget": what is left when the
      examples that carried a pattern are taken out; "leak": a lower bound on epsilon of
      single features, from many patches in one training; "member": who was in the
      training set, by networks on random halves.
    patterns: their names, see `ovl.plant.named`.
    doses: how many examples of the target class carry a pattern; 0 is always there.
    target: the class they are of.
    threshold: by how much the target's probability must rise, of the spurious score.
    mitigations: name -> weights, each tried at every pattern and dose.
    regimes: name -> sections of the config that it changes: "model", "fit", "memorise"
      (clip, clip_at, noise, patience), and "mitigations", name -> weight, all at once;
      each tried at every pattern and dose, of question "dose".
    negligible: an excess surely below it is none: what "prevents" is held to.
    validation: share of the train part that no network trains on.
    patience: a network is done after so many epochs without a lower loss on the
      validation share, and is taken as it was at the lowest; 0: all epochs.
    level: of intervals; tests are at 1 - level.
    initialisation: "pytorch", or "model": as the model has it.
    test_share: of the data, where the data set fixes no split.
    images: test images that are looked at; 0: all.
    lanes: networks trained at once, at most: fewer need less memory.
    references: random bitmaps beside every letter, of question "unique".
    rates: learning rates of going on without the examples, of question "forget".
    damping: of the curvature, of removal by influence.
    patches: in or out of one training, of question "leak".
    side: of a patch.
    coin: what it decides, of question "leak": "patch": whether an image carries its patch;
      "image": whether the image, with its patch, is there at all.
    delta: of the privacy that is bounded.
    clip: "value": entries of the gradient are kept within `clip_at`; "example": every
      example's gradient is, in length, and noise of `noise` times that is added to their
      sum (DP-SGD); "": neither.
    clip_at: see `clip`.
    noise: see `clip`.
  """

  question: str = "dose"
  patterns: tuple[str, ...] = ("S1", "S2", "R3")
  doses: tuple[int, ...] = (0, 1, 3, 5, 10, 20)
  target: int = 0
  threshold: float = 0.1
  mitigations: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
  regimes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
  negligible: float = 0.05
  validation: float = 0.0
  patience: int = 0
  level: float = 0.95
  initialisation: str = "pytorch"
  test_share: float = 0.2
  images: int = 0
  lanes: int = 512
  references: int = 1
  rates: tuple[float, ...] = (1e-5, 1e-3)
  damping: float = 0.01
  patches: int = 200
  side: int = 3
  coin: Literal["patch", "image"] = "patch"
  delta: float = 1e-5
  clip: Literal["", "value", "example"] = ""
  clip_at: float = 1.0
  noise: float = 0.0

  def __post_init__(self) -> None:
    """Refuses what cannot be asked."""
    if self.question not in QUESTIONS:
      said = nearest(self.question, list(QUESTIONS))
      raise BadInput(f"memorise.question={self.question!r}: {said}")
    if not self.patterns and self.question not in ("leak", "member"):
      raise BadInput("memorise.patterns is empty: expected names such as S2, R3 or A")
    if self.question in ("dose", "forget") and not [
      dose for dose in self.doses if dose > 0
    ]:
      raise BadInput(f"memorise.doses={self.doses}: expected one above 0")
    if min(self.doses, default=0) < 0:
      raise BadInput(f"memorise.doses={self.doses}: expected numbers of examples")
    check_level(self.level, "memorise.level")
    if not 0 < self.test_share < 1:
      raise BadInput(f"memorise.test_share={self.test_share}: expected between 0 and 1")
    if self.initialisation not in ("pytorch", "model"):
      raise BadInput(
        f"memorise.initialisation={self.initialisation!r}: expected pytorch or model"
      )
    if self.patches < 8 or self.side < 1 or not 0 < self.delta < 1:
      raise BadInput(
        "memorise.patches, side, delta: expected at least 8 patches, a side of at least 1 "
        "and delta between 0 and 1"
      )
    if self.coin not in ("patch", "image"):
      raise BadInput(f"memorise.coin={self.coin!r}: expected patch or image")
    if self.clip not in ("", "value", "example"):
      raise BadInput(f"memorise.clip={self.clip!r}: expected value, example or nothing")
    if not self.clip_at > 0 or self.noise < 0 or (self.noise and self.clip != "example"):
      raise BadInput(
        f"memorise.clip_at={self.clip_at}, noise={self.noise}: expected above 0, and noise "
        "only with clip='example'"
      )
    if not self.damping > 0 or any(rate <= 0 for rate in self.rates):
      raise BadInput("memorise.rates and memorise.damping: expected above 0")
    if self.lanes < 1 or self.references < 1:
      raise BadInput("memorise.lanes and memorise.references: expected at least 1")
    self._check_regimes()

  def _check_regimes(self) -> None:
    for name in ("mitigations", "regimes"):
      if getattr(self, name) and self.question != "dose":
        raise BadInput(
          f"memorise.{name}: question {self.question!r} has none, question 'dose' has"
        )
    if not 0 <= self.validation < 1 or self.patience < 0 or not self.negligible > 0:
      raise BadInput(
        f"memorise.validation={self.validation}, patience={self.patience}, negligible="
        f"{self.negligible}: expected a share below 1, at least 0, above 0"
      )
    if self.patience and not self.validation:
      raise BadInput(
        f"memorise.patience={self.patience}: who judges? Give memorise.validation a share"
      )
    if self.patience and self.question in ("leak", "member"):
      raise BadInput(f"memorise.patience: question {self.question!r} trains to the end")

  @property
  def clipping(self) -> dict[str, float]:
    """Weights of the step."""
    if not self.clip:
      return {}
    return {"clip": self.clip_at} | ({"noise": self.noise} if self.noise else {})

  @property
  def planted(self) -> tuple[int, ...]:
    """The doses above 0, in order."""
    return tuple(sorted({dose for dose in self.doses if dose > 0}))


@functools.lru_cache(maxsize=16)
def _model(frozen: tuple[tuple[str, Any], ...], initialisation: str) -> Any:
  made = load("models", **dict(frozen))
  return as_pytorch(made) if initialisation == "pytorch" else made


def world(config: Mapping[str, Any], made: Settings) -> tuple[Dataset, World]:
  """Loads data and model, splits, and looks up everything that is asked for.

  Raises:
    BadInput: no images; an absent class; a dose above the class; an unknown pattern or
      mitigation; fewer than two seeds; a regime that is none.
  """
  data: Dataset = load("datasets", **config["dataset"])
  if data.x.ndim != 4:
    raise BadInput(
      f"dataset {data.name!r} has inputs of shape {data.x.shape[1:]}: expected images "
      "[height, width, channels]"
    )
  if int(config["seeds"]) < 2:
    raise BadInput(f"seeds={config['seeds']}: an interval over seeds needs at least 2")
  train, judges, test = _split(data, made)
  classes = len(data.labels)
  found = World(
    x_N=data.x[train], y_N=data.y[train], x_V=data.x[judges], y_V=data.y[judges],
    x_M=data.x[test], y_M=data.y[test], target=made.target, mesh=config.get("mesh", {}),
    **_training(config, made, {}, classes),
  )  # fmt: skip
  regimes = {}
  for name, given in made.regimes.items():
    regime = read(config, name, given)
    mine = replace(made, regimes={}, mitigations={}, **regime.memorise)
    regimes[name] = found._replace(
      **_training(regime.config, mine, regime.weights, classes)
    )
  for one in (found, *regimes.values()):
    _try(one)
  found = found._replace(regimes=regimes)
  if made.question in ("leak", "member"):
    return data, found
  rank = plant.ranks(found.y_N, made.target, 0)
  for dose in made.planted:
    plant.carriers(rank, dose)
  for name in made.patterns:
    plant.named(name, found.shape, 0)
  return data, found


def _training(
  config: Mapping[str, Any], made: Settings, always: Mapping[str, float], classes: int
) -> dict[str, Any]:
  """What of a world is how its networks are trained; `always`: mitigation -> weight."""
  frozen = {k: tuple(v) if isinstance(v, list) else v for k, v in config["model"].items()}
  names = sorted({*made.mitigations, *always})
  tasks = tuple(step.Task(name, load("mitigations", name)) for name in names)
  for task in tasks:
    if task.mitigation.weigh is not None:
      raise BadInput(
        f"memorise.mitigations: {task.name} weighs groups; there are none here"
      )
  return {
    "model": _model(
      tuple(sorted((frozen | {"classes": classes}).items())), made.initialisation
    ),
    "settings": settings_of(fit.Settings, config.get("fit", {}), "fit"),
    "plan": step.Plan(tasks=tasks, clip=made.clip),
    "weights": {**always, **made.clipping},
    "patience": made.patience,
  }


def _try(found: World) -> None:
  """Refuses, by shapes alone, what cannot be trained."""
  tx = optax.sgd(1.0)
  step.make_step(found.model, tx, found.plan)
  some = step.Batch(jnp.asarray(found.x_N[:2]), jnp.asarray(found.y_N[:2]))
  jax.eval_shape(lambda: step.init(found.model, tx, jax.random.key(0), some, found.plan))


def _split(data: Dataset, made: Settings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Rows to train on, of validation and of the test, the same for all networks."""

  def cut(rows: np.ndarray, share: float) -> list[np.ndarray]:
    from sklearn.model_selection import train_test_split  # half a second, if at all

    parts: list[np.ndarray] = train_test_split(
      rows, test_size=share, random_state=0, stratify=data.y[rows]
    )
    return parts

  if data.split is not None:
    train, test = (np.flatnonzero(data.split == part) for part in ("train", "test"))
  else:
    train, test = cut(np.arange(len(data.y)), made.test_share)
  judges = train[:0]
  if made.validation:
    train, judges = cut(train, made.validation)
  return train, judges, test[: made.images] if made.images else test
