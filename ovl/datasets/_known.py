"""What data sets of known mutual information share: laws, bijections and mixtures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

import numpy as np
from scipy.special import logsumexp

from ovl.inputs.words import nearest
from ovl.types import Attribute, BadInput, Dataset

T = TypeVar("T")
Map = Callable[[np.ndarray], np.ndarray]
Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]


class Law(NamedTuple):
  """A joint law of two random vectors.

  Attributes:
    draw: `(rng, n) -> (x [n, dx], y [n, dy])`, float64.
    truth: I(X; Y) in nats.
  """

  draw: Draw
  truth: float


class Mixture(NamedTuple):
  """A mixture of K Gaussians of (X, Y), X being the first `dx` of D coordinates.

  Attributes:
    weight_K: probabilities of the components.
    mean_KD: means.
    cov_KDD: covariances.
    dx: the width of X.
  """

  weight_K: np.ndarray
  mean_KD: np.ndarray
  cov_KDD: np.ndarray
  dx: int

  def draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """`n` rows -> (x `[n, dx]`, y `[n, D - dx]`)."""
    k_N = rng.choice(len(self.weight_K), n, p=self.weight_K)
    z_ND = rng.standard_normal((n, self.mean_KD.shape[1]))
    for k, root_DD in enumerate(np.linalg.cholesky(self.cov_KDD)):
      z_ND[k_N == k] = z_ND[k_N == k] @ root_DD.T + self.mean_KD[k]
    return z_ND[:, : self.dx], z_ND[:, self.dx :]

  def pmi(self, x_ND: np.ndarray, y_NM: np.ndarray) -> np.ndarray:
    """log p(x, y) - log p(x) - log p(y) of each row `[N]`, in nats; its mean is I."""
    z_ND = np.hstack([x_ND, y_NM])
    x_N = self._log_density(z_ND, slice(self.dx))
    y_N = self._log_density(z_ND, slice(self.dx, None))
    return self._log_density(z_ND, slice(None)) - x_N - y_N

  def _log_density(self, z_ND: np.ndarray, part: slice) -> np.ndarray:
    """`[N]`, without the powers of 2 pi, which cancel in `pmi`."""
    log_NK = np.empty((len(z_ND), len(self.weight_K)))
    for k, cov_DD in enumerate(self.cov_KDD[:, part, part]):
      root_DD = np.linalg.cholesky(cov_DD)
      white_ND = np.linalg.solve(root_DD, (z_ND - self.mean_KD[k])[:, part].T).T
      log_NK[:, k] = -0.5 * (white_ND**2).sum(1) - np.log(np.diag(root_DD)).sum()
    return np.asarray(logsumexp(log_NK + np.log(self.weight_K), axis=1))


def bend(law: Law, f: Map, g: Map) -> Law:
  """The law of (f(X), g(Y)): for injective f and g its truth is that of (X, Y)."""

  def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    x_ND, y_NM = law.draw(rng, n)
    return f(x_ND), g(y_NM)

  return Law(draw, law.truth)


def spiral(i: int, j: int, speed: float) -> Map:
  """x -> R(speed |x|^2) x, where R turns the plane of coordinates i and j.

  The norm stays, so the angle can be undone: a bijection that keeps volumes.
  """

  def turn(x_ND: np.ndarray) -> np.ndarray:
    angle_N = speed * (x_ND**2).sum(1)
    cos_N, sin_N = np.cos(angle_N), np.sin(angle_N)
    out_ND = x_ND.copy()
    out_ND[:, i] = cos_N * x_ND[:, i] - sin_N * x_ND[:, j]
    out_ND[:, j] = sin_N * x_ND[:, i] + cos_N * x_ND[:, j]
    return out_ND

  return turn


def sparse(d: int) -> np.ndarray:
  """Correlation `[2d, 2d]`: 4/5 between X_i and Y_i for i < 2, else independent.

  Such pairs share a latent of standard deviation 2 beside their unit noises.
  """
  cov_DD = np.eye(2 * d)
  pair = np.arange(2)
  cov_DD[pair, d + pair] = cov_DD[d + pair, pair] = 0.8
  return cov_DD


def pick(choices: Mapping[str, T], task: str) -> T:
  """What the task names.

  Raises:
    BadInput: an unknown task; the message names the nearest.
  """
  if task not in choices:
    raise BadInput(f"dataset.task={task!r} is unknown: {nearest(task, choices)}")
  return choices[task]


def pack(
  name: str,
  x_ND: np.ndarray,
  attribute: Attribute,
  truth: float,
  groups_N: np.ndarray | None = None,
  note: str = "",
) -> Dataset:
  """One attribute, "y" if a vector and "s" if discrete, and I(x; it) = `truth` nats."""
  key = "y" if attribute.kind == "vector" else "s"
  n = len(x_ND)
  return Dataset(
    name=name,
    x=x_ND.astype(np.float32),
    y=np.zeros(n, np.int32),
    labels=("",),
    attributes={key: attribute},
    ids=np.arange(n),
    groups=groups_N,
    note=note,
    truth={key: float(truth)},
  )


def sample(name: str, law: Law, n: int, seed: int) -> Dataset:
  """`n` rows of the law: its X as input, its Y as the vector attribute "y"."""
  x_ND, y_NM = law.draw(np.random.default_rng(seed), n)
  return pack(name, x_ND, Attribute(y_NM, "vector"), law.truth)


def codes(s_N: np.ndarray, classes: int) -> Attribute:
  """Codes 0..classes-1 `[N]` with their numbers as labels."""
  labels = tuple(map(str, range(classes)))
  return Attribute(s_N.astype(np.int32), "discrete", labels)
