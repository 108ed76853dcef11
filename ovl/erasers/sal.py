"""SAL: the directions of largest covariance with the concept are projected away."""

from __future__ import annotations

from ovl.erasers import _affine
from ovl.erasers._moments import merge, moments
from ovl.types import BadInput, Eraser


def eraser(rank: int | None = None) -> Eraser:
  """Spectral attribute removal, with a centred covariance.

  With the singular vectors U of Cov(z, s), whose columns are standardised,

      r(z) = z - U_k U_k'(z - mean)

  With all directions of non-zero covariance, the default, Cov(r(z), s) = 0 and no linear
  predictor with a convex loss beats a constant on the rows it was fitted on; of classes
  it is mean projection then. With a smaller `rank` the rest stays, is counted in
  `dropped` and warned of.

  It does not stop non-linear readers: variances, an exclusive or.

  Args:
    rank: how many directions to erase at most; None: all.

  Returns:
    An eraser of classes, quantities and vectors, several at once.

  Raises:
    BadInput: a rank below 1.

  References:
    Shao, Ziser and Cohen (2023), "Gold doesn't always glitter: spectral removal of linear
    and nonlinear guarded attribute information", https://arxiv.org/abs/2203.07893.
  """
  if rank is not None and rank < 1:
    raise BadInput(f"rank={rank}, expected None or at least 1")
  return Eraser(
    lambda m, key: _affine.covariant(m, rank),
    _affine.apply,
    moments,
    merge,
    ("discrete", "continuous", "vector"),
  )
