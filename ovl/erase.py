"""Erases a concept from activations, and inside a network."""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ovl import columns, rng
from ovl.chain import run
from ovl.load import load, nearest
from ovl.types import Attribute, BadInput, Eraser, Erasure, Kind, Model, Params, Stage

FORMAT = 1
MIN_ROWS = 10


class Concept(NamedTuple):
  """How one attribute becomes columns: as it was where the eraser was fitted.

  Attributes:
    name: of the attribute; "s" where there is one without a name.
    kind: "discrete", "continuous" or "vector".
    labels: classes, in the order of the columns.
    mean: of the column of a quantity, of each column of a vector.
    scale: their standard deviations.
  """

  name: str
  kind: Kind
  labels: tuple[str, ...] = ()
  mean: tuple[float, ...] = ()
  scale: tuple[float, ...] = ()


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
      z: `[N, D]`, or `[S, N, D]` where it was fitted on S models.
      s: the attribute of the rows, as it was given to `ovl.erase`; read by oracle
        methods only.

    Returns:
      float32 of the shape of z; a JAX array where z is one, else a NumPy array.

    Raises:
      BadInput: another shape, or an attribute that is missing, unknown or not given.
    """
    rows = _rows(z)
    mean = self.erasure.arrays["mean_D"]
    if rows.ndim != mean.ndim + 1 or (*rows.shape[:-2], rows.shape[-1]) != mean.shape:
      fitted = ", ".join(map(str, (*mean.shape[:-1], "N", mean.shape[-1])))
      raise BadInput(f"z has shape {list(rows.shape)}; this eraser takes [{fitted}]")
    s_NM = self._columns(s, rows.shape[-2]) if self.erasure.oracle else None
    out = _applied(self.erasure.apply, self.erasure.arrays, rows, s_NM)
    return out if isinstance(z, jax.Array) else np.asarray(out)

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
      concepts = tuple(_concept(**c) for c in about["concepts"])
      eraser = load("erasers", about["method"], **about["settings"])
      made = Erasure({k: jnp.asarray(x) for k, x in arrays.items()}, eraser.apply)
      made = made._replace(oracle=eraser.oracle)
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
    if bad := [k for k, x in arrays.items() if not jnp.isfinite(x).all()]:
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
    given = _attributes(s, kinds)
    _as_long(given, rows)
    for name, attribute in given.items():
      if missing := int((~attribute.known).sum()):
        raise BadInput(f"{name} is missing in {missing} rows, which cannot be erased then")
    if set(given) != set(kinds):
      raise BadInput(f"s has {', '.join(given)}; fitted on {', '.join(kinds)}")
    return np.concatenate([_coded(given[c.name], c) for c in self.concepts], 1)


def erase(
  z: Any, s: Any, method: str | Eraser = "leace", *, seed: int = 0, **settings: Any
) -> FittedEraser:
  """Fits what removes a concept from a representation: `erase(z, s)(z)`.

  Args:
    z: `[N, D]` activations, or `[S, N, D]` those of S models for the same rows: an
      eraser each, in one batch.
    s: `[N]` classes or quantities (integers and text are classes), `[N, M]` floats,
      another representation, or `{name: column}` for several attributes at once. Rows
      with a missing value are left out.
    method: a file of `ovl/erasers`, or an `Eraser`.
    seed: of the randomness of methods that have any.
    **settings: the method's own.

  Returns:
    A `FittedEraser`; what it keeps out, and from whom, the method's docstring says.

  Raises:
    BadInput: unknown method or setting, shapes that do not fit, non-finite z, an
      attribute that is constant or that the method does not take, too few rows.
  """
  name = "" if isinstance(method, Eraser) else method
  eraser = method if isinstance(method, Eraser) else load("erasers", method, **settings)
  rows, given = _rows(z), _attributes(s, {})
  _as_long(given, rows.shape[-2])
  known_N = np.logical_and.reduce([attribute.known for attribute in given.values()])
  concepts = tuple(_taken(eraser, name, k, a, known_N) for k, a in given.items())
  if len(concepts) > 1 and not eraser.several:
    raise BadInput(f"method={name!r} erases one attribute; s has {', '.join(given)}")
  s_NM = np.concatenate([_coded(given[c.name], c) for c in concepts], 1)
  key = rng.stream(jax.random.key(seed), "erase")
  arrays = _fitted(eraser, rows, s_NM, jnp.asarray(known_N, jnp.float32), key)
  made = Erasure(arrays, eraser.apply, eraser.oracle)
  if made.dropped:
    warnings.warn(
      f"{name or 'the eraser'}: {made.dropped} directions that carry the concept are below "
      "tolerance or beyond rank, and stay",
      stacklevel=2,
    )
  return FittedEraser(name, settings, concepts, made)


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


@functools.partial(jax.jit, static_argnames="eraser")
def _fitted(eraser: Eraser, z: Any, s_NM: Any, mask_N: Any, key: Any) -> dict[str, Any]:
  if z.ndim == 2:
    return eraser.arrays(z, s_NM, mask_N, key)

  def one(of_model: tuple[Any, Any]) -> dict[str, Any]:
    return eraser.arrays(of_model[0], s_NM, mask_N, of_model[1])

  # Moments are batched; what iterates over rows runs model by model and stops by model.
  over = jax.lax.map if eraser.statistics is None else lambda f, x: jax.vmap(f)(x)
  return over(one, (z, jax.random.split(key, len(z))))


@functools.partial(jax.jit, static_argnums=0)
def _applied(apply: Any, arrays: dict[str, Any], z: Any, s_NM: Any) -> Any:
  if z.ndim == 2:
    return apply(arrays, z, s_NM)
  return jax.vmap(apply, (0, 0, None))(arrays, z, s_NM)


# ---- what came -----------------------------------------------------------------------


def _rows(z: Any) -> Any:
  """`[N, D]` or `[S, N, D]`, float32 and finite."""
  out = z if isinstance(z, jax.Array) else np.asarray(z)
  if out.dtype.kind not in "biuf" and out.dtype != jnp.bfloat16:
    raise BadInput(f"z has type {out.dtype}, expected numbers")
  if out.ndim not in (2, 3) or 0 in out.shape:
    raise BadInput(f"z has shape {list(out.shape)}, expected [N, D] or [models, N, D]")
  out = out.astype(np.float32)
  if not isinstance(out, jax.core.Tracer):
    xp = jnp if isinstance(out, jax.Array) else np
    if bad := int((~xp.isfinite(out)).sum()):
      raise BadInput(f"z has {bad} values that are not finite in float32")
  return out


def _attributes(s: Any, kinds: Mapping[str, Kind]) -> dict[str, Attribute]:
  """Name -> attribute of one column, a matrix, or several of either."""
  if isinstance(s, Mapping) and not s:
    raise BadInput("s is empty, expected {name: column}")
  named = s if isinstance(s, Mapping) else {"s": s}
  return {name: _attribute(x, name, kinds.get(name)) for name, x in named.items()}


def _attribute(s: Any, name: str, kind: Kind | None) -> Attribute:
  if isinstance(s, Attribute):
    return s
  raw = np.asarray(s) if hasattr(s, "__array__") else np.array(s, object)
  if raw.ndim < 2:
    return columns.encode(s, name, None if kind == "vector" else kind)
  if raw.ndim > 2:
    raise BadInput(f"{name} has shape {list(raw.shape)}, expected [N] or [N, M]")
  try:
    values = np.asarray(raw, np.float64)
  except (TypeError, ValueError):
    raise BadInput(f"{name} has {raw.shape[1]} columns that are no numbers") from None
  if np.isinf(values).any():
    raise BadInput(f"{name} has infinite values; expected finite or missing")
  indicators = np.isin(values[~np.isnan(values)], (0, 1)).all()
  if raw.dtype.kind in "iu" and not indicators:
    raise BadInput(
      f"{name} has {raw.shape[1]} columns of integers, which are codes and no quantities; "
      "expected {name: column} for several attributes, or floats"
    )
  return Attribute(values, "vector")


def _as_long(given: Mapping[str, Attribute], rows: int) -> None:
  for name, attribute in given.items():
    if len(attribute.values) != rows:
      raise BadInput(f"{name} has {len(attribute.values):,} rows and z {rows:,}")


def _taken(
  eraser: Eraser, method: str, name: str, attribute: Attribute, known_N: np.ndarray
) -> Concept:
  """The concept, if the method takes it and there is something to erase."""
  kind, values = attribute.kind, attribute.values[known_N]
  if kind not in eraser.attribute:
    takes = " or ".join(eraser.attribute)
    raise BadInput(f"method={method!r} takes {takes} attributes; {name} is {kind}")
  if len(values) < MIN_ROWS:
    raise BadInput(
      f"{len(values)} rows have a known {name}: too few, expected at least {MIN_ROWS}"
    )
  if not (values != values[0]).any():
    raise BadInput(f"{name} is constant: there is nothing to erase")
  if kind == "discrete":
    if len(attribute.labels) > max(20, len(values) // 10):
      raise BadInput(
        f"{name} has {len(attribute.labels):,} classes in {len(values):,} rows: an "
        "identity is no attribute; floats are meant where it is a quantity"
      )
    return Concept(name, kind, attribute.labels)
  values_NM = values.reshape(len(values), -1)
  spread = values_NM.std(0)
  return Concept(
    name,
    kind,
    mean=tuple(values_NM.mean(0).tolist()),
    scale=tuple(np.where(spread > 0, spread, 1.0).tolist()),
  )


def _coded(attribute: Attribute, concept: Concept) -> np.ndarray:
  """Columns `[N, M]`, float32; 0 where the attribute is unknown."""
  if concept.kind != attribute.kind:
    raise BadInput(f"{concept.name} is {attribute.kind}; it was {concept.kind} at fitting")
  if concept.kind == "discrete":
    at = {label: i for i, label in enumerate(concept.labels)}
    for label in attribute.labels:
      if label not in at:
        known = nearest(label, list(concept.labels))
        raise BadInput(f"{concept.name} has the class {label!r}, not seen before: {known}")
    # One more row, of zeros, for the code -1.
    rows = np.eye(len(at), dtype=np.float32)[[at[label] for label in attribute.labels]]
    return np.concatenate([rows, np.zeros((1, len(at)), np.float32)])[attribute.values]
  values_NM = attribute.values.reshape(len(attribute.values), -1)
  if values_NM.shape[1] != len(concept.mean):
    raise BadInput(
      f"{concept.name} has {values_NM.shape[1]} columns; at fitting {len(concept.mean)}"
    )
  scaled_NM = (values_NM - np.array(concept.mean)) / np.array(concept.scale)
  return np.where(attribute.known[:, None], scaled_NM, 0.0).astype(np.float32)


def _concept(
  name: str, kind: Kind, labels: list[str], mean: list[float], scale: list[float]
) -> Concept:
  return Concept(name, kind, tuple(labels), tuple(mean), tuple(scale))


def _host(arrays: Mapping[str, Any]) -> dict[str, Any]:
  return {name: np.asarray(x) for name, x in arrays.items()}
