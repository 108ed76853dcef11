"""What a critic sees."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ovl.types.base import BadInput


class View(NamedTuple):
  """What a critic sees: rows of a representation and one attribute.

  Padding is part of the type, so that taps of different widths and attributes of
  different class counts share one program: padded columns of `z_ND` are 0, padded rows
  have weight 0, padded classes are False.

  Attributes:
    z_ND: the representation, float32.
    s_N: int32 codes, or float32 normal scores where the attribute is continuous, or
      float32 `[N, M]` where it is a vector; any value where `mask_N` is 0.
    mask_N: float32 row weights, 1 or 0.
    features_D: which columns exist.
    classes_K: which outputs exist; of a vector which of its M columns (padded columns
      of `s_N` are 0).
    task_N: the task label, int32 codes; inside a train step only.
    input_ND: what the network was given, flattened; inside a train step only.
  """

  z_ND: Float[Array, "n d"]
  s_N: Int[Array, " n"] | Float[Array, " n"] | Float[Array, "n m"]
  mask_N: Float[Array, " n"]
  features_D: Bool[Array, " d"]
  classes_K: Bool[Array, " k"]
  task_N: Int[Array, " n"] | None = None
  input_ND: Float[Array, "n m"] | None = None

  @classmethod
  def of(
    cls,
    z: Any,
    s: Any,
    *,
    classes: int | None = None,
    mask: Any = None,
    task: Any = None,
    input: Any = None,
  ) -> View:
    """A view of plain arrays, so that a critic is a penalty in a loop of one's own.

    Args:
      z: `[N, D]` the representation; it may be traced.
      s: `[N]` integers or bools: classes 0..K-1, -1 where unknown; `[N]` floats: a
        quantity, best standardised; `[N, M]` floats: a vector; nan where unknown.
      classes: K, which must be given where s is traced, or its batch may lack a class;
        None: counted in s.
      mask: `[N]` 1 or True for rows that count; None: all whose s is known.
      task: `[N]` task labels, for critics that need them (`Critic.needs`).
      input: `[N, ...]` what the network was given, likewise.

    Raises:
      BadInput: other shapes, text, classes that are not 0..K-1, or not known.
    """
    z_ND = jnp.asarray(z, jnp.float32)
    if z_ND.ndim != 2:
      raise BadInput(f"z has shape {list(z_ND.shape)}, expected [N, D]: z.reshape(N, -1)")
    if not isinstance(s, jax.Array) and np.asarray(s).dtype.kind not in "biuf":
      raise BadInput("s holds no numbers: np.unique(s, return_inverse=True)[1] are codes")
    s_N = jnp.asarray(s)
    N, discrete = len(z_ND), not jnp.issubdtype(s_N.dtype, jnp.floating)
    if s_N.ndim not in (1, 2) or len(s_N) != N or (discrete and s_N.ndim == 2):
      raise BadInput(f"s has shape {list(s_N.shape)} and z {list(z_ND.shape)}")
    if discrete:
      s_N, K = s_N.astype(jnp.int32), _classes(s, classes)
      known_N = s_N >= 0
    else:
      K = s_N.shape[1] if s_N.ndim == 2 else 2  # its columns; mean and log scale
      known_N = jnp.isfinite(s_N) if s_N.ndim == 1 else jnp.isfinite(s_N).all(1)
      known_N1 = known_N.reshape(N, *[1] * (s_N.ndim - 1))
      s_N = jnp.where(known_N1, s_N, 0).astype(jnp.float32)
    mask_N = known_N.astype(jnp.float32) * (1 if mask is None else jnp.asarray(mask))
    return cls(
      z_ND,
      s_N,
      mask_N,
      jnp.ones(z_ND.shape[1], bool),
      jnp.ones(K, bool),
      None if task is None else jnp.asarray(task, jnp.int32),
      None if input is None else jnp.asarray(input, jnp.float32).reshape(N, -1),
    )


def _classes(s: Any, classes: int | None) -> int:
  """K; refuses codes that are none of it where they can be looked at."""
  if isinstance(s, jax.core.Tracer):
    if classes is None:
      raise BadInput("s is traced, so its classes cannot be counted: give classes=")
    return classes
  low, high = int(np.min(s)), int(np.max(s))
  K = max(high + 1, 2) if classes is None else classes
  if low < -1 or high >= K:
    raise BadInput(f"s has the codes {low}..{high}, expected 0..{K - 1}, or -1: unknown")
  return K
