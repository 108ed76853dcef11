"""R-LACE: a game between a projection of given rank and a linear classifier."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ovl.erasers import _affine, _softmax
from ovl.erasers._moments import moments, standard
from ovl.types import BadInput, Eraser

INNER = 10  # steps of the classifier for one of the projection
DECAY = 1e-3  # of the weights: without it they outgrow any soft projection
HALVINGS = 40


def eraser(rank: int | None = None, steps: int = 100) -> Eraser:
  """The projection of a given rank that hides the concept best from linear readers.

      max_P min_w  CE(s, w'(I - P) S^-1 (z - mean)),  P in {0 <= P <= I, tr P = rank}

  with the standard deviations S of the columns: it projects in their units.
  Alternating: `w` by gradient descent, P by ascent and projection onto the Fantope (its
  eigenvalues are shifted and clipped until they sum to the rank), on the device; the end
  is rounded to the leading eigenvectors. The game has no unique saddle to converge to,
  so the projection of SAL of the same rank is the other candidate, and the one wins that
  leaves a fresh classifier with the larger cross-entropy. With rank >= M - 1 SAL's
  leaves exactly that of a constant, which is the value of the game; with less than
  that, something stays whatever is projected away.

  It does not stop non-linear readers: variances, an exclusive or; and at a rank below
  M - 1 not all linear ones.

  Args:
    rank: of the projection; None: the number of columns of the concept less one.
    steps: of the projection; each takes an eigendecomposition.

  Returns:
    An eraser of classes, several attributes at once.

  Raises:
    BadInput: a rank or a number of steps below 1.

  References:
    Ravfogel, Twiton, Goldberg and Cotterell (2022), "Linear adversarial concept
    erasure", https://arxiv.org/abs/2201.12091; Vu, Cho, Lei and Rohe (2013), "Fantope
    projection and selection".
  """
  if (rank is not None and rank < 1) or steps < 1:
    raise BadInput(f"rank={rank} and steps={steps}, expected at least 1 of each")

  def solve(given: tuple[Array, Array, Array], key: PRNGKeyArray) -> dict[str, Array]:
    m = moments(*given)
    r = _softmax.rows(*given, m.mean_D)
    D, M = m.zs_DM.shape
    k = min(rank if rank is not None else max(M - 1, 1), D)
    with jax.default_matmul_precision("highest"):
      spectral_DR, _, sd_D = _affine.shared(m, k)
      spectral_DR = jnp.pad(spectral_DR, ((0, 0), (0, D)))[:, :k]
      # Of size 1 in all, so that one step size fits.
      size = jnp.sqrt(jnp.asarray(D, sd_D.dtype))
      r = r._replace(z_ND=r.z_ND / (sd_D * size))
      zz_DD = standard(m)[0].zz_DD / size**2
      played_DR = _leading(_play(r, k, steps), k)

      def hidden(basis_DR: Array) -> Array:
        keep_DD = jnp.eye(D, dtype=basis_DR.dtype) - basis_DR @ basis_DR.T
        left = r._replace(z_ND=r.z_ND @ keep_DD)
        zz_left_DD = keep_DD @ zz_DD @ keep_DD
        w_DM, b_M = _softmax.fit(left, zz_left_DD, m.n, 100)
        return _softmax.cross_entropy(w_DM, b_M, left)

      better = hidden(played_DR) > hidden(spectral_DR) + 1e-5  # nats: no rounding
      basis_DR = jnp.where(better, played_DR, spectral_DR)
    return _affine.orthogonal(m.mean_D, sd_D, basis_DR)

  return Eraser(solve, _affine.apply)


def _play(r: _softmax.Rows, rank: int, steps: int) -> Float[Array, "d d"]:
  """The projection, soft, at the end of the game."""
  D, M = r.z_ND.shape[1], r.start_M.shape[0]

  def one(state: tuple, i: Array) -> tuple[tuple, None]:
    p_DD, w_DM, b_M = state
    keep_DD = jnp.eye(D, dtype=p_DD.dtype) - p_DD

    def descend(_: Array, reader: tuple[Array, Array]) -> tuple[Array, Array]:
      g_DM, g_M = _softmax.slope(keep_DD @ reader[0], reader[1], r)
      # |z|^2 is 1 on average, so the curvature is at most about 1.
      return reader[0] - keep_DD @ g_DM - DECAY * reader[0], reader[1] - g_M

    w_DM, b_M = jax.lax.fori_loop(0, INNER, descend, (w_DM, b_M))
    g_DM, _ = _softmax.slope(keep_DD @ w_DM, b_M, r)
    up_DD = -(g_DM @ w_DM.T + w_DM @ g_DM.T)
    length = jnp.linalg.norm(up_DD)
    up_DD = up_DD / jnp.where(length > 0, length, 1.0)
    return (_fantope(p_DD + up_DD / jnp.sqrt(i + 1.0), rank), w_DM, b_M), None

  start = (
    jnp.eye(D, dtype=r.z_ND.dtype) * rank / D,
    jnp.zeros_like(r.z_ND, shape=(D, M)),
    r.start_M,
  )
  return jax.lax.scan(one, start, jnp.arange(steps, dtype=r.z_ND.dtype))[0][0]


def _fantope(a_DD: Array, rank: int) -> Float[Array, "d d"]:
  """The nearest matrix with eigenvalues in [0, 1] and of trace `rank`."""
  size_D, turn_DD = jnp.linalg.eigh((a_DD + a_DD.T) / 2)

  def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
    middle = (ends[0] + ends[1]) / 2
    high = jnp.clip(size_D - middle, 0, 1).sum() > rank
    return jnp.where(high, middle, ends[0]), jnp.where(high, ends[1], middle)

  ends = jax.lax.fori_loop(0, HALVINGS, halve, (size_D[0] - 1, size_D[-1]))
  return (turn_DD * jnp.clip(size_D - (ends[0] + ends[1]) / 2, 0, 1)) @ turn_DD.T


def _leading(a_DD: Array, rank: int) -> Float[Array, "d k"]:
  return jnp.linalg.eigh((a_DD + a_DD.T) / 2)[1][:, ::-1][:, :rank]
