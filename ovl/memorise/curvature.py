r"""What a network would be without some examples, to first order in its curvature.

Linear systems :math:`(H + \lambda I) h = g` say how far they are solved: the residual
:math:`|(H + \lambda I) h - g| / |g|` and whether it is small enough.

References:
  Koh and Liang (2017), https://arxiv.org/abs/1703.04730; Basu, You and Feizi (2020),
  https://arxiv.org/abs/1911.00418 (groups); Agarwal, Bullins and Hazan (2017),
  https://arxiv.org/abs/1602.03943 (LiSSA).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ovl.types import BadInput, Model, Params

TOLERANCE = 1e-3  # of a residual
Product = Callable[[Float[Array, " d"]], Float[Array, " d"]]


class Solved(NamedTuple):
  """An answer h to (H + damping I) h = g.

  Attributes:
    direction: h.
    residual: |(H + damping I) h - g| / |g|.
    converged: whether that is at most the tolerance.
  """

  direction: Array
  residual: Array
  converged: Array


def hessian(loss: Callable[[Array], Array], at: Array) -> Product:
  """v -> H v of a function of a flat vector."""
  return lambda v: jax.jvp(jax.grad(loss), (at,), (v,))[1]


def gauss_newton(
  outputs: Callable[[Array], Array], at: Array, loss: Callable[[Array], Array]
) -> Product:
  """v -> J' H_out J v: never negative where the loss is convex in the outputs."""

  def product(v: Array) -> Array:
    out, forward = jax.jvp(outputs, (at,), (v,))
    bent = jax.jvp(jax.grad(loss), (out,), (forward,))[1]
    return jax.vjp(outputs, at)[1](bent)[0]

  return product


def _answer(
  product: Product, g: Array, damping: float, h: Array, tolerance: float
) -> Solved:
  left = jnp.linalg.norm(product(h) + damping * h - g) / jnp.linalg.norm(g)
  return Solved(h, left, left <= tolerance)


def cg(
  product: Product, g: Array, damping: float, steps: int = 200, tolerance: float = TOLERANCE
) -> Solved:
  """Conjugate gradients; H must have no eigenvalue below -damping.

  Args:
    product: v -> H v.
    g: right side.
    damping: added to every eigenvalue.
    steps: at most.
    tolerance: of the residual.
  """
  damped = lambda v: product(v) + damping * v  # noqa: E731
  h, _ = jax.scipy.sparse.linalg.cg(damped, g, tol=0.5 * tolerance, maxiter=steps)
  return _answer(product, g, damping, h, tolerance)


def lissa(
  product: Product,
  g: Array,
  damping: float,
  scale: float,
  steps: int = 2000,
  tolerance: float = TOLERANCE,
) -> Solved:
  r"""Neumann series :math:`h \leftarrow g + h - (H h + \lambda h) / scale`, over `scale`.

  It ends at :math:`(H + \lambda I)^{-1} g` where `scale` is above the largest eigenvalue;
  without the last division it would be `scale` times as long.

  Args:
    product: v -> H v.
    g: right side.
    damping: lambda.
    scale: above the largest eigenvalue of H + lambda I.
    steps: of the series.
    tolerance: of the residual.
  """
  step = lambda i, h: g + h - (product(h) + damping * h) / scale  # noqa: E731
  h = jax.lax.fori_loop(0, steps, step, g) / scale
  return _answer(product, g, damping, h, tolerance)


class Removed(NamedTuple):
  """Parameters without a group of examples, to first order, and how well solved."""

  params: Params
  residual: float
  converged: bool


def remove(
  model: Model,
  params: Params,
  state: Params,
  data: tuple[np.ndarray, np.ndarray],
  group_N: np.ndarray,
  damping: float = 0.01,
  way: Literal["cg", "lissa"] = "cg",
  l2: float = 0.0,
  scale: float = 100.0,
  steps: int = 200,
  tolerance: float = TOLERANCE,
) -> Removed:
  r"""Takes a group of examples out of a trained network by one Newton-like step.

  .. math:: \theta + \frac{1}{(1 - p) N} (G + (\lambda_2 + \lambda) I)^{-1}
            \sum_{z \in S} (\nabla\ell(z) + \lambda_2 \theta), \quad p = |S| / N

  G is the Gauss-Newton matrix of the mean loss, and every example bears its part of the
  penalty.

  Args:
    model: the network.
    params: trained.
    state: likewise.
    data: inputs and classes of all N training examples.
    group_N: which of them go.
    damping: lambda.
    way: "cg", or "lissa" with `scale`.
    l2: penalty of training.
    scale: of LiSSA, above the largest eigenvalue.
    steps: of the solver.
    tolerance: of the residual.

  Raises:
    BadInput: nobody is in the group, or everybody.
  """
  group = np.asarray(group_N, bool)
  if not group.any() or group.all():
    raise BadInput(
      f"{group.sum()} of {len(group)} examples are to go: expected some, not all"
    )
  if way not in ("cg", "lissa"):
    raise BadInput(f"way={way!r}: expected cg or lissa")
  flat, back = ravel_pytree(params)
  (x_N, y_N), p = jax.tree.map(jnp.asarray, data), group.mean()

  def solved(flat: Array) -> Solved:
    logits = lambda theta: model.apply(back(theta), state, x_N)[0]  # noqa: E731
    each = lambda out: optax.softmax_cross_entropy_with_integer_labels(out, y_N)  # noqa: E731

    def total(theta: Array) -> Array:
      of_each = each(logits(theta)) + 0.5 * l2 * jnp.square(theta).sum()
      return (of_each * group).mean()

    product = gauss_newton(logits, flat, lambda out: each(out).mean())
    g, extra = jax.grad(total)(flat) / (1 - p), l2 + damping
    if way == "lissa":
      return lissa(product, g, extra, scale, steps, tolerance)
    return cg(product, g, extra, steps, tolerance)

  found = jax.jit(solved)(flat)
  return Removed(back(flat + found.direction), float(found.residual), bool(found.converged))
