"""MLP probe: Barber-Agakov bound with two hidden layers (256-128 by default)."""

from __future__ import annotations

from ovl.critics._head import head, mlp
from ovl.critics._statistic import reads
from ovl.types import Critic, Kind


def critic(attribute: Kind = "discrete", hidden: tuple[int, ...] = (256, 128)) -> Critic:
  """I(Z;S) >= H(S) - E[-log q(s|z)], q a ReLU network.

  Args:
    attribute: "discrete" (softmax) or "continuous" (normal: mean and log scale).
    hidden: hidden widths.

  Returns:
    A critic in nats, a lower bound on rows it was not trained on.

  References:
    Barber and Agakov (2003), "The IM Algorithm", eq. 3.
    Song and Shmatikov (2020), arXiv 1905.11742: the attacker of width 256-128.
  """
  reads("mlp", attribute, ("discrete", "continuous"))

  return head(attribute, *mlp(hidden))
