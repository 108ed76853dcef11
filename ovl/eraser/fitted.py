"""A fitted eraser: applied to rows, put inside a network, saved and read back."""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ovl import erasure as fitting
from ovl import inputs
from ovl.concepts import Concept, as_long, attributes, coded, concept
from ovl.load import load, names
from ovl.types import BadInput, Eraser, Erasure, Model

FORMAT = 2
UNITS = ("offset_D", "scale")  # kept in float64


@dataclasses.dataclass(frozen=True, eq=False)
class FittedEraser:
  """Removes a concept from rows: `eraser(z)`; of an oracle method `eraser(z, s)`.

  Attributes:
    method: its name among `ovl/erasers`.
    settings: of the method.
    concepts: what it erases.
    erasure: arrays and the pure function that uses them, for programs of your own. Of
      `[S, N, D]` activations the arrays lead with S.
  """

  method: str
  settings: Mapping[str, Any]
  concepts: tuple[Concept, ...]
  erasure: Erasure

  def __call__(self, z: Any, s: Any = None) -> Any:
    """r(z), row by row; traced where z is.

    Args:
      z: `[N, D]`, or `[S, N, D]` where it was fitted on S models. An eraser of one model
        that needs no attribute takes any `[..., D]`, such as tokens.
      s: the attribute of the rows, as it was given to `ovl.erase`; read by oracle
        methods only.

    Returns:
      Of the shape of z, float64 where z is, else float32; a JAX array where z is one,
      else a NumPy array.

    Raises:
      BadInput: another shape, or an attribute that is missing, unknown or not given.
    """
    rows = rows_of(z, any_shape=True)
    shape, arrays = rows.shape, self.erasure.arrays
    lead, D = arrays["mean_D"].shape[:-1], arrays["mean_D"].shape[-1]
    free = not lead and not self.erasure.oracle
    expected = (*lead, *shape[-2:-1], D)
    if rows.ndim < 2 or (rows.shape[-1:] != (D,) if free else rows.shape != expected):
      fitted = ", ".join(map(str, (*lead, "N", D)))
      how = f": z.reshape(-1, {D})" if not lead and shape[-1:] == (D,) else ""
      raise BadInput(f"z has shape {list(shape)}; this eraser takes [{fitted}]{how}")
    if free:
      rows = rows.reshape(-1, D)
    s_NM = self._columns(s, rows.shape[-2]) if self.erasure.oracle else None
    if isinstance(rows, jax.Array):
      out = _applied(self.erasure.apply, arrays, rows.astype(jnp.float32), s_NM)
      return out.reshape(shape)
    wide = rows.dtype == np.float64
    if not lead:
      arrays, rows = {name: x[None] for name, x in arrays.items()}, rows[None]
    s_SNM = None if s_NM is None else np.broadcast_to(s_NM, (len(rows), *s_NM.shape))
    edited = fitting.on_host(self.erasure._replace(arrays=arrays), rows, s_SNM)
    return edited.reshape(shape).astype(np.float64 if wide else np.float32)

  def inside(self, model: Model, tap: str) -> Model:
    """The network with the concept erased after one of its stages.

    Args:
      model: a chain of stages.
      tap: the stage whose output is edited; of `[B, ..., C]` all but B is flattened.

    Returns:
      A model with the same parameters; later taps are those of the edited network.

    Raises:
      BadInput: a model that is no chain, a tap it does not have, an eraser of several
        models, or one that needs an attribute, which a network is not given.
    """
    return fitting.inside(model, tap, self.erasure)

  @property
  def removed(self) -> int:
    """How many directions are erased; of several models the fewest."""
    return self.erasure.removed

  def __getitem__(self, model: int) -> FittedEraser:
    """The eraser of one of several models."""
    if self.erasure.arrays["mean_D"].ndim == 1:
      raise BadInput("this eraser was fitted on one model: there is nothing to pick from")
    arrays = {name: x[model] for name, x in self.erasure.arrays.items()}
    return dataclasses.replace(self, erasure=self.erasure._replace(arrays=arrays))

  def __reduce__(self) -> tuple[Any, ...]:
    """By its name and arrays, for copies and other processes."""
    self._named()
    return _found, (self.method, self.settings, self.concepts, _host(self.erasure.arrays))

  def _named(self) -> None:
    if not self.method:
      raise BadInput("an eraser without a name cannot be saved: nobody could find it")

  def save(self, path: str | pathlib.Path) -> None:
    """Writes an npz: the arrays, and a header in JSON; nothing is pickled."""
    self._named()
    concepts = [c._asdict() for c in self.concepts]
    about = {"format": FORMAT, "method": self.method, "settings": dict(self.settings)}
    header = json.dumps({**about, "concepts": concepts})
    with open(path, "wb") as file:
      np.savez(file, header=np.array(header), **_host(self.erasure.arrays))

  @classmethod
  def load(cls, path: str | pathlib.Path, method: str = "") -> FittedEraser:
    """Reads what `save` wrote.

    Args:
      path: of the file.
      method: of an eraser from outside the package, as it was named then: no file says
        which code is run.

    Raises:
      BadInput: no such file, or not one that `save` wrote.
    """
    try:
      with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
      about = json.loads(str(arrays.pop("header")))
      if about["format"] != FORMAT:
        raise ValueError(f"format {about['format']}, expected {FORMAT}")
      name = about["method"]
      if name not in (*names("erasers"), method):
        raise ValueError(
          f"{name!r} is not of the package; if you trust it, give method={name!r}"
        )
      concepts = tuple(concept(**c) for c in about["concepts"])
      out = _found(name, about["settings"], concepts, arrays)
      out._fits_together()
    except FileNotFoundError as error:
      raise BadInput(f"{path}: no such file") from error
    except (
      OSError,
      ValueError,
      TypeError,
      KeyError,
      AttributeError,
      IndexError,
      EOFError,
      zipfile.BadZipFile,
    ) as error:
      said = str(error).split("\n")[0]
      raise BadInput(f"{path}: no eraser can be made of it: {said}") from error
    return out

  def _fits_together(self) -> None:
    """The arrays are finite, and such as the method works with."""
    arrays = self.erasure.arrays
    if bad := [k for k, x in arrays.items() if not np.isfinite(x).all()]:
      raise ValueError(f"{', '.join(bad)} not finite")
    shape = arrays["mean_D"].shape
    width = sum(len(c.labels) or len(c.mean) for c in self.concepts)
    z = jax.ShapeDtypeStruct((*shape[:-1], 2, shape[-1]), jnp.float32)
    s = jax.ShapeDtypeStruct((2, width), jnp.float32) if self.erasure.oracle else None
    out = jax.eval_shape(functools.partial(_applied, self.erasure.apply), arrays, z, s)
    if out.shape != z.shape:
      raise ValueError(f"it makes {out.shape} of {z.shape}")

  def _columns(self, s: Any, rows: int) -> np.ndarray:
    if s is None:
      raise BadInput(
        f"method={self.method!r} needs the attribute of the rows: eraser(z, s)"
      )
    kinds = {c.name: c.kind for c in self.concepts}
    given = attributes(s, kinds)
    as_long(given, rows)
    for name, attribute in given.items():
      if missing := int((~attribute.known).sum()):
        raise BadInput(f"{name} is missing in {missing} rows, which cannot be erased then")
    if set(given) != set(kinds):
      raise BadInput(f"s has {', '.join(given)}; fitted on {', '.join(kinds)}")
    return np.concatenate([coded(given[c.name], c) for c in self.concepts], 1)


# ---- programs ------------------------------------------------------------------------


@functools.partial(jax.jit, static_argnums=0)
def _applied(apply: Any, arrays: dict[str, Any], z: Any, s_NM: Any) -> Any:
  if z.ndim == 2:
    return apply(arrays, z, s_NM)
  return jax.vmap(apply, (0, 0, None))(arrays, z, s_NM)


# ---- what came -----------------------------------------------------------------------


def rows_of(z: Any, any_shape: bool = False) -> Any:
  """`[N, D]` or `[S, N, D]`: finite numbers, float64 or of a JAX array's own type."""
  traced = isinstance(z, jax.Array) and jnp.issubdtype(z.dtype, jnp.floating)
  out = z if traced else inputs.numbers(z, "z")
  if not any_shape and (out.ndim not in (2, 3) or 0 in out.shape):
    raise BadInput(f"z has shape {list(out.shape)}, expected [N, D] or [models, N, D]")
  if not isinstance(out, jax.core.Tracer):
    xp = jnp if isinstance(out, jax.Array) else np
    if bad := int((~xp.isfinite(out)).sum()):
      raise BadInput(f"z has {bad} values that are not finite")
  return out


def _found(
  method: str,
  settings: Mapping[str, Any],
  concepts: tuple[Concept, ...],
  arrays: Mapping[str, Any],
) -> FittedEraser:
  """A fitted eraser of its arrays, whose functions are found by the method's name."""
  eraser: Eraser = load("erasers", method, **settings)
  held = {k: x if k in UNITS else jnp.asarray(x) for k, x in arrays.items()}
  made = Erasure(held, fitting.in_units(eraser.apply), eraser.oracle)
  return FittedEraser(method, settings, concepts, made)


def _host(arrays: Mapping[str, Any]) -> dict[str, Any]:
  return {name: np.asarray(x) for name, x in arrays.items()}
