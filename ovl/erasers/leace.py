"""LEACE: the smallest affine edit after which no linear reader beats a constant."""

from __future__ import annotations

from jaxtyping import Array, PRNGKeyArray

from ovl.erasers import _affine
from ovl.erasers._moments import Moments, merge, moments
from ovl.types import BadInput, Eraser

SHRINKAGES = ("none", "linear")


def eraser(
  rank: int | None = None,
  tol: float = 0.0,
  shrinkage: str = "none",
) -> Eraser:
  """Least-squares concept erasure, in closed form from moments.

  With Sigma_zz = W^-2 and the singular vectors U of W Sigma_zs,

      r(z) = z - W^-1 U U' W (z - mean)

  so that Cov(r(z), s) = 0: of the rows it was fitted on, no linear predictor of s with a
  convex loss beats a constant, and no affine map with this property moves the rows less.
  W is an inverse Cholesky factor: U U' is the same for every W with W'W = Sigma_zz^-1, and
  a Cholesky costs a twentieth of an eigendecomposition. The covariance vanishes
  whatever W is; so the small ridge that float32 needs (4 eps D of a variance; it also
  takes dead and collinear columns) costs nothing but a little minimality.

  Columns of s and of z are standardised, so singular values are correlations and a rare
  concept counts like any other. All above rounding (1.2e-4) are erased by default: one
  that is left in, even if it is noise, can be read from the same rows. `tol` leaves
  noise in: independent columns correlate by about (sqrt(D) + sqrt(M)) / sqrt(n), and
  directions below `tol` times that stay, are counted in `dropped`, and warned of.

  It does not stop non-linear readers: a concept in a variance, or an exclusive or, has
  Cov(z, s) = 0 and stays as it is. Nor does it hold exactly on other rows: there the
  covariance is what n rows leave of it, about 1/sqrt(n); with few rows for D columns
  shrinkage keeps the whitening sane. And results are rounded: directions that were
  erased keep about 1e-7 of their size, which a reader who rescales every direction
  in float64 can amplify.

  Args:
    rank: how many directions to erase at most; None: all.
    tol: in units of what independent columns correlate by; 0 leaves nothing in.
    shrinkage: "none", or "linear": the optimal mix of Sigma_zz and a sphere, for columns
      of about one size.

  Returns:
    An eraser of classes, quantities and vectors, several at once.

  Raises:
    BadInput: a setting out of range.

  References:
    Belrose et al. (2023), "LEACE: Perfect linear concept erasure in closed form",
    https://arxiv.org/abs/2306.03819; Bodnar, Gupta and Parolya (2014), "On the strong
    convergence of the optimal linear shrinkage estimator for large dimensional
    covariance matrix", https://arxiv.org/abs/1308.2608.
  """
  if shrinkage not in SHRINKAGES:
    raise BadInput(f"shrinkage={shrinkage!r}, expected one of {', '.join(SHRINKAGES)}")
  if rank is not None and rank < 1:
    raise BadInput(f"rank={rank}, expected None or at least 1")
  if tol < 0:
    raise BadInput(f"tol={tol}, expected at least 0")

  def solve(m: Moments, key: PRNGKeyArray) -> dict[str, Array]:
    return _affine.least_squares(m, rank, tol, shrinkage)

  return Eraser(solve, _affine.apply, moments, merge, ("discrete", "continuous", "vector"))
