"""What the Linen models share: a chain of layers -> `Model`, whole and by its stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
from jaxtyping import Array, Float, PRNGKeyArray

from ovl.chain import run
from ovl.types import Model, Params, Stage


def same(h_B: Array) -> Array:
  """Identity."""
  return h_B


class Layer(NamedTuple):
  """One layer: its parameters, and its running statistics, stand under its name.

  Attributes:
    name: of the layer and of its tap.
    make: `(name=) -> module`.
    before: shapes the input.
    after: the non-linearity.
    normalised: the module takes `train` and keeps running statistics.
  """

  name: str
  make: Callable[..., nn.Module]
  before: Callable[[Array], Array] = same
  after: Callable[[Array], Array] = same
  normalised: bool = False

  def stage(self) -> Stage:
    """The layer as a pure function."""
    module = self.make()

    def apply(
      params: Params,
      state: Params,
      h_B: Array,
      *,
      key: PRNGKeyArray | None = None,
      train: bool = False,
    ) -> tuple[Array, Params]:
      h_B, mine = self.before(h_B), {"params": params[self.name]}
      if not self.normalised:
        return self.after(module.apply(mine, h_B)), state  # type: ignore[arg-type]
      mine |= {"batch_stats": state[self.name]}
      out: Any = module.apply(mine, h_B, train, mutable=["batch_stats"] if train else False)
      if not train:
        return self.after(out), state
      return self.after(out[0]), state | {self.name: out[1]["batch_stats"]}

    return Stage(self.name, apply)


def flat(x_B: Float[Array, "b ..."]) -> Float[Array, "b d"]:
  """One row an example."""
  return x_B.reshape(x_B.shape[0], -1)


def dense(hidden: Sequence[int], classes: int) -> list[Layer | Stage]:
  """The layers `fc1, fc2, ..., logits, softmax`, ReLU after the hidden ones."""

  def make(width: int) -> Callable[..., nn.Module]:
    return lambda name=None: nn.Dense(width, name=name)

  layers: list[Layer | Stage] = [
    Layer(f"fc{i}", make(width), flat, nn.relu) for i, width in enumerate(hidden, 1)
  ]
  return [*layers, Layer("logits", make(classes), flat), activation("softmax", nn.softmax)]


def activation(name: str, fun: Callable[[Array], Array]) -> Stage:
  """A stage without parameters."""
  return Stage(name, lambda params, state, h_B, key=None, train=False: (fun(h_B), state))


class _Init(nn.Module):
  """Makes every layer in turn, so that each starts from its own name's key."""

  layers: tuple[Layer | Stage, ...]

  @nn.compact
  def __call__(self, h_B: Array) -> Array:
    for one in self.layers:
      if isinstance(one, Layer):
        h_B, module = one.before(h_B), one.make(name=one.name)
        h_B = one.after(module(h_B, True) if one.normalised else module(h_B))
      else:
        h_B = one.apply((), (), h_B)[0]
    return h_B


def chain(layers: Sequence[Layer | Stage], first: Callable[[Array], Array] = same) -> Model:
  """The `Model` of layers in depth order, the last two "logits" and "softmax".

  Args:
    layers: layers, and stages without parameters.
    first: shapes and checks the input.
  """
  stages = [one.stage() if isinstance(one, Layer) else one for one in layers]
  enter = stages[0].apply
  stages[0] = Stage(
    stages[0].name,
    lambda params, state, x_B, key=None, train=False: enter(
      params, state, first(x_B), key=key, train=train
    ),
  )

  def init(key: PRNGKeyArray, x_B: Array) -> tuple[Params, Params]:
    variables: Any = _Init(tuple(layers)).init(key, first(x_B))
    return variables["params"], variables.get("batch_stats", ())

  def apply(
    params: Params,
    state: Params,
    x_B: Array,
    *,
    key: PRNGKeyArray | None = None,
    train: bool = False,
  ) -> tuple[Array, dict[str, Array], Params]:
    taps, state = run(stages, params, state, x_B, key=key, train=train)
    return taps["logits"], taps, state

  return Model(init, apply, tuple(stages))
