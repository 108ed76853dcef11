"""Confusion: the network makes an adversary's answers even over the classes."""

from __future__ import annotations

from ovl.critics._head import chosen, penalty
from ovl.critics._removal import certainty
from ovl.critics._statistic import reads
from ovl.types import Critic, Kind


def critic(
  attribute: Kind = "discrete", hidden: tuple[int, ...] = (64,), form: str = "entropy"
) -> Critic:
  r"""log K - H(A(z)) or CE(uniform, A(z)) - log K, A fitted by its cross-entropy.

  Never below 0, so that the network has nothing to win by deceiving A: an even answer is
  its optimum. Of classes that are not equally frequent A's best answer without z is not
  even, and the value then is not 0: it is KL(P(S) || uniform), or the reverse.

  Control "entropy" fails: a class of 5 % of the rows stayed readable at an AUC of .72 to
  .96, weights from .1 to 2; with "uniform" and a weight of 2 at .55 to .59.

  Args:
    attribute: "discrete".
    hidden: hidden widths of the adversary.
    form: "entropy", at most log K, without a gradient where A is sure; "uniform", with
      the steepest one there.

  Returns:
    A critic; its nats are of certainty, right or wrong, and no information.

  References:
    Roy and Boddeti (2019), "Mitigating Information Leakage in Image Representations: A
    Maximum Entropy Approach", https://arxiv.org/abs/1904.05514: "entropy".
    Alvi, Zisserman and Nellåker (2018), "Turning a Blind Eye",
    https://arxiv.org/abs/1809.02169: "uniform".
  """
  reads("confusion", attribute, ("discrete",))
  chosen("confusion", "form", form, ("entropy", "uniform"))

  return penalty(attribute, hidden, lambda out, view: certainty(out, view, form), None)
