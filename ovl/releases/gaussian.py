"""Clipped activations with Gaussian noise: a release whose leak has a proven ceiling."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ovl import bounds
from ovl.types import BadInput


class Gaussian(NamedTuple):
  """z~ = clip(z, C) + N(0, sigma^2 I), each row clipped to the L2 norm C.

  Attributes:
    clip: C, in the unit of z.
    sigma: standard deviation of the noise in each coordinate, in the unit of z.
  """

  clip: float
  sigma: float

  def __call__(self, z: np.ndarray, seed: int | np.random.Generator = 0) -> np.ndarray:
    """Releases rows.

    Args:
      z: `[N, ...]`; the norm of a row is over all that follows N.
      seed: of the noise, or a generator. Who knows it can take the noise away: keep it
        secret and use it once.

    Returns:
      The released rows, float64 of the shape of `z`.

    Raises:
      BadInput: a nan or an infinite entry.
    """
    z = np.asarray(z, float)
    if not np.isfinite(z).all():
      raise BadInput("z: a row has a nan or an infinite entry; its norm cannot be clipped")
    norm = np.sqrt(np.square(z).sum(tuple(range(1, z.ndim)), keepdims=True))
    noise = np.random.default_rng(seed).normal(0.0, self.sigma, z.shape)
    released: np.ndarray = z * (self.clip / np.maximum(norm, self.clip)) + noise
    return released

  def bound(self, classes: int, width: int, releases: int = 1) -> float:
    """Upper bound on I(Z~;S) in nats: `bounds.gaussian_upper`."""
    return bounds.gaussian_upper(self.clip, self.sigma, width, classes, releases)


def release(clip: float = 1.0, sigma: float = 1.0) -> Gaussian:
  """A Gaussian release.

  Args:
    clip: largest L2 norm of a row, in the unit of the activations.
    sigma: standard deviation of the noise; `sigma_for` finds it for a wanted bound.

  Raises:
    BadInput: a number that is not positive and finite.
  """
  bounds.positive(clip=clip, sigma=sigma)
  return Gaussian(clip, sigma)


def sigma_for(
  bound: float, clip: float, classes: int, width: int, releases: int = 1
) -> float:
  """The least noise for which `Gaussian.bound` is `bound`.

  sigma^2 = T C^2 / (m (exp(2 bound / m) - 1)),  m = min(width, K - 1).

  Args:
    bound: wanted bound on I(Z~;S) in nats, below log K.
    clip: largest L2 norm of a row.
    classes: K.
    width: numbers in a row.
    releases: T, how often the same row is released.

  Raises:
    BadInput: a bound that is not positive, or log K and above, which needs no noise;
      a clip that is not positive and finite; counts that are too small.
  """
  bounds.positive(bound=bound, clip=clip)
  m = bounds.channels(width, classes, releases)
  if bound >= np.log(classes):
    raise BadInput(f"bound={bound}: {classes} classes have {np.log(classes):.4g} nats")
  return float(clip * np.sqrt(releases / (m * np.expm1(2 * bound / m))))
