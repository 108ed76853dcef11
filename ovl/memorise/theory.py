r"""Ridge regression on a rare spurious feature, in closed form.

The model: y = +-1 alike often; an invariant coordinate a = y x_inv + N(0, v_inv) and a
spurious one b = s x_sp + N(0, v_sp), with P(s = 1 | y = 1) = rate and s = 0 where y = -1;
least squares of y on (a, b) with an intercept and penalty l2 on the two weights.

References:
  Yang, Chou and Chaudhuri (2022), https://arxiv.org/abs/2202.05189, the model that their
  notebook implies; its expressions have extra powers of x_sp, these are derived anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer
from scipy.stats import norm

from ovl import plant
from ovl.types import BadInput


@dataclass(frozen=True)
class Ridge:
  """The data.

  Attributes:
    rate: share of the positive class that carries the feature.
    v_inv: variance of the invariant coordinate's noise (input noise adds to it).
    v_sp: of the spurious coordinate's.
    x_inv: where the classes lie, +- that.
    x_sp: height of the feature.
    l2: penalty, for inputs averaged over the distribution.
  """

  rate: float
  v_inv: float = 0.5
  v_sp: float = 0.1
  x_inv: float = 1.0
  x_sp: float = 1.0
  l2: float = 0.0

  def __post_init__(self) -> None:
    """Refuses what is no distribution."""
    if not 0 <= self.rate <= 1:
      raise BadInput(f"rate={self.rate}: expected a share in 0..1")
    if min(self.v_inv, self.v_sp) <= 0 or self.l2 < 0:
      raise BadInput("ridge: expected variances above 0 and l2 of at least 0")


class Solution(NamedTuple):
  """What the regression does.

  Attributes:
    w_inv: weight of the invariant coordinate.
    w_sp: of the spurious one.
    intercept: added.
    score: what the feature adds to a prediction, w_sp x_sp.
    clean_accuracy: of untouched points.
    spurious_accuracy: of points of the negative class that carry the feature.
  """

  w_inv: float
  w_sp: float
  intercept: float
  score: float
  clean_accuracy: float
  spurious_accuracy: float


def ridge(data: Ridge) -> Solution:
  r"""The minimiser over the distribution, and what it gets right.

  With g the rate, S = v_inv + l2, T = v_sp + l2 and
  :math:`D = ST + T x_{inv}^2 + S \frac g2 (1 - \frac g2) x_{sp}^2
  + \frac g2 (1 - g) x_{inv}^2 x_{sp}^2`:
  :math:`w_{sp} = S \frac g2 x_{sp} / D`,
  :math:`w_{inv} = x_{inv} (T + \frac g2 (1 - g) x_{sp}^2) / D`.
  """
  half, S, T = data.rate / 2, data.v_inv + data.l2, data.v_sp + data.l2
  inv2, sp2 = data.x_inv**2, data.x_sp**2
  mixed = half * (1 - data.rate) * sp2
  D = S * T + T * inv2 + S * half * (1 - half) * sp2 + mixed * inv2
  w_inv = data.x_inv * (T + mixed) / D
  w_sp = S * half * data.x_sp / D
  score = w_sp * data.x_sp
  intercept = -score * half
  spread = np.sqrt(w_inv**2 * data.v_inv + w_sp**2 * data.v_sp)
  towards = w_inv * data.x_inv
  clean = norm.cdf((towards + np.array([intercept, -intercept])) / spread).mean()
  spurious = norm.cdf((towards - score - intercept) / spread)
  return Solution(w_inv, w_sp, intercept, score, float(clean), float(spurious))


def fitted(
  x_N: Float[np.ndarray, "n h w c"],
  y_N: Integer[np.ndarray, " n"],
  target: int,
  pattern: plant.Pattern,
  dose: float,
) -> Ridge:
  r"""The model with what images say of its parameters.

  The target class is y = 1, all others y = -1. `rate` is dose / class size, `x_sp` the mean
  length of what the pattern adds. The invariant coordinate runs from the mean of the others
  to that of the class: `x_inv` is half its length, `v_inv` the variance along it within the
  two, half each. `v_sp` is the variance of images, in the same way, along the mean change
  that the pattern makes. The two directions are taken as orthogonal and both signs of y as
  alike often, as in the model.

  Args:
    x_N: training images.
    y_N: their classes.
    target: the class that carries the pattern.
    pattern: what is planted.
    dose: on how many examples of the class.
  """
  ours = np.asarray(y_N) == target
  flat = np.asarray(x_N, np.float64).reshape(len(x_N), -1)
  added = np.asarray(plant.paint(pattern, x_N), np.float64).reshape(len(x_N), -1) - flat
  sides = flat[ours], flat[~ours]
  apart, along = sides[0].mean(0) - sides[1].mean(0), added.mean(0)

  def spread(direction: np.ndarray) -> float:
    unit = direction / np.linalg.norm(direction)
    return max(float(np.mean([(side @ unit).var() for side in sides])), 1e-6)

  return Ridge(
    rate=dose / int(ours.sum()), v_inv=spread(apart), v_sp=spread(along),
    x_inv=float(np.linalg.norm(apart)) / 2, x_sp=plant.reach(pattern, x_N),
  )  # fmt: skip
