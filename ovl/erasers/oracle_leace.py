"""Oracle LEACE: what the concept predicts of a row is subtracted from it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from ovl.erasers._moments import Moments, merge, moments, scales
from ovl.types import Eraser


def eraser() -> Eraser:
  """The smallest edit with Cov(r(z), s) = 0 where s of every row is known.

      r(z) = z - Sigma_zs Sigma_ss^+ (s - mean of s)

  Of classes it moves every class mean to the common one. It moves rows less than LEACE,
  which has to guess s from z. It is no projection: twice is not once.

  It does not stop non-linear readers: variances, an exclusive or. And the edit itself
  depends on s: who knows z and r(z) knows s.

  Returns:
    An eraser of classes, quantities and vectors, several at once; it needs the
    attribute of the rows it is applied to.

  References:
    Belrose et al. (2023), "LEACE: Perfect linear concept erasure in closed form", https://arxiv.org/abs/2306.03819.
  """
  return Eraser(
    _solve, _apply, moments, merge, ("discrete", "continuous", "vector"), oracle=True
  )


def _solve(m: Moments, key: PRNGKeyArray) -> dict[str, Array]:
  with jax.default_matmul_precision("highest"):
    _, sd_M = scales(m)
    n = jnp.maximum(m.n, 1.0)
    # Standardised, so that rare classes are not taken for rounding.
    size_R, turn_MR = jnp.linalg.eigh(m.ss_MM / (n * sd_M[:, None] * sd_M))
    real_R = size_R > 1e2 * jnp.finfo(size_R.dtype).eps * size_R.shape[0]
    turn_MR = turn_MR / sd_M[:, None] * real_R
    inverse_R = jnp.where(real_R, 1 / jnp.where(real_R, size_R, 1.0), 0.0)
    return {
      "mean_D": m.mean_D,
      "mean_M": m.mean_M,
      "slope_DM": (m.zs_DM / n @ turn_MR * inverse_R) @ turn_MR.T,
      "dropped": jnp.int32(0),
    }


def _apply(arrays: dict[str, Array], z_ND: Array, s_NM: Array) -> Array:
  with jax.default_matmul_precision("highest"):
    return z_ND - (s_NM - arrays["mean_M"]) @ arrays["slope_DM"].T
