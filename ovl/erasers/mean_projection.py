"""Mean projection: the differences between class means are projected away."""

from __future__ import annotations

from ovl.erasers import _affine
from ovl.erasers._moments import merge, moments
from ovl.types import Eraser


def eraser() -> Eraser:
  """The orthogonal projection off the span of class-mean differences.

      r(z) = z - S U U' S^-1 (z - mean),  span U = span {S^-1 (mean_k - mean_j)}

  with the standard deviations S of the columns: orthogonal in their units, so that the
  answer does not depend on them, and the published method where columns are of one size.
  Of the rows it was fitted on all classes then have one mean, so that no linear
  predictor with a convex loss beats a constant: the guarantee of LEACE with the same
  rank, but a larger edit where columns are correlated.

  It does not stop non-linear readers: variances, an exclusive or.

  Returns:
    An eraser of classes, several attributes at once.

  References:
    Haghighatkhah, Fokkens, Sommerauer, Speckmann and Verbeek (2022), "Better hit the nail
    on the head than beat around the bush", https://arxiv.org/abs/2212.04273.
  """
  return Eraser(lambda m, key: _affine.covariant(m, None), _affine.apply, moments, merge)
