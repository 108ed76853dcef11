"""Erases a concept from activations, and inside a network."""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ovl import erasure as fitting
from ovl import inputs, rng, stats
from ovl.chain import run
from ovl.concepts import Concept, as_long, attributes, coded, concept, taken
from ovl.load import load, nearest
from ovl.types import BadInput, Eraser, Erasure, Kind, Model, Params, Stage

FORMAT = 2
UNITS = ("offset_D", "scale")  # kept in float64
WRITES = 0.05  # share of what there is to know: above that a warning says so


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
    rows = _rows(z, any_shape=True)
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

  def save(self, path: str | pathlib.Path) -> None:
    """Writes an npz: the arrays, and a header in JSON; nothing is pickled."""
    if not self.method:
      raise BadInput("an eraser without a name cannot be saved: nobody could find it")
    concepts = [c._asdict() for c in self.concepts]
    about = {"format": FORMAT, "method": self.method, "settings": dict(self.settings)}
    header = json.dumps({**about, "concepts": concepts})
    with open(path, "wb") as file:
      np.savez(file, header=np.array(header), **_host(self.erasure.arrays))

  @classmethod
  def load(cls, path: str | pathlib.Path) -> FittedEraser:
    """Reads what `save` wrote.

    Raises:
      BadInput: no such file, or not one that `save` wrote.
    """
    try:
      with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
      about = json.loads(str(arrays.pop("header")))
      if about["format"] != FORMAT:
        raise ValueError(f"format {about['format']}, expected {FORMAT}")
      concepts = tuple(concept(**c) for c in about["concepts"])
      eraser = load("erasers", about["method"], **about["settings"])
      held = {k: x if k in UNITS else jnp.asarray(x) for k, x in arrays.items()}
      made = Erasure(held, fitting.in_units(eraser.apply), eraser.oracle)
      out = cls(about["method"], about["settings"], concepts, made)
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
      raise BadInput(f"{path} is no eraser that ovl saved: {said}") from error
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
    method: a file of `ovl/erasers`, or an `Eraser`.
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
  eraser = method if isinstance(method, Eraser) else load("erasers", name, **settings)
  kinds = {"s": kind} if isinstance(kind, str) else dict(kind or {})
  rows, given = _rows(z), attributes(s, kinds)
  if unknown := kinds.keys() - given.keys():
    raise BadInput(f"kind names {unknown.pop()!r}, which s has not: {', '.join(given)}")
  tokens = f", read as [models, N, D]; of tokens give z.reshape(-1, {rows.shape[-1]})"
  as_long(given, rows.shape[-2], tokens if rows.ndim == 3 else "")
  known_N = np.logical_and.reduce([attribute.known for attribute in given.values()])
  told = tuple(taken(eraser, name, k, a, known_N) for k, a in given.items())
  if len(told) > 1 and not eraser.several:
    raise BadInput(f"method={name!r} erases one attribute; s has {', '.join(given)}")
  s_NM = np.concatenate([coded(given[c.name], c) for c in told], 1)
  if eraser.refuse and (wrong := eraser.refuse(s_NM[known_N].sum(0), rows.shape[-1])):
    raise BadInput(f"{name or 'the eraser'}: {wrong}")
  z_SND = np.asarray(rows if rows.ndim == 3 else rows[None])
  many = (np.broadcast_to(x, (len(z_SND), *x.shape)) for x in (s_NM, known_N))
  s_SNM, mask_SN = (x.astype(np.float32) for x in many)
  key = rng.stream(jax.random.key(seed), "erase")
  made = fitting.fit(eraser, z_SND, s_SNM, mask_SN, key)
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


def inside(model: Model, tap: str, eraser: FittedEraser | Erasure) -> Model:
  """The network with a concept erased after one of its stages.

  Args:
    model: a chain of stages.
    tap: the stage whose output is edited; of `[B, ..., C]` all but B is flattened.
    eraser: of one model, fitted on the rows of that tap.

  Returns:
    A model with the same parameters; later taps are those of the edited network.

  Raises:
    BadInput: a model that is no chain, a tap it does not have, an eraser of several
      models, or one that needs an attribute, which a network is not given.
  """
  erasure = eraser.erasure if isinstance(eraser, FittedEraser) else eraser
  names = [stage.name for stage in model.stages]
  if not names:
    raise BadInput("the model is no chain of stages: it cannot be edited inside")
  if tap not in names:
    raise BadInput(f"tap={tap!r} is unknown: {nearest(tap, names)}")
  if erasure.oracle:
    raise BadInput("an oracle eraser needs the attribute, which a network is not given")
  mean_D = erasure.arrays["mean_D"]
  if mean_D.ndim != 1:
    raise BadInput(f"the eraser was fitted on {len(mean_D)} models: pick one, eraser[0]")

  def edited(stage: Stage) -> Stage:
    def apply(params: Params, state: Params, h_B: Any, **how: Any) -> tuple[Any, Params]:
      h_B, state = stage.apply(params, state, h_B, **how)
      z_BD = h_B.reshape(h_B.shape[0], -1).astype(jnp.float32)
      if z_BD.shape[1] != mean_D.shape[0]:
        raise BadInput(
          f"tap {tap!r} has {z_BD.shape[1]} columns, the eraser {mean_D.shape[0]}"
        )
      z_BD = erasure.apply(erasure.arrays, z_BD, None)
      return z_BD.reshape(h_B.shape).astype(h_B.dtype), state

    return stage._replace(apply=apply)

  stages = tuple(edited(s) if s.name == tap else s for s in model.stages)

  def apply(
    params: Params, state: Params, x_B: Any, *, key: Any = None, train: bool = False
  ) -> tuple[Any, dict[str, Any], Params]:
    taps, state = run(stages, params, state, x_B, key=key, train=train)
    return taps["logits"], taps, state

  return Model(model.init, apply, stages)


# ---- programs ------------------------------------------------------------------------


@functools.partial(jax.jit, static_argnums=0)
def _applied(apply: Any, arrays: dict[str, Any], z: Any, s_NM: Any) -> Any:
  if z.ndim == 2:
    return apply(arrays, z, s_NM)
  return jax.vmap(apply, (0, 0, None))(arrays, z, s_NM)


# ---- what came -----------------------------------------------------------------------


def _rows(z: Any, any_shape: bool = False) -> Any:
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


def _host(arrays: Mapping[str, Any]) -> dict[str, Any]:
  return {name: np.asarray(x) for name, x in arrays.items()}
