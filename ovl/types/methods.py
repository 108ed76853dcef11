"""The roles of methods: critics, mitigations, erasers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, PRNGKeyArray

from ovl.types.base import Kind, Params
from ovl.types.view import View


class Score(NamedTuple):
  """A log-ratio f(z, s) in two stages, so that many pairs cost little.

  Attributes:
    sides: `(params, view) -> (of_z, of_s)` what is computed once a row, two pytrees whose
      leaves lead with N.
    join: `(params, of_z, of_s) -> [N]` f of row i of the one and row i of the other.
  """

  sides: Callable[[Params, View], tuple[Params, Params]]
  join: Callable[[Params, Params, Params], Array]

  def __call__(self, params: Params, view: View) -> Array:
    """f(z_i, s_i) `[N]`."""
    return self.join(params, *self.sides(params, view))


class Critic(NamedTuple):
  """A small model that reads a representation and says what it knows of an attribute.

  All members are pure; settings live in the closure of the factory.

  Attributes:
    init: `(key, view) -> params`; reads the view's shapes and masks only.
    loss: `(params, view, key) -> scalar` what the parameters minimise.
    value: `(params, view, key) -> scalar` the estimate, in `unit`.
    logits: `(params, view) -> logits_NK`, or None where it cannot predict; padded
      classes are about -1e9; continuous attributes: mean and log scale.
    fit: `(key, train, stop) -> params` a solver of its own, or None: then the grid
      trains by `loss`. Under `vmap` over label vectors whatever depends on `z_ND`
      alone must stay unbatched.
    uses: what it may be asked to do: "monitor", "penalty", "audit".
    unit: "nats" or None.
    bound: "lower", "upper", "estimate" or None.
    attribute: "discrete", "continuous" or "vector": the attributes it reads.
    score: its log-ratio log q(s|z)/p(s), up to a constant: what a held-out bound is
      computed from; None where there is none.
    normalised: the constant is meant to be 0, so that the mean log-ratio should agree
      with the Donsker-Varadhan bound.
    refresh: `(params, view, key) -> params` what moves with every update besides the
      gradient (a moving average), or None; given the parameters before it.
    needs: what else its view must hold: of "task" and "input". Such a critic can only
      penalise: outside a train step there is neither.
    floor: `(rows, classes) -> nats` its value reads of independent data at most; None: 0.
    penalty: `(params, view, key) -> scalar` what the network descends where that is not
      the value but has another unit; None: the value.
  """

  init: Callable[[PRNGKeyArray, View], Params]
  loss: Callable[[Params, View, PRNGKeyArray], Array]
  value: Callable[[Params, View, PRNGKeyArray], Array]
  logits: Callable[[Params, View], Array] | None
  fit: Callable[[PRNGKeyArray, View, View], Params] | None
  uses: frozenset[str]
  unit: str | None
  bound: str | None
  attribute: Kind
  score: Score | None = None
  normalised: bool = False
  refresh: Callable[[Params, View, PRNGKeyArray], Params] | None = None
  needs: frozenset[str] = frozenset()
  floor: Callable[[int, int], float] | None = None
  penalty: Callable[[Params, View, PRNGKeyArray], Array] | None = None


class Mitigation(NamedTuple):
  """A change of how the task is learnt, scaled by a swept number `weight`; 0: none.

  Attributes:
    init: `(rate_G) -> carried`: what it carries from step to step; `rate_G` is the share
      of each group (task label x attribute) in the train part.
    inputs: `(x_B, weight, key) -> x_B` or None.
    weigh: `(carried, loss_B, group_B, rate_G, weight) -> (weight_B, carried)` of the
      examples' losses (group -1 where the attribute is unknown: weight 1), or None.
    penalty: `(params, weight) -> scalar` added to the loss, or None.
  """

  init: Callable[[Array], Params] = lambda rate_G: ()
  inputs: Callable[[Array, Array, PRNGKeyArray], Array] | None = None
  weigh: Callable[[Params, Array, Array, Array, Array], tuple[Array, Params]] | None = None
  penalty: Callable[[Params, Array], Array] | None = None


class Erasure(NamedTuple):
  """A fitted eraser: arrays, and the pure function that uses them.

  Attributes:
    arrays: name -> array; `mean_D` `[D]` and the counts `removed` and `dropped` are
      always there.
    apply: `(arrays, z_ND, s_NM=None) -> z_ND`; `s_NM` is read where `oracle`.
    oracle: it needs the attribute of the rows it is applied to.
  """

  arrays: dict[str, Array]
  apply: Callable[..., Array]
  oracle: bool = False

  @property
  def dropped(self) -> int:
    """How many directions that carry the concept were left in, all models together."""
    return int(np.sum(self.arrays["dropped"]))

  @property
  def removed(self) -> int:
    """How many directions are erased; of several models the fewest."""
    return int(np.min(self.arrays["removed"]))


class Eraser(NamedTuple):
  """A way to remove a concept from given rows, after training.

  `s_NM` has the columns of the concept: one-hot classes, a quantity, or several
  attributes next to one another. All members are pure.

  Attributes:
    solve: `(statistics, key) -> arrays`, or `((z_ND, s_NM, mask_N), key) -> arrays` where
      `statistics` is None.
    apply: `(arrays, z_ND, s_NM=None) -> z_ND`.
    statistics: `(z_ND, s_NM, mask_N) -> statistics`, or None where it needs the rows
      themselves.
    merge: `(statistics, statistics) -> statistics` those of the rows of both, or None.
    attribute: the kinds of attributes it takes.
    oracle: `apply` needs `s_NM`.
    several: it takes the columns of several attributes at once.
    refuse: `(rows of each column [M], D) -> what is wrong`, "" where nothing is.
  """

  solve: Callable[[Params, PRNGKeyArray], dict[str, Array]]
  apply: Callable[..., Array]
  statistics: Callable[[Array, Array, Array], Params] | None = None
  merge: Callable[[Params, Params], Params] | None = None
  attribute: tuple[Kind, ...] = ("discrete",)
  oracle: bool = False
  several: bool = True
  refuse: Callable[[np.ndarray, int], str] | None = None

  def arrays(self, z_ND: Array, s_NM: Array, mask_N: Array, key: Any) -> dict[str, Array]:
    """From rows to the arrays of an `Erasure`, in one step that `vmap` and `jit` take."""
    rows = (z_ND, s_NM, mask_N)
    return self.solve(rows if self.statistics is None else self.statistics(*rows), key)

  def fit(self, z_ND: Array, s_NM: Array, mask_N: Array, key: Any) -> Erasure:
    """A fitted eraser of the rows whose `mask_N` is 1."""
    return Erasure(self.arrays(z_ND, s_NM, mask_N, key), self.apply, self.oracle)
