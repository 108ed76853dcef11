"""Kernel LEACE: linear erasure in the space of a kernel, and the way back from it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ovl import kernels
from ovl.erasers import _affine
from ovl.erasers._moments import moments, scales
from ovl.types import BadInput, Eraser


def eraser(
  landmarks: int = 128, rounds: int = 30, steps: int = 20, bandwidth: float | None = None
) -> Eraser:
  """LEACE of Nystrom features of an RBF kernel with a pre-image, again and again.

      f(z) = K_mm^-1/2 k(landmarks, z),   z <- argmin_x |f(x) - LEACE(f(z))|^2

  The argmin is sought by gradient descent from z. LEACE(f(z)) is in general no feature
  vector of any x, so one round hides little; after some tens little is left to LEACE in
  the features of the rows as they are then. A last LEACE of the rows themselves makes
  that, of those it was fitted on, no linear predictor with a convex loss beats a
  constant.

  What it cannot guarantee: anything about non-linear readers. An RBF reader of this
  bandwidth, and often a boosted tree, comes near to chance on an exclusive or or a ring;
  what is hidden from one kernel is not hidden from another, nor from a network. Audit
  what is left. Twice is not once.

  Args:
    landmarks: known rows, drawn at random, that span the features.
    rounds: of erasing and going back.
    steps: of the descent; a row takes `4 rounds * steps * landmarks * D` operations.
    bandwidth: the standard deviation of the kernel, in standard deviations of the
      columns; None: the median distance of rows over the square root of 2.

  Returns:
    An eraser of classes, quantities and vectors, several at once.

  Raises:
    BadInput: a setting that is not positive.

  References:
    Ravfogel, Vargas, Goldberg and Cotterell (2022), "Adversarial concept erasure in
    kernel space", https://arxiv.org/abs/2201.12191; Mika et al. (1998), "Kernel PCA and
    de-noising in feature spaces", for pre-images. The rounds are ours.
  """
  if min(landmarks, rounds, steps) < 1 or (bandwidth is not None and bandwidth <= 0):
    raise BadInput(
      f"landmarks={landmarks}, rounds={rounds}, steps={steps}, bandwidth={bandwidth}: "
      "expected positive numbers"
    )

  def solve(given: tuple[Array, Array, Array], key: PRNGKeyArray) -> dict[str, Array]:
    z_ND, s_NM, mask_N = given
    with jax.default_matmul_precision("highest"):
      m = moments(*given)
      mean_D, (sd_D, _) = m.mean_D, scales(m)
      x_ND = jnp.where(mask_N[:, None] > 0, (z_ND - mean_D) / sd_D, 0.0)
      if bandwidth is None:
        variance = kernels.median_squared(x_ND, mask_N) / 2
      else:
        variance = jnp.asarray(bandwidth**2, z_ND.dtype)
      # Known rows first, in random order; masked ones, at the mean, only where too few.
      order_N = jnp.argsort(jax.random.uniform(key, mask_N.shape) - mask_N)
      points_PD = x_ND[order_N[: min(landmarks, len(mask_N))]]
      size_P, turn_PP = jnp.linalg.eigh(_rbf(points_PD, points_PD, variance))
      floor = 1e-5 * size_P[-1]
      scale_P = jnp.where(size_P > floor, 1 / jnp.sqrt(jnp.maximum(size_P, floor)), 0.0)
      space = {
        "points_PD": points_PD,
        "whiten_PP": turn_PP * scale_P,
        "variance": variance,
      }

      def one(x_ND: Array, _: None) -> tuple[Array, dict[str, Array]]:
        seen = moments(_features(space, x_ND), s_NM, mask_N)
        inner = _affine.least_squares(seen)
        return _back(space, inner, x_ND, steps), inner

      x_ND, inner = jax.lax.scan(one, x_ND, None, rounds)
      outer = _affine.least_squares(moments(x_ND, s_NM, mask_N))
    found = {"mean_D": mean_D, "sd_D": sd_D, **space}
    found |= {"removed": outer["removed"], "dropped": jnp.int32(0)}
    found |= {f"inner_{name}": x for name, x in inner.items()}
    return found | {f"outer_{name}": x for name, x in outer.items()}

  def apply(arrays: dict[str, Array], z_ND: Array, s_NM: Array | None = None) -> Array:
    def one(x_ND: Array, inner: dict[str, Array]) -> tuple[Array, None]:
      return _back(arrays, inner, x_ND, steps), None

    with jax.default_matmul_precision("highest"):
      inner = _part(arrays, "inner_")
      x_ND = (z_ND - arrays["mean_D"]) / arrays["sd_D"]
      x_ND = _affine.apply(_part(arrays, "outer_"), jax.lax.scan(one, x_ND, inner)[0])
      return arrays["mean_D"] + x_ND * arrays["sd_D"]

  return Eraser(solve, apply, attribute=("discrete", "continuous", "vector"))


def _back(
  space: dict[str, Array], inner: dict[str, Array], x_ND: Array, steps: int
) -> Float[Array, "n d"]:
  """Rows whose features are nearer to the erased ones."""
  goal_NP = _affine.apply(inner, _features(space, x_ND))

  def miss(x_ND: Array) -> Array:
    return 0.5 * jnp.square(_features(space, x_ND) - goal_NP).sum()

  def descend(_: Array, x_ND: Array) -> Array:
    # The curvature of |f(x)|^2 / 2 is at most about 1 / variance.
    return x_ND - 0.5 * space["variance"] * jax.grad(miss)(x_ND)

  return jax.lax.fori_loop(0, steps, descend, x_ND)


def _part(arrays: dict[str, Array], prefix: str) -> dict[str, Array]:
  return {k.removeprefix(prefix): x for k, x in arrays.items() if k.startswith(prefix)}


def _rbf(x_ND: Array, y_PD: Array, variance: Array) -> Float[Array, "n p"]:
  square_NP = jnp.square(x_ND).sum(1)[:, None] + jnp.square(y_PD).sum(1) - 2 * x_ND @ y_PD.T
  return jnp.exp(-jnp.maximum(square_NP, 0.0) / (2 * variance))


def _features(arrays: dict[str, Array], x_ND: Array) -> Float[Array, "n p"]:
  return _rbf(x_ND, arrays["points_PD"], arrays["variance"]) @ arrays["whiten_PP"]
