"""Plug-in: I(Z;S) of two discrete quantities by counting."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.scipy.special import entr
from jaxtyping import Array, Float

from ovl.critics._statistic import columns, reads, statistic
from ovl.types import BadInput, Critic, Kind, View


def critic(
  attribute: Kind = "discrete",
  correction: str = "miller-madow",
) -> Critic:
  r"""H(Z) + H(S) - H(Z, S) of the counted rows; two rows of z are one cell where equal.

  The plain estimate is biased up by about :math:`(J-1)(K-1) / 2N`; Miller-Madow adds
  :math:`(cells - 1) / 2N` to each entropy, cells counted where there is a row. Only for
  a z of few distinct rows: where all differ it says H(S) of anything.

  Args:
    attribute: "discrete".
    correction: "miller-madow" or "none".

  Returns:
    A critic in nats, an estimate.

  References:
    Miller (1955), "Note on the bias of information estimates".
    Paninski (2003), "Estimation of Entropy and Mutual Information",
    https://doi.org/10.1162/089976603321780272.
  """
  reads("plugin", attribute, ("discrete",))
  if correction not in ("miller-madow", "none"):
    raise BadInput(f"plugin: correction {correction!r}: 'miller-madow' or 'none' fit")

  def value(view: View) -> Float[Array, ""]:
    rows = len(view.mask_N)
    cell_N = jnp.unique(view.z_ND, axis=0, return_inverse=True, size=rows)[1]
    hot_NK = columns(view) * view.mask_N[:, None]
    count_JK = jax.ops.segment_sum(hot_NK, cell_N.reshape(-1), rows)
    n = jnp.maximum(view.mask_N.sum(), 1.0)

    def entropy(count: Array) -> Array:
      cells = (count > 0).sum() if correction == "miller-madow" else 1
      return entr(count / n).sum() + (cells - 1) / (2 * n)

    return entropy(count_JK.sum(1)) + entropy(count_JK.sum(0)) - entropy(count_JK)

  return statistic(value, attribute, "nats", "estimate")
