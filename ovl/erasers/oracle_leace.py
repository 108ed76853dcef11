"""Oracle LEACE: what the concept predicts of a row is subtracted from it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from ovl.erasers import _slopes
from ovl.erasers._moments import Moments, merge
from ovl.types import BadInput, Eraser, Kind

SHRINKAGES = ("noise", "none")


def eraser(shrinkage: str = "noise") -> Eraser:
  """The smallest edit with Cov(r(z), s) = 0 where s of every row is known.

      r(z) = z - Sigma_zs Sigma_ss^+ (s - mean of s)

  Of classes it moves every class mean to the common one. It moves rows less than LEACE,
  which has to guess s from z. It is no projection: twice is not once.

  As it reads s of the row it edits, slopes that are noise *write* s into other rows: of
  n rows about D (M - 1) / 2n nats. So directions of z that tell no more of s than noise
  stay as they are; those that do are erased whole, and then Cov(r(z), s) = 0 holds of
  the rows it was fitted on, up to what was noise.

  It does not stop non-linear readers: variances, an exclusive or. And the edit itself
  depends on s: who knows z and r(z) knows s.

  Args:
    shrinkage: "noise", or "none": every direction, noise as well, as published.

  Returns:
    An eraser of classes, quantities and vectors, several at once; it needs the
    attribute of the rows it is applied to.

  Raises:
    BadInput: an unknown shrinkage.

  References:
    Belrose et al. (2023), "LEACE: Perfect linear concept erasure in closed form",
    https://arxiv.org/abs/2306.03819; the threshold: `ovl/erasers/_slopes.py`.
  """
  if shrinkage not in SHRINKAGES:
    raise BadInput(f"shrinkage={shrinkage!r}, expected one of {', '.join(SHRINKAGES)}")

  def solve(m_F: Moments, key: PRNGKeyArray) -> dict[str, Array]:
    slope_DM, removed = _slopes.slope(m_F, shrinkage)
    m = _slopes.whole(m_F)
    return {
      "mean_D": m.mean_D,
      "mean_M": m.mean_M,
      "slope_DM": slope_DM,
      "removed": removed,
      "dropped": jnp.int32(0),
    }

  kinds: tuple[Kind, ...] = ("discrete", "continuous", "vector")
  return Eraser(solve, _apply, _slopes.moments, jax.vmap(merge), kinds, oracle=True)


def _apply(arrays: dict[str, Array], z_ND: Array, s_NM: Array) -> Array:
  with jax.default_matmul_precision("highest"):
    return z_ND - (s_NM - arrays["mean_M"]) @ arrays["slope_DM"].T
