"""Donsker-Varadhan bound: right up to a constant in f."""

from __future__ import annotations

from ovl.critics._ratio import donsker_varadhan, ratio
from ovl.types import Critic, Kind


def critic(
  attribute: Kind = "discrete",
  hidden: tuple[int, ...] = (128, 128),
  negatives: int = 4,
) -> Critic:
  r"""I(Z;S) >= E_p[f] - log E_pp[exp f].

  Args:
    attribute: "discrete" (exact sum over classes), "continuous" or "vector".
    hidden: hidden widths.
    negatives: counterparts of a row where the attribute is not discrete.

  Returns:
    A critic in nats; a lower bound on fresh rows.

  References:
    Donsker and Varadhan (1983), Comm. Pure Appl. Math. 36(2).
  """
  return ratio(
    "dv", attribute, hidden, negatives,
    lambda r: -donsker_varadhan(r), donsker_varadhan, "lower",
  )  # fmt: skip
