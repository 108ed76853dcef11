"""The vocabulary of the house: role tuples, data types, rows and the shape letters.

Shape letters (suffix of a local array, one capital a dimension):
  S seeds (models)    L lanes: a tap, alone or with the task label    N examples
  B batch             D width of a representation                      H hidden width
  C task classes      K classes of an attribute (2 outputs, mean and log scale, where
                      the attribute is continuous)
  A attributes        T steps            F folds             P permutations
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

Params = Any  # a pytree of arrays
Kind = Literal["discrete", "continuous", "vector"]


class BadInput(ValueError):
  """Input that a person can mend: the message names what came, where, and what fits."""


class Attribute(NamedTuple):
  """One attribute of every example.

  Attributes:
    values: `[N]`; discrete: int32 codes `0..K-1`, -1 where unknown; continuous:
      float64, nan where unknown; vector: `[N, M]` float64, another representation.
    kind: "discrete", "continuous" or "vector".
    labels: the class names in the order of the codes; empty where continuous.
  """

  values: np.ndarray
  kind: Kind
  labels: tuple[str, ...] = ()

  @property
  def known(self) -> np.ndarray:
    """`[N]` bool: where the attribute has a value."""
    if self.kind == "discrete":
      return self.values >= 0
    finite = np.isfinite(self.values)
    return finite if finite.ndim == 1 else finite.all(1)

  @property
  def outputs(self) -> int:
    """How many numbers a critic returns for a row: K classes, or mean and log scale."""
    if self.kind == "vector":
      return int(self.values.shape[1])
    return len(self.labels) if self.kind == "discrete" else 2


class Dataset(NamedTuple):
  """Examples in host memory, with what must not be mixed up about them.

  Attributes:
    name: the name in rows and reports.
    x: inputs `[N, ...]`, float32, channel last.
    y: the task, int32 codes `[N]`.
    labels: class names of the task, in the order of the codes.
    attributes: name -> `Attribute`.
    groups: `[N]` int codes of the unit that must stay on one side of a split (writer,
      person), or None where examples are independent.
    split: `[N]` of "train", "probe", "stop", "test" where the data set fixes it.
    ids: `[N]` a stable identity of each example.
    note: one sentence a reader of the report must know.
    truth: attribute -> I(x; attribute) in nats, where it is known.
  """

  name: str
  x: np.ndarray
  y: np.ndarray
  labels: tuple[str, ...]
  attributes: dict[str, Attribute]
  ids: np.ndarray
  groups: np.ndarray | None = None
  split: np.ndarray | None = None
  note: str = ""
  truth: Mapping[str, float] = MappingProxyType({})


class Stage(NamedTuple):
  """One layer of a network, so that it can be entered, left or cut there.

  Attributes:
    name: of the tap it returns; the last two are "logits" and "softmax".
    apply: `(params, state, h_B, *, key=None, train=False) -> (h_B, state)`, `params` and
      `state` those of the whole network, of which it reads its own and returns the
      state with its own part renewed.
  """

  name: str
  apply: Callable[..., tuple[Array, Params]]


class Model(NamedTuple):
  """A network as a pair of pure functions.

  Attributes:
    init: `(key, x_B) -> (params, state)`; `state` is () where there is none.
    apply: `(params, state, x_B, *, key=None, train=False) -> (logits_BC, taps, state)`;
      `taps` maps a name to an activation `[B, ..., channels]` after its non-linearity,
      in depth order.
    stages: the same network layer by layer, one stage a tap, where it is a chain; ()
      where it is not: then it cannot be cut into modules, nor edited inside.
  """

  init: Callable[..., tuple[Params, Params]]
  apply: Callable[..., tuple[Array, dict[str, Array], Params]]
  stages: tuple[Stage, ...] = ()


class View(NamedTuple):
  """What a critic sees: rows of a representation and one attribute.

  Padding is part of the type, so that taps of different widths and attributes of
  different class counts share one program: padded columns of `z_ND` are 0, padded rows
  have weight 0, padded classes are False.

  Attributes:
    z_ND: the representation, float32.
    s_N: int32 codes, or float32 normal scores where the attribute is continuous, or
      float32 `[N, M]` where it is a vector; any value where `mask_N` is 0.
    mask_N: float32 row weights, 1 or 0.
    features_D: which columns exist.
    classes_K: which outputs exist; of a vector which of its M columns (padded columns
      of `s_N` are 0).
    task_N: the task label, int32 codes; inside a train step only.
    input_ND: what the network was given, flattened; inside a train step only.
  """

  z_ND: Float[Array, "n d"]
  s_N: Int[Array, " n"] | Float[Array, " n"] | Float[Array, "n m"]
  mask_N: Float[Array, " n"]
  features_D: Bool[Array, " d"]
  classes_K: Bool[Array, " k"]
  task_N: Int[Array, " n"] | None = None
  input_ND: Float[Array, "n m"] | None = None

  @classmethod
  def of(
    cls,
    z: Any,
    s: Any,
    *,
    classes: int | None = None,
    mask: Any = None,
    task: Any = None,
    input: Any = None,
  ) -> View:
    """A view of plain arrays, so that a critic is a penalty in a loop of one's own.

    Args:
      z: `[N, D]` the representation; it may be traced.
      s: `[N]` integers or bools: classes 0..K-1, -1 where unknown; `[N]` floats: a
        quantity, best standardised; `[N, M]` floats: a vector; nan where unknown.
      classes: K, which must be given where s is traced, or its batch may lack a class;
        None: counted in s.
      mask: `[N]` 1 or True for rows that count; None: all whose s is known.
      task: `[N]` task labels, for critics that need them (`Critic.needs`).
      input: `[N, ...]` what the network was given, likewise.

    Raises:
      BadInput: other shapes, text, classes that are not 0..K-1, or not known.
    """
    z_ND = jnp.asarray(z, jnp.float32)
    if z_ND.ndim != 2:
      raise BadInput(f"z has shape {list(z_ND.shape)}, expected [N, D]: z.reshape(N, -1)")
    if not isinstance(s, jax.Array) and np.asarray(s).dtype.kind not in "biuf":
      raise BadInput("s holds no numbers: np.unique(s, return_inverse=True)[1] are codes")
    s_N = jnp.asarray(s)
    N, discrete = len(z_ND), not jnp.issubdtype(s_N.dtype, jnp.floating)
    if s_N.ndim not in (1, 2) or len(s_N) != N or (discrete and s_N.ndim == 2):
      raise BadInput(f"s has shape {list(s_N.shape)} and z {list(z_ND.shape)}")
    if discrete:
      s_N, K = s_N.astype(jnp.int32), _classes(s, classes)
      known_N = s_N >= 0
    else:
      K = s_N.shape[1] if s_N.ndim == 2 else 2  # its columns; mean and log scale
      known_N = jnp.isfinite(s_N) if s_N.ndim == 1 else jnp.isfinite(s_N).all(1)
      known_N1 = known_N.reshape(N, *[1] * (s_N.ndim - 1))
      s_N = jnp.where(known_N1, s_N, 0).astype(jnp.float32)
    mask_N = known_N.astype(jnp.float32) * (1 if mask is None else jnp.asarray(mask))
    return cls(
      z_ND,
      s_N,
      mask_N,
      jnp.ones(z_ND.shape[1], bool),
      jnp.ones(K, bool),
      None if task is None else jnp.asarray(task, jnp.int32),
      None if input is None else jnp.asarray(input, jnp.float32).reshape(N, -1),
    )


def _classes(s: Any, classes: int | None) -> int:
  """K; refuses codes that are none of it where they can be looked at."""
  if isinstance(s, jax.core.Tracer):
    if classes is None:
      raise BadInput("s is traced, so its classes cannot be counted: give classes=")
    return classes
  low, high = int(np.min(s)), int(np.max(s))
  K = max(high + 1, 2) if classes is None else classes
  if low < -1 or high >= K:
    raise BadInput(f"s has the codes {low}..{high}, expected 0..{K - 1}, or -1: unknown")
  return K


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


class Lane(NamedTuple):
  """One tap of all models; rows are `probe | stop | test`.

  Attributes:
    subject: "trained", "untrained", "raw", "permuted", or a penalty or eraser.
    layer: the tap.
    depth: its place among the layers of the network, 0 first; of the input -1.
    z_SND: activations, or what `np.asarray` reads.
    setting: compact JSON of what was swept, where something was.
    step: of training, where subjects are snapshots of it.
  """

  subject: str
  layer: str
  depth: int
  z_SND: np.ndarray
  setting: str = ""
  step: int | None = None


class Found(NamedTuple):
  """What one critic says of one lane's rows that it was not trained on.

  Attributes:
    stop: outputs `[S, V, A, N_stop, K]`; variants: alone, with the task label.
    test: outputs `[S, V, A, N_test, K]`.
    converged: `[S, V, A]` whether training ended before its limit.
  """

  stop: np.ndarray
  test: np.ndarray
  converged: np.ndarray


class TrainState(NamedTuple):
  """What a training step carries. No key: randomness is `rng.at(stream, step)`.

  Attributes:
    step: how many were taken.
    params: of the network.
    state: of the network.
    opt: of its optimiser.
    critics: term -> tap -> parameters and optimiser state.
    tasks: mitigation -> what it carries.
    alive: False since a loss or gradient was not finite: nothing has moved since.
    read: "term/tap" -> moving average of what the critic read.
  """

  step: Int[Array, ""]
  params: Params
  state: Params
  opt: Params
  critics: Params
  tasks: Params
  alive: Bool[Array, ""]
  read: dict[str, Array]


class Row(NamedTuple):
  """One reported number. `docs/rows.md` says what each column holds."""

  run: str = ""
  kind: str = "audit"
  dataset: str = ""
  task: str = ""
  model: str = ""
  subject: str = ""
  setting: str = ""
  step: int | None = None
  layer: str = ""
  layer_index: int | None = None
  width: int | None = None
  attribute: str = ""
  classes: int | None = None
  method: str = ""
  bound: str = ""
  seed: int | None = None
  num_seeds: int | None = None
  fold: int | None = None
  metric: str = ""
  unit: str = ""
  value: float | None = None
  low: float | None = None
  high: float | None = None
  level: float | None = None
  p: float | None = None
  flag: str = ""
  n_train: int | None = None
  n_eval: int | None = None
  chance: float | None = None
  verdict: str = ""
