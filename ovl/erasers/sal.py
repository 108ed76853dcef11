"""SAL: the directions of largest covariance with the concept are projected away."""

from __future__ import annotations

from ovl.erasers import _affine
from ovl.erasers._moments import merge, moments
from ovl.types import BadInput, Eraser


def eraser(rank: int | None = None) -> Eraser:
  """Spectral attribute removal, with a centred covariance.

  With the standard deviations S of the columns and the singular vectors U of the
  correlations of z with s,

      r(z) = z - S U_k U_k' S^-1 (z - mean)

  orthogonal in those units, so that the answer does not depend on them; it is the
  published method where columns are of one size.

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
