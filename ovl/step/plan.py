"""What a train step computes besides the task: which critics read which taps, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from ovl.types import BadInput, Critic, Kind, Mitigation

Ramp = Literal["constant", "linear", "dann"] | tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Term:
  """One critic on one or several taps of a network in training.

  Attributes:
    name: in metrics and in the weights of the step.
    critic: a factory's product; each tap gets one of its own.
    attribute: the name of what it reads, a key of the batch.
    kind: of that attribute.
    outputs: K classes, 2 of a quantity.
    taps: where, in depth order.
    penalty: whether the network learns to lower it; else it only monitors.
    every: it takes part in every so many steps.
    inner_steps: updates of the critic a step, all on this step's batch.
    order: "simultaneous": network and critic both move from where they were;
      "critic_first": the network meets the critic as it is after its updates.
    ramp: factor of the weight over training: "constant", "linear" from 0 to 1, "dann"
      2 / (1 + exp(-10 p)) - 1, or pairs (share of training done, factor from there on).
    depth: factors of the first and the last tap, linear between them.
    optimiser: of the critic: "adam", or "sgd" with momentum .9 and decay 1e-4.
    learning_rate: of the critic.
    max_width: taps that are wider are pooled and projected first; None: see
      `ovl.pooling`.
  """

  name: str
  critic: Critic
  attribute: str
  kind: Kind
  outputs: int
  taps: tuple[str, ...]
  penalty: bool = False
  every: int = 1
  inner_steps: int = 1
  order: Literal["simultaneous", "critic_first"] = "simultaneous"
  ramp: Ramp = "constant"
  depth: tuple[float, float] = (1.0, 1.0)
  optimiser: Literal["adam", "sgd"] = "adam"
  learning_rate: float = 1e-2
  max_width: int | None = None

  def __post_init__(self) -> None:
    """Refuses what cannot be meant."""
    use = "penalty" if self.penalty else "monitor"
    if use not in self.critic.uses:
      raise BadInput(
        f"{self.name}: this critic is no {use}; it is for {', '.join(self.critic.uses)}"
      )
    for name in ("every", "inner_steps", "max_width"):
      if (count := getattr(self, name)) is not None and count < 1:
        raise BadInput(f"{self.name}.{name}={getattr(self, name)}: expected at least 1")
    if not self.learning_rate > 0:
      raise BadInput(f"{self.name}.learning_rate={self.learning_rate}: expected above 0")
    known = {
      "order": ("simultaneous", "critic_first"),
      "optimiser": ("adam", "sgd"),
      "ramp": ("constant", "linear", "dann"),
    }
    for name, words in known.items():
      given = getattr(self, name)
      if isinstance(given, str) and given not in words:
        raise BadInput(f"{self.name}.{name}={given!r}: expected one of {', '.join(words)}")
    if not self.taps:
      raise BadInput(f"{self.name}.taps is empty: expected names of layers")
    if min(self.depth) < 0:
      raise BadInput(f"{self.name}.depth={self.depth}: expected factors of at least 0")

  @property
  def tx(self) -> optax.GradientTransformation:
    """The critic's optimiser."""
    if self.optimiser == "adam":
      return optax.adam(self.learning_rate)
    return optax.chain(
      optax.add_decayed_weights(1e-4), optax.sgd(self.learning_rate, momentum=0.9)
    )

  def factor(self, done: Array) -> Array:
    """Of the weight when this share of training is done."""
    if self.ramp == "constant":
      return jnp.ones_like(done)
    if self.ramp == "linear":
      return done
    if self.ramp == "dann":
      return 2 / (1 + jnp.exp(-10 * done)) - 1
    out = jnp.zeros_like(done)
    for start, factor in self.ramp:
      out = jnp.where(done >= start, factor, out)
    return out


class Site(NamedTuple):
  """A term at one of its taps, with the factor of that depth."""

  term: Term
  tap: str
  factor: float

  @property
  def name(self) -> str:
    """In metrics."""
    return f"{self.term.name}/{self.tap}"


class Task(NamedTuple):
  """A mitigation of the task's loss.

  Attributes:
    name: in the weights of the step.
    mitigation: a factory's product.
    attribute: whose groups it looks at; "" where it looks at none.
  """

  name: str
  mitigation: Mitigation
  attribute: str = ""


class Plan(NamedTuple):
  """All of it; static, so that a step is compiled once a plan.

  Attributes:
    terms: monitors and penalties.
    tasks: mitigations.
    steps: of the whole training: what ramps go by.
    cuts: taps at which the network is cut into modules: no gradient passes, and the
      task's loss reaches the last module alone.
    task_weight: factor of the task's loss (IRENE's alpha).
    frozen: paths ("fc1", "fc2/bias") of parameters, and of what lies below them, that
      stay as they are; likewise of the model's state.
    clip: "value": every entry of the batch's gradient is kept within the weight "clip";
      "example": every example's gradient is kept within that length, and normal noise of
      "clip" times "noise" is added to their sum (DP-SGD); "": neither.
  """

  terms: tuple[Term, ...] = ()
  tasks: tuple[Task, ...] = ()
  steps: int = 1
  cuts: tuple[str, ...] = ()
  task_weight: float = 1.0
  frozen: tuple[str, ...] = ()
  clip: Literal["", "value", "example"] = ""


def sites(plan: Plan) -> list[Site]:
  """Every term at every tap."""
  found = []
  for term in plan.terms:
    factors = np.linspace(*term.depth, max(len(term.taps), 2))
    found += [Site(term, t, float(f)) for t, f in zip(term.taps, factors, strict=False)]
  return found


def active(plan: Plan, step: int) -> frozenset[str]:
  """The terms that take part in a step; the host asks, and picks the compiled step."""
  return frozenset(term.name for term in plan.terms if step % term.every == 0)


class Batch(NamedTuple):
  """What a step of one lane sees.

  Attributes:
    x_B: inputs.
    y_B: task codes.
    attributes: name -> values `[B]` (codes or normal scores) and mask `[B]`.
    rates: name -> share `[C * K]` of each group (task label x attribute) in the train
      part, of the attributes that mitigations look at.
    ids_B: the place of each row in the data set; None where nobody asks.
    weight_B: of each row's loss, 0: it has no part; None: all alike.
  """

  x_B: Array
  y_B: Array
  attributes: dict[str, tuple[Array, Array]] = {}  # noqa: RUF012
  rates: dict[str, Array] = {}  # noqa: RUF012
  ids_B: Array | None = None
  weight_B: Array | None = None

  @property
  def rows(self) -> tuple[Array, Array, dict[str, tuple[Array, Array]]]:
    """What leads with B."""
    return self[:3]
