"""The one dynamic import: (kind, name, settings) -> the factory's product."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import inspect
import pathlib
import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from ovl.inputs.words import nearest as nearest
from ovl.types import BadInput, Critic, Dataset, Eraser, Mitigation, Model

T = TypeVar("T")
KINDS = {
  "datasets": "dataset",
  "models": "model",
  "critics": "critic",
  "mitigations": "mitigation",
  "erasers": "eraser",
  "releases": "release",
}
ROLES: dict[str, type] = {  # of a release: whatever can be called
  "datasets": Dataset,
  "models": Model,
  "critics": Critic,
  "mitigations": Mitigation,
  "erasers": Eraser,
}
ASKED = ("attribute", "classes")  # what a program asks of a method, whoever made it


def names(kind: str) -> list[str]:
  """Every method of a kind, found in its folder (files that start with _ are shared)."""
  package = importlib.import_module(f"ovl.{kind}")
  found = pkgutil.iter_modules(package.__path__)
  return sorted(m.name for m in found if not m.name.startswith("_"))


def tasks(name: str) -> list[str]:
  """The tasks a data set offers by name; empty where it is one."""
  return list(getattr(_module("datasets", name), "TASKS", ()))


def outside(name: str) -> bool:
  """Whether a name is of a method outside the package: a file, or a dotted module."""
  dotted = "." in name and all(part.isidentifier() for part in name.split("."))
  return name.endswith(".py") or dotted


def kind_of(name: str, kinds: Sequence[str]) -> str:
  """Which of several kinds a method is, in the package or outside of it.

  Args:
    name: as in `load`.
    kinds: of `KINDS`; the first that has the name is it.

  Raises:
    BadInput: none of them; the message names the nearest.
  """
  if not outside(name):
    every = {method: kind for kind in reversed(kinds) for method in names(kind)}
    if name not in every:
      raise BadInput(f"{name!r} is unknown: {nearest(name, list(every))}")
    return every[name]
  module = _module(kinds[0], name)
  for kind in kinds:
    if hasattr(module, KINDS[kind]):
      return kind
  wanted = " or ".join(f"{KINDS[kind]}()" for kind in kinds)
  raise BadInput(f"{name!r}: the file has no function {wanted}")


def _module(kind: str, name: str) -> Any:
  where = f"{kind}.name={name!r}"
  if not outside(name):
    if name not in names(kind):
      raise BadInput(f"{where} is unknown: {nearest(name, names(kind))}")
    return importlib.import_module(f"ovl.{kind}.{name}")
  path = pathlib.Path(name)
  if name.endswith(".py") and not path.is_file():
    raise BadInput(f"{where}: no such file")
  try:
    return run_file(path) if name.endswith(".py") else importlib.import_module(name)
  except Exception as error:
    raise BadInput(f"{where}: {type(error).__name__}: {error}") from error


def run_file(path: pathlib.Path) -> Any:
  """A module of the file's text as it is now: compiled copies go by the second."""
  digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
  name = f"ovl_outside_{digest}"
  spec = importlib.util.spec_from_file_location(name, path)
  assert spec is not None
  module = importlib.util.module_from_spec(spec)
  sys.modules[name] = module  # where dataclasses look for what annotations name
  exec(compile(path.read_bytes(), str(path), "exec"), vars(module))
  return module


def _factory(kind: str, name: str) -> Callable[..., Any]:
  factory: Callable[..., Any] | None = getattr(_module(kind, name), KINDS[kind], None)
  if factory is None:
    raise BadInput(f"{kind}.name={name!r}: the file has no function {KINDS[kind]}()")
  return factory


def defaults(kind: str | Callable[..., Any], name: str = "") -> dict[str, Any]:
  """Every setting of a settings class, or of a method, with its default.

  In place of None stands the type that is annotated (`str` where none of the plain ones).

  Raises:
    BadInput: no such method, as `load`.
  """
  factory = _factory(kind, name) if isinstance(kind, str) else kind
  found = {}
  for key, one in inspect.signature(factory).parameters.items():
    if one.kind is one.VAR_KEYWORD:
      continue
    made = getattr(factory, "__dataclass_fields__", {}).get(key)
    lazy = getattr(made, "default_factory", None)  # of a dictionary
    value = lazy() if callable(lazy) else one.default
    if value is None:
      word = str(one.annotation).partition(" ")[0]
      value = {"int": int, "float": float, "bool": bool}.get(word, str)
    found[key] = value
  return found


def _make(kind: str, name: str, settings: tuple[tuple[str, Any], ...]) -> Any:
  factory = _factory(kind, name)
  known = inspect.signature(factory).parameters
  takes_any = any(p.kind is p.VAR_KEYWORD for p in known.values())
  for key, _ in settings:
    if key not in known and not takes_any:
      raise BadInput(f"{kind} {name!r} has no setting {key!r}: {nearest(key, list(known))}")
  return factory(**dict(settings))


@functools.lru_cache(maxsize=256)
def _load(
  kind: str, name: str, settings: tuple[tuple[str, Any], ...], source: bytes
) -> Any:
  del source  # of a file: what was made of an older text is not what it makes now
  return _make(kind, name, settings)


def _given(kind: str, method: Any, settings: Mapping[str, Any]) -> Any:
  """A method that is handed over made."""
  role, one = ROLES.get(kind), KINDS[kind]
  fits = callable(method) if role is None else isinstance(method, role)
  if not fits:
    wanted = "a callable" if role is None else f"an ovl.{role.__name__}"
    raise BadInput(f"{kind}.name is a {type(method).__name__}, expected a name or {wanted}")
  for key, value in settings.items():
    if key not in ASKED:
      raise BadInput(f"{key}={value!r}: a {one} that is given made has its settings")
    if getattr(method, key, value) != value:
      raise BadInput(f"the {one} reads {getattr(method, key)} attributes, not {value} ones")
  return method


def load(kind: str, name: Any, **settings: Any) -> Any:
  """Calls the factory of a method found by its name.

  The same call returns the same object, so that a program compiled for a critic is
  found again; a data set alone is read anew, since its files may have changed, and is
  kept by nobody but who asked for it.

  Args:
    kind: a folder of methods, one of `KINDS`.
    name: a file of `ovl/<kind>/`, a dotted module, or a path that ends in ".py"; or a
      method that is made, such as an `ovl.Critic`, which is returned as it is.
    **settings: the factory's own keyword arguments (hashable; lists become tuples).

  Returns:
    What the factory returns: a `Dataset`, `Model`, `Critic`, ...

  Raises:
    BadInput: unknown kind, name or setting (the message names the nearest); a file that
      cannot be run, or has no such factory; a method of another kind.
  """
  if kind not in KINDS:
    raise BadInput(f"kind={kind!r} is unknown: {nearest(kind, list(KINDS))}")
  if not isinstance(name, str):
    return _given(kind, name, settings)
  frozen = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
  given = tuple(sorted(frozen.items()))
  if kind == "datasets":
    return _make(kind, name, given)
  path = pathlib.Path(name)
  source = path.read_bytes() if name.endswith(".py") and path.is_file() else b""
  return _load(kind, name, given, source)


def settings(kind: Callable[..., T], given: Mapping[str, Any], where: str) -> T:
  """Builds a settings dataclass from a config's section.

  Raises:
    BadInput: a key it does not have; names the nearest.
  """
  known = list(inspect.signature(kind).parameters)
  for key in given:
    if key not in known:
      raise BadInput(f"{where}.{key} is unknown: {nearest(key, known)}")
  return kind(**{key: _python(value) for key, value in given.items()})


def _python(value: Any) -> Any:
  """A setting without NumPy: its scalars are no JSON, its arrays have no truth value."""
  value = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
  if isinstance(value, dict):
    return {key: _python(one) for key, one in value.items()}
  return tuple(_python(one) for one in value) if isinstance(value, list | tuple) else value
