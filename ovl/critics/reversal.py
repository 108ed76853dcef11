"""Gradient reversal: the network minimises what an adversary gains over chance."""

from __future__ import annotations

from ovl.critics._head import penalty
from ovl.critics._removal import gain
from ovl.critics._statistic import reads
from ovl.types import Critic, Kind


def critic(
  attribute: Kind = "discrete", hidden: tuple[int, ...] = (64,), clip: bool = True
) -> Critic:
  r"""max(0, H(S) - CE(A(z), s)), A fitted by its cross-entropy.

  A step of both sides on the same rows is gradient reversal: A descends on CE, what
  makes z ascends. H(S) is of the rows and has no gradient. 0 where A is at chance, which
  says that A is beaten, and not that a fresh probe would be.

  Args:
    attribute: "discrete" (softmax) or "continuous" (normal: mean and log scale).
    hidden: hidden widths of the adversary.
    clip: False is the published H(S) - CE, which has no lower end: an adversary that is
      sure and wrong lowers it for ever.

  Returns:
    A critic in nats.

  References:
    Ganin et al. (2016), https://arxiv.org/abs/1505.07818.
  """
  reads("reversal", attribute, ("discrete", "continuous"))

  return penalty(attribute, hidden, lambda out, view: gain(out, view, attribute, clip))
