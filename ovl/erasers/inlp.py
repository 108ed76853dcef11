"""INLP: project on the null space of a classifier, train another, until none reads."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from ovl.erasers import _affine, _softmax
from ovl.erasers._moments import moments, standard
from ovl.types import BadInput, Eraser


def eraser(rounds: int = 20, steps: int = 100) -> Eraser:
  """Iterative null-space projection by multinomial logistic regressions.

      r(z) = z - S U U' S^-1 (z - mean),  span U = the weights of all classifiers

  with the standard deviations S of the columns: it projects in their units.

  A classifier is trained on what the projection so far leaves, and its weights are made
  orthogonal to those before: the product of the projections is then the projection onto
  the intersection of the null spaces. It ends as soon as a classifier gains no more over
  a constant than one of independent columns would, D (M - 1) / 2n nats and three
  standard errors (Wilks), or after `rounds`: then `dropped` is 1.

  On other rows a linear reader is near a constant then. There is no exact guarantee:
  on the rows it was fitted on what is left is noise, which can be read; and each round
  takes M - 1 directions, more than LEACE needs in all. It does not stop non-linear
  readers: variances, an exclusive or.

  Args:
    rounds: how many classifiers at most.
    steps: of accelerated gradient, a classifier.

  Returns:
    An eraser of classes, several attributes at once.

  Raises:
    BadInput: fewer than one round or step.

  References:
    Ravfogel et al. (2020), "Null it out: guarding protected attributes by iterative
    nullspace projection", https://arxiv.org/abs/2004.07667.
  """
  if rounds < 1 or steps < 1:
    raise BadInput(f"rounds={rounds} and steps={steps}, expected at least 1 of each")

  def solve(given: tuple[Array, Array, Array], key: PRNGKeyArray) -> dict[str, Array]:
    raw = moments(*given)
    m, sd_D = standard(raw)
    r = _softmax.rows(*given, raw.mean_D)
    r = r._replace(z_ND=r.z_ND / sd_D)
    D, M = m.zs_DM.shape
    free = D * max(M - 1, 1)
    noise = (free + 3 * (2 * free) ** 0.5) / (2 * jnp.maximum(m.n, 1.0))
    constant = _softmax.constant(r)
    width = min(D, M)

    def without(a_ND: Array, u_DR: Array) -> Array:
      return a_ND - (a_ND @ u_DR) @ u_DR.T

    def one(state: tuple) -> tuple:
      i, z_ND, zz_DD, basis_IDR, _, _ = state
      left = r._replace(z_ND=z_ND)
      w_DM, b_M = _softmax.fit(left, zz_DD, m.n, steps)
      gain = constant - _softmax.cross_entropy(w_DM, b_M, left)
      reads = gain > noise
      known_DR = basis_IDR.transpose(1, 0, 2).reshape(D, -1)
      w_DM = without((w_DM - w_DM.mean(1, keepdims=True)).T, known_DR).T
      u_DR = _affine.orthonormal(w_DM, 1e-3) * (reads & (i < rounds))
      # What is erased keeps a block of its own: the metric stays regular, and the weights
      # of the next classifier have no part there.
      inside_DD = u_DR @ u_DR.T @ zz_DD @ u_DR @ u_DR.T
      zz_DD = without(without(zz_DD, u_DR).T, u_DR) + inside_DD
      basis_IDR = jax.lax.dynamic_update_index_in_dim(basis_IDR, u_DR, i, 0)
      return i + 1, without(z_ND, u_DR), zz_DD, basis_IDR, reads, gain

    def more(state: tuple) -> Array:
      return state[-2] & (state[0] <= rounds)

    with jax.default_matmul_precision("highest"):
      # One more round than is used says whether the last still reads something.
      none_IDR = jnp.zeros((rounds + 1, D, width), r.z_ND.dtype)
      state = (jnp.int32(0), r.z_ND, m.zz_DD, none_IDR, jnp.bool_(True), m.n)
      _, _, _, basis_IDR, reads, gain = jax.lax.while_loop(more, one, state)
    basis_DR = basis_IDR.transpose(1, 0, 2).reshape(D, -1)
    # What is not finite is no "reads nothing": whoever fits looks for it.
    basis_DR = jnp.where(jnp.isfinite(gain), basis_DR, jnp.nan)
    return _affine.orthogonal(raw.mean_D, sd_D, basis_DR, reads)

  return Eraser(solve, _affine.apply)
