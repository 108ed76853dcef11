"""Gaussian copula: correlation of normal scores."""

from __future__ import annotations

from ovl.critics._elliptical import elliptical
from ovl.types import Critic, Kind


def critic(
  attribute: Kind = "vector", shrink: tuple[float, ...] = (0.0, 0.01, 0.03, 0.1, 0.3)
) -> Critic:
  r"""I(Z;S) of the Gaussian copula: with R the correlation of the columns' normal scores,

  .. math:: \tfrac12 \log (|R_z| |R_s| / |R|)

  as the mean of its log-ratio over rows that were not fitted: a lower bound up to the
  error of the ranks. Blind to dependence that is not Gaussian after ranking.

  Args:
    attribute: "vector" or "continuous".
    shrink: shares of the identity in R; the stop part chooses.

  Returns:
    A critic in nats.

  References:
    Ince et al. (2017), Human Brain Mapping 38(3), https://doi.org/10.1002/hbm.23471.
  """
  return elliptical("copula", attribute, (float("inf"),), shrink)
