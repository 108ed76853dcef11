"""Erases a concept from activations: the way in from NumPy."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ovl import erasure as fitting
from ovl import rng, stats
from ovl.concepts import Concept, as_long, attributes, coded, taken
from ovl.eraser.fitted import FittedEraser, rows_of
from ovl.load import load
from ovl.types import BadInput, Eraser, Erasure, Kind

WRITES = 0.05  # share of what there is to know: above that a warning says so


def erase(
  z: Any,
  s: Any,
  method: str | Eraser = "leace",
  *,
  kind: Kind | Mapping[str, Kind] | None = None,
  seed: int = 0,
  **settings: Any,
) -> FittedEraser:
  """Fits what removes a concept from a representation: `erase(z, s)(z)`.

  Args:
    z: `[N, D]` activations, or `[S, N, D]` those of S models for the same rows: an
      eraser each, in one batch.
    s: `[N]` classes or quantities (text is classes; of whole numbers `ovl.columns` has
      the rule), `[N, M]` floats, another representation, or `{name: column}` or a table
      for several attributes at once. Rows with a missing value are left out.
    method: a file of `ovl/erasers`, any other file or module with `eraser()`, or an
      `ovl.Eraser`.
    kind: "discrete" or "continuous", or `{name: kind}`, where the rule is not what is
      meant.
    seed: of the randomness of methods that have any.
    **settings: the method's own.

  Returns:
    A `FittedEraser`; what it keeps out, and from whom, the method's docstring says.

  Raises:
    BadInput: unknown method or setting, shapes that do not fit, non-finite z, an
      attribute that is constant or that the method does not take, too few rows.
  """
  name = "" if isinstance(method, Eraser) else method
  eraser: Eraser = load("erasers", method, **settings)
  kinds = {"s": kind} if isinstance(kind, str) else dict(kind or {})
  rows, given = rows_of(z), attributes(s, kinds)
  if unknown := kinds.keys() - given.keys():
    raise BadInput(f"kind names {unknown.pop()!r}, which s has not: {', '.join(given)}")
  tokens = f", read as [models, N, D]; of tokens give z.reshape(-1, {rows.shape[-1]})"
  as_long(given, rows.shape[-2], tokens if rows.ndim == 3 else "")
  known_N = np.logical_and.reduce([attribute.known for attribute in given.values()])
  told = tuple(taken(eraser, name, k, a, known_N) for k, a in given.items())
  if len(told) > 1 and not eraser.several:
    raise BadInput(f"method={name!r} erases one attribute; s has {', '.join(given)}")
  s_NM = np.concatenate([coded(given[c.name], c) for c in told], 1)
  z_SND = np.asarray(rows if rows.ndim == 3 else rows[None])
  many = (np.broadcast_to(x, (len(z_SND), *x.shape)) for x in (s_NM, known_N))
  s_SNM, mask_SN = (x.astype(np.float32) for x in many)
  key = rng.stream(jax.random.key(seed), "erase")
  made = fitting.fit(eraser, z_SND, s_SNM, mask_SN, key, name or "the eraser")
  _warn(name or "the eraser", eraser, made, (z_SND, s_SNM, mask_SN), told, seed)
  if rows.ndim == 2:
    made = made._replace(arrays={name: x[0] for name, x in made.arrays.items()})
  return FittedEraser(name, settings, told, made)


def _warn(
  name: str,
  eraser: Eraser,
  made: Erasure,
  rows: tuple,
  told: tuple[Concept, ...],
  seed: int,
) -> None:
  """What a person must know of an eraser, by measured numbers."""
  if made.dropped:
    warnings.warn(
      f"{name}: {made.dropped} directions that carry the concept are below tolerance or "
      "beyond rank, and stay",
      stacklevel=3,
    )
  idle_S = made.arrays["removed"] == 0
  if idle_S.any() and (nats := fitting.linear(*(x[idle_S] for x in rows)).max()) > 0:
    warnings.warn(
      f"{name} removed nothing, and a linear reader of these rows reads {nats:.3f} nats "
      "more than noise would",
      stacklevel=3,
    )
  if not eraser.oracle:
    return
  nats = float(fitting.written(eraser, rows, seed).max())
  share = -np.expm1(-2 * nats)
  if len(told) == 1 and told[0].kind == "discrete":
    codes = rows[1][0][rows[2][0] > 0].argmax(1)
    share = nats / stats.entropy(codes, len(told[0].labels))
  if share > WRITES:
    warnings.warn(
      f"{name} writes the concept into rows: fitted to half of these with the concept "
      f"shuffled, it wrote {nats:.3f} nats ({share:.0%} of what there is) into the other "
      "half: give it more rows or fewer columns, or a method that does not read the "
      "concept of the row",
      stacklevel=3,
    )
