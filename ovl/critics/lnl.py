"""Learning not to learn: confusion of a bias head and gradient reversal, together."""

from __future__ import annotations

from jaxtyping import Array, Float

from ovl.critics._head import penalty
from ovl.critics._removal import certainty, gain
from ovl.critics._statistic import reads
from ovl.types import Critic, Kind, View


def critic(
  attribute: Kind = "discrete",
  hidden: tuple[int, ...] = (64,),
  entropy: float = 0.01,
  reverse: float = 0.1,
  clip: bool = True,
) -> Critic:
  r"""a (log K - H(q)) + b max(0, H(S) - CE), q the head's answer.

  The published sum of the negative entropy of q and the reversed cross-entropy, with
  the constants that make it 0 of an even head: a log K and b H(S) have no gradient. At
  the default weights it is small: a penalty's weight of 10 is reversal of weight 1.

  Args:
    attribute: "discrete".
    hidden: hidden widths of the head.
    entropy: weight a.
    reverse: weight b.
    clip: False is the published reversal, without a lower end.

  Returns:
    A critic; its weighted nats are no unit.

  References:
    Kim et al. (2019), "Learning Not to Learn", https://arxiv.org/abs/1812.10352.
  """
  reads("lnl", attribute, ("discrete",))

  def term(logits_NK: Array, view: View) -> Float[Array, ""]:
    sure = certainty(logits_NK, view)
    return entropy * sure + reverse * gain(logits_NK, view, "discrete", clip)

  return penalty(attribute, hidden, term, unit=None)
