"""Student-t copula: elliptical dependence with tails that move together."""

from __future__ import annotations

from ovl.critics._elliptical import elliptical
from ovl.types import Critic, Kind

INF = float("inf")


def critic(
  attribute: Kind = "vector",
  dof: tuple[float, ...] = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0, 20.0, INF),
  shrink: tuple[float, ...] = (0.0, 0.01, 0.03, 0.1, 0.3),
) -> Critic:
  r"""I(Z;S) under a t copula: E[log t(x;R,nu) - log t(x_z) - log t(x_s)].

  x are t quantiles of the columns' ranks; nu = inf is the Gaussian copula. On rows that
  were not fitted the mean log-ratio is a lower bound up to the error of the ranks.

  Args:
    attribute: "vector" or "continuous".
    dof: degrees of freedom tried; the stop part chooses.
    shrink: shares of the identity in the dispersion; the stop part chooses.

  Returns:
    A critic in nats.

  References:
    Demarta and McNeil (2005), "The t Copula and Related Copulas", sec. 2-3.
  """
  return elliptical("student_copula", attribute, dof, shrink)
