"""What the Linen models share: a chain of layers -> `Model`, whole and by its stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ovl.chain import run
from ovl.types import BadInput, Model, Params, Stage


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
    dropout: share of what comes out that is set to 0 in training, the rest scaled up.
  """

  name: str
  make: Callable[..., nn.Module]
  before: Callable[[Array], Array] = same
  after: Callable[[Array], Array] = same
  normalised: bool = False
  dropout: float = 0.0

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
      rate = self.dropout if train else 0.0
      if not self.normalised:
        out: Any = module.apply(mine, h_B)
        return dropped(self.after(out), rate, key), state
      mine |= {"batch_stats": state[self.name]}
      out = module.apply(mine, h_B, train, mutable=["batch_stats"] if train else False)
      if not train:
        return self.after(out), state
      renewed = state | {self.name: out[1]["batch_stats"]}
      return dropped(self.after(out[0]), rate, key), renewed

    return Stage(self.name, apply)


def dropped(h_B: Array, rate: float, key: PRNGKeyArray | None) -> Array:
  """h / (1 - rate) with probability 1 - rate, else 0, entry by entry.

  References:
    Srivastava et al. (2014), https://jmlr.org/papers/v15/srivastava14a.html.
  """
  if not rate:
    return h_B
  if key is None:
    raise BadInput(f"dropout={rate}: a network in training needs a key")
  kept_B = jax.random.bernoulli(key, 1 - rate, h_B.shape)
  return jnp.where(kept_B, h_B / (1 - rate), 0.0)


class DenseNorm(nn.Module):
  """A dense layer without a bias, and batch normalisation."""

  features: int

  @nn.compact
  def __call__(self, x_BD: Float[Array, "b d"], train: bool) -> Float[Array, "b h"]:
    """Normalised by the batch in training, by running statistics otherwise."""
    shape = (x_BD.shape[-1], self.features)
    w_DH = self.param("kernel", nn.initializers.lecun_normal(), shape)
    return nn.BatchNorm(use_running_average=not train, momentum=0.9)(x_BD @ w_DH)


def flat(x_B: Float[Array, "b ..."]) -> Float[Array, "b d"]:
  """One row an example."""
  return x_B.reshape(x_B.shape[0], -1)


def dense(
  hidden: Sequence[int], classes: int, dropout: float = 0.0, norm: bool = False
) -> list[Layer | Stage]:
  """The layers `fc1, fc2, ..., logits, softmax`, ReLU after the hidden ones.

  Args:
    hidden: widths.
    classes: of the task.
    dropout: rate after every hidden layer.
    norm: batch normalisation before every hidden ReLU, in place of the bias.

  Raises:
    BadInput: a rate that is none.
  """
  if not 0 <= dropout < 1:
    raise BadInput(f"model.dropout={dropout}: expected a rate in [0, 1)")

  def make(width: int, module: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    return lambda name=None: module(width, name=name)

  module = DenseNorm if norm else nn.Dense
  layers: list[Layer | Stage] = [
    Layer(f"fc{i}", make(width, module), flat, nn.relu, norm, dropout)
    for i, width in enumerate(hidden, 1)
  ]
  last = Layer("logits", make(classes, nn.Dense), flat)
  return [*layers, last, activation("softmax", nn.softmax)]


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
