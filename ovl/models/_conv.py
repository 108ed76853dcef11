"""Convolutions that stay separate under `jax.vmap`, so that seeds cost what a loop costs.

Batching both operands of a convolution makes it a grouped one, which XLA runs several
times slower on CPU than one convolution after the other. A loop inside the program
(`scan`, `map`) is slower still; so the batch axis is unrolled here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Float


def unrolled(fun: Callable[..., Any]) -> Callable[..., Any]:
  """Gives `fun` a batching rule: on CPU one copy a lane, elsewhere the usual `vmap`.

  The fewer operations lie between two unrolled functions, the fewer arrays are stacked
  and sliced again: wrap a whole block rather than its convolution alone. The program
  grows with the axis, so it suits tens of lanes, not thousands.

  Args:
    fun: arrays `(a, b, ...) -> array`, differentiable in all of them; it closes over
      no traced value.

  Returns:
    The same function. Reverse mode works to any order and in any mix with `vmap` and
    `jit`; forward mode does not.
  """

  @custom_vmap
  def lane(*args: Array) -> Any:
    return fun(*args)

  @lane.def_vmap
  def _(size: int, batched: Sequence[bool], *args: Array) -> tuple[Any, Any]:
    if jax.default_backend() == "cpu":
      lanes = [
        lane(*(a[i] if b else a for a, b in zip(args, batched, strict=True)))
        for i in range(size)
      ]
      out = jax.tree.map(lambda *leaves: jnp.stack(leaves), *lanes)
    else:
      out = jax.vmap(fun, [0 if b else None for b in batched])(*args)
    return out, jax.tree.map(lambda _: True, out)

  # `custom_vmap` has no reverse mode of its own. The pullback runs `fun` again from its
  # inputs; inside one jit XLA merges that with the forward pass.
  def pullback(cotangent: Array, *args: Array) -> tuple[Array, ...]:
    return jax.vjp(fun, *args)[1](cotangent)

  outer = jax.custom_vjp(lambda *args: lane(*args))
  outer.defvjp(
    lambda *args: (outer(*args), args),
    lambda args, cotangent: unrolled(pullback)(cotangent, *args),
  )
  return outer


def conv(
  x_BHWC: Float[Array, "b h w c"],
  w_HWIO: Float[Array, "kh kw c o"],
  strides: tuple[int, int] = (1, 1),
  padding: str | Sequence[tuple[int, int]] = "SAME",
) -> Float[Array, "b p q o"]:
  """`out[b,p,q,o] = sum_ijc x[b, p*s+i, q*t+j, c] w[i,j,c,o]`, x padded, strides (s, t).

  Args:
    x_BHWC: images, channel last.
    w_HWIO: the kernel.
    strides: of height and width.
    padding: "SAME", "VALID" or `(before, after)` for height and width.

  Returns:
    `[B, P, Q, O]`; never a grouped convolution on CPU, whatever is batched by `vmap`.
  """
  plain = functools.partial(
    jax.lax.conv_general_dilated,
    window_strides=strides,
    padding=padding,
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )
  return unrolled(plain)(x_BHWC, w_HWIO)


def max_pool(x_BHWC: Float[Array, "b h w c"]) -> Float[Array, "b p q c"]:
  """The maximum of each 2x2 window, an odd last row or column dropped.

  Two maxima of halves: on CPU the gradient of a windowed reduction is a slow scatter.
  """
  b, h, w, c = x_BHWC.shape
  even = x_BHWC[:, : h // 2 * 2, : w // 2 * 2]
  windows = even.reshape(b, h // 2, 2, w // 2, 2, c)
  rows = jnp.maximum(windows[:, :, 0], windows[:, :, 1])
  return jnp.maximum(rows[:, :, :, 0], rows[:, :, :, 1])
