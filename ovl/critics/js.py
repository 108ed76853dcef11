"""Jensen-Shannon (GAN) training: the logistic classifier of joint against product pairs."""

from __future__ import annotations

from ovl.critics._ratio import donsker_varadhan, jensen_shannon, ratio
from ovl.types import Critic, Kind


def critic(
  attribute: Kind = "discrete",
  hidden: tuple[int, ...] = (128, 128),
  negatives: int = 4,
) -> Critic:
  r"""min E_p[softplus(-f)] + E_pp[softplus(f)], whose optimum is f = log p(z,s)/p(z)p(s).

  The value is the Donsker-Varadhan bound of that f.

  Args:
    attribute: "discrete" (exact sum over classes), "continuous" or "vector".
    hidden: hidden widths.
    negatives: counterparts of a row where the attribute is not discrete.

  Returns:
    A critic in nats; a lower bound on fresh rows.

  References:
    Poole et al. (2019), https://arxiv.org/abs/1905.06922, sec. 2.
  """
  return ratio(
    "js", attribute, hidden, negatives, jensen_shannon, donsker_varadhan, "lower"
  )
