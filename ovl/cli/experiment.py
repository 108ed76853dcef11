"""Experiments: a config by its name or file, completed by what the command line sets."""

from __future__ import annotations

import importlib.util
import pathlib
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict, config_dict

import ovl
from ovl import fit, mesh
from ovl.load import defaults, nearest
from ovl.split import SHARES
from ovl.types import BadInput
from ovl.unlearn.settings import documented

COMMON: dict[str, type] = {"fit": fit.Settings, "mesh": mesh.Settings}


def configs() -> dict[str, pathlib.Path]:
  """The experiments that come with the package, by name."""
  here = pathlib.Path(ovl.__file__).parent
  inside, checkout = here / "configs", here.parent / "configs"
  folder = inside if inside.is_dir() else checkout
  return {path.stem: path for path in sorted(folder.glob("[!_]*.py"))}


def named(words: list[str], default: str) -> tuple[ConfigDict, str, list[str]]:
  """The experiment that `--config=` names, its label, and the other words."""
  named, others = default, []
  for word in words:
    if word.startswith("--config="):
      named = word.removeprefix("--config=")
    elif word == "--config":
      raise BadInput("--config: write --config=NAME")
    else:
      others.append(word)
  name, _, arg = named.partition(":")
  spec = importlib.util.spec_from_file_location("ovl_config", _file(name))
  assert spec is not None
  assert spec.loader is not None
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  words = [word.strip() for word in arg.split(",") if word.strip()]
  for word in words:
    if word not in (known := getattr(module, "WORDS", ())):
      raise BadInput(f"--config={named}: {word!r} is unknown: {nearest(word, list(known))}")
  try:
    config = module.get_config(*words)
  except ValueError as error:
    raise BadInput(f"--config={named}: {error}") from error
  label = "-".join([pathlib.Path(name).stem, *words])
  return config, label, others


def _file(name: str) -> pathlib.Path:
  if name.endswith(".py"):
    if not pathlib.Path(name).is_file():
      raise BadInput(f"--config={name}: no such file")
    return pathlib.Path(name)
  known = configs()
  if name not in known:
    raise BadInput(
      f"--config={name} is unknown: {nearest(name, list(known))}\n"
      "expected an experiment's name, or a file that ends in .py"
    )
  return known[name]


def complete(config: ConfigDict, words: list[str], settings: Mapping[str, type]) -> None:
  """Adds to an experiment the documented settings that words change and it leaves out.

  Args:
    config: of the experiment.
    words: of the command line.
    settings: section -> the dataclass that reads it.

  Raises:
    BadInput: a key that is neither there nor documented; names the nearest.
  """
  there, given = keys(config), {}
  for word in words:
    key, _, value = word.removeprefix("--config.").partition("=")
    if word.startswith("--config."):
      given[key] = value
  for key in sorted(set(given) - set(there)):
    where, _, name = key.rpartition(".")
    known = _documented(config, where, given, {**COMMON, **settings})
    if name not in known:
      near = nearest(key, there + [f"{where}.{other}" for other in known])
      raise BadInput(f"--config.{key} is unknown: {near}")
    at = config
    for part in where.split("."):
      if part not in at:
        # The shares of a split are given all or not at all.
        at[part] = ConfigDict(SHARES if part == "split" else {})
      at = at[part]
    plain = not isinstance(known[name], type)
    at[name] = known[name] if plain else config_dict.placeholder(known[name])


def _documented(
  config: ConfigDict, where: str, given: dict[str, str], settings: Mapping[str, type]
) -> dict[str, Any]:
  """Settings with their defaults that a section of this experiment may have."""
  top, *below = where.split(".")
  if where == "split" and "dataset" in config:
    return dict(SHARES)
  if top not in config and where != "mesh":
    return {}
  if where in settings:
    return defaults(settings[where])
  if where in ("dataset", "model"):
    # How many classes there are, the data say.
    mine = defaults(f"{top}s", given.get(f"{top}.name", config[top].name))
    return {key: value for key, value in mine.items() if key != "classes"}
  if where == "audit.release":
    name = given.get(
      "audit.release.name", config.audit.get("release", {}).get("name", "gaussian")
    )
    return defaults("releases", name) | {"name": name}
  at = config[top]
  for part in below:
    if part not in at:
      return {}
    at = at[part]
  match below:
    case ["erasers", name]:
      return defaults("erasers", at.get("method", name)) | {"method": ""}
    case ["penalties", name] | ["penalties", _, "also", name]:
      return documented(name, at, "also" in below)
  return {}


def keys(config: ConfigDict) -> list[str]:
  """Every setting that is there, with the names of its sections."""
  nested = [
    [f"{key}.{inner}" for inner in keys(value)] if isinstance(value, ConfigDict) else [key]
    for key, value in config.items()
  ]
  return [name for some in nested for name in some]
