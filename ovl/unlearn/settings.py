"""A config's section `unlearn` -> penalties, erasers and attackers, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np

from ovl import step
from ovl.inputs.checks import check_level
from ovl.load import defaults, kind_of, load, nearest
from ovl.readings import TREES
from ovl.types import Attribute, BadInput

RESERVED = ("no_penalty", "untrained", "label", "majority", "raw", "permuted")
_TERM = {f.name for f in fields(step.Term)} - {
  "name", "critic", "kind", "outputs", "penalty", "attribute",
}  # fmt: skip
_FIRST = ("weights", "method", "attribute", "also", "cuts", "task_weight")
_FURTHER = ("weight", "method", "attribute")  # what stands in `also`


@dataclass(frozen=True)
class Settings:
  """What is removed, by what, and who attacks afterwards.

  Attributes:
    attribute: what should go.
    taps: where: default taps of penalties; where erasers work and attackers read.
    penalties: name -> its settings: those of its critic or mitigation, those of
      `ovl.step.Term`, and `weights` of its own; `method`, where the name is another;
      `attribute`, where it is another; `also`, further penalties at a fixed `weight`;
      `cuts`, taps between local modules; `task_weight`.
    weights: swept by every penalty that has none of its own.
    erasers: name -> settings, and `method` where the name is another; fitted to the train
      part, applied to every tap in turn.
    monitors: critics that read the taps in every training.
    attackers: fresh critics, and "trees": scikit-learn's boosted trees; all meet every
      point.
    level: of intervals; tests are at 1 - level.
    max_width: wider taps are pooled and projected before they are attacked; None: as an
      audit does.
    schedule: of attackers that train by their loss, see `ovl.grid.Schedule`.
  """

  attribute: str = ""
  taps: tuple[str, ...] = ()
  penalties: dict[str, Any] = field(default_factory=dict)
  weights: tuple[float, ...] = (0.1, 1.0, 10.0)
  erasers: dict[str, Any] = field(default_factory=dict)
  monitors: tuple[str, ...] = ()
  attackers: tuple[str, ...] = ("linear", "mlp", TREES)
  level: float = 0.95
  max_width: int | None = None
  schedule: dict[str, Any] = field(default_factory=dict)

  def __post_init__(self) -> None:
    """Refuses what cannot be meant."""
    if not self.taps:
      raise BadInput("unlearn.taps is empty: expected names of layers")
    check_level(self.level, "unlearn.level")
    if not set(self.attackers) - {TREES}:
      raise BadInput("unlearn.attackers: expected a critic such as 'linear' besides trees")
    for name, given in self.erasers.items():
      _kind(f"unlearn.erasers.{name}", dict(given).get("method", name), ("erasers",))


class Penalty(NamedTuple):
  """One subject of the study, with all its weights.

  Attributes:
    name: in rows.
    plan: what the train step computes.
    weights: swept.
    fixed: weights of what goes with it.
    attributes: what the step must be given.
    grouped: of those, what mitigations group by.
  """

  name: str
  plan: step.Plan
  weights: tuple[float, ...]
  fixed: dict[str, float]
  attributes: tuple[str, ...]
  grouped: tuple[str, ...]


def penalty(
  name: str, given: Mapping[str, Any], made: Settings, attributes: Mapping[str, Attribute]
) -> Penalty:
  """Builds one subject.

  Raises:
    BadInput: an unknown method, setting or attribute, a negative weight.
  """
  if name in RESERVED:
    raise BadInput(f"unlearn.penalties.{name}: the name is taken: give another, and method")
  if name in given.get("also", {}):
    raise BadInput(f"unlearn.penalties.{name}.also.{name}: the name is taken by the first")
  for part, settings in given.get("also", {}).items():
    _check_keys(settings, f"unlearn.penalties.{name}.also.{part}", _FURTHER)
  _check_keys(given, f"unlearn.penalties.{name}", _FIRST)
  weights = check_weights(given.get("weights", made.weights), name)
  parts = {name: dict(given)} | {k: dict(v) for k, v in given.get("also", {}).items()}
  fixed: dict[str, float] = {}
  terms: list[step.Term] = []
  tasks: list[step.Task] = []
  used: dict[str, None] = {}
  for part, settings in parts.items():
    if part != name:
      fixed[part] = check_weights((settings.get("weight", 1.0),), part)[0]
    about = settings.get("attribute", made.attribute)
    built = _built(part, settings, made, known(about, attributes), about)
    used |= {built.attribute: None} if built.attribute else {}
    (terms if isinstance(built, step.Term) else tasks).append(built)  # type: ignore
  terms += monitors(made, attributes)
  used[made.attribute] = None
  plan = step.Plan(
    tuple(terms),
    tuple(tasks),
    cuts=tuple(given.get("cuts", ())),
    task_weight=float(given.get("task_weight", 1.0)),
  )
  grouped = tuple(dict.fromkeys(t.attribute for t in tasks if t.attribute))
  return Penalty(name, plan, weights, fixed, tuple(used), grouped)


_OWN = {
  "weights": Settings.weights, "weight": 1.0, "method": "", "attribute": "", "cuts": (),
  "task_weight": 1.0,
}  # fmt: skip


def documented(name: str, given: Mapping[str, Any], further: bool) -> dict[str, Any]:
  """Every setting of a penalty with its default; `further` is one that stands in `also`.

  Raises:
    BadInput: no such method.
  """
  kind, method = _method(name, given)
  term = defaults(step.Term) if kind == "critics" else {}
  mine = {key: () if key == "taps" else term[key] for key in sorted(_TERM & term.keys())}
  wanted = _FURTHER if further else _FIRST
  return defaults(kind, method) | mine | {k: _OWN[k] for k in wanted if k in _OWN}


def _method(name: str, given: Mapping[str, Any]) -> tuple[str, str]:
  """The kind of a penalty, and its file."""
  method = str(given.get("method", name))
  return _kind(f"unlearn.penalties.{name}", method, ("mitigations", "critics")), method


def _kind(where: str, method: str, kinds: tuple[str, ...]) -> str:
  """`kind_of`, in the words of the config."""
  try:
    return kind_of(method, kinds)
  except BadInput as error:
    raise BadInput(f"{where}: {error}") from error


def _check_keys(given: Mapping[str, Any], where: str, own: tuple[str, ...]) -> None:
  """Refuses a setting of the other place, which would do nothing in this one."""
  for key in given:
    if key not in own and key in {*_FIRST, *_FURTHER}:
      first = where.partition(".also.")[0]
      if key in _FIRST and key != "weights":
        raise BadInput(f"{where}.{key} would do nothing: give {first}.{key}")
      raise BadInput(f"{where}.{key} is unknown: {nearest(key, list(own))}")


def check_weights(given: Any, name: str) -> tuple[float, ...]:
  """The weights; refuses what is none."""
  where = f"unlearn.penalties.{name}"
  if not isinstance(given, list | tuple):
    raise BadInput(f"{where}.weights={given!r}: expected several, such as (0.1, 1.0)")
  if not given or len(set(given)) < len(given):
    raise BadInput(f"{where}.weights={given!r}: expected at least one, and none twice")
  for weight in given:
    number = isinstance(weight, int | float)
    if not (number and np.isfinite(weight) and weight >= 0):
      raise BadInput(f"{where}: weight {weight!r}: expected finite and at least 0")
  return tuple(float(weight) for weight in given)


def known(name: str, attributes: Mapping[str, Attribute]) -> Attribute:
  """The attribute of that name."""
  if name not in attributes:
    raise BadInput(f"unlearn.attribute={name!r}: {nearest(name, list(attributes))}")
  return attributes[name]


def monitors(made: Settings, attributes: Mapping[str, Attribute]) -> list[step.Term]:
  """Critics that watch every tap."""
  attribute = known(made.attribute, attributes)
  return [
    step.Term(
      f"{name} monitor",
      load("critics", name, attribute=attribute.kind),
      made.attribute,
      attribute.kind,
      attribute.outputs,
      made.taps,
      max_width=made.max_width,
    )
    for name in made.monitors
  ]


def _built(
  name: str, settings: Mapping[str, Any], made: Settings, attribute: Attribute, about: str
) -> step.Term | step.Task:
  kind, method = _method(name, settings)
  rest = {k: v for k, v in settings.items() if k not in {*_FIRST, *_FURTHER}}
  term = {k: _frozen(v) for k, v in rest.items() if k in _TERM}
  inside = {k: _frozen(v) for k, v in rest.items() if k not in _TERM}
  if kind == "mitigations":
    if term:
      raise BadInput(
        f"unlearn.penalties.{name}: a mitigation has no {', '.join(sorted(term))}"
      )
    mitigation = load("mitigations", method, **inside)
    if mitigation.weigh is not None:
      return step.Task(name, mitigation, about)
    if "attribute" in settings:
      raise BadInput(f"unlearn.penalties.{name}.attribute: this one looks at no attribute")
    return step.Task(name, mitigation)
  critic = load("critics", method, attribute=attribute.kind, **inside)
  about_it: dict[str, Any] = {"taps": made.taps, "max_width": made.max_width} | term
  return step.Term(
    name,
    critic,
    about,
    attribute.kind,
    attribute.outputs,
    penalty=True,
    **about_it,
  )


def _frozen(value: Any) -> Any:
  """Lists and dictionaries of a config, hashable."""
  if isinstance(value, list | tuple):
    return tuple(_frozen(v) for v in value)
  return value
