"""What a config names and does not hold itself: digests of its files."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from ovl.inputs import located
from ovl.types import BadInput


def flat(tree: Any, name: str = "") -> dict[str, Any]:
  """Nested settings by their dotted names."""
  if not isinstance(tree, dict):
    return {name: tree}
  found: dict[str, Any] = {}
  for key, value in tree.items():
    found |= flat(value, f"{name}.{key}" if name else key)
  return found


def contents(config: Mapping[str, Any]) -> dict[str, str]:
  """Digests of all that a config names and does not hold itself.

  That is: "path" (activations), "x", "y" and "groups" (arrays of `ovl mi`),
  `fit.checkpoint`, `dataset.data_dir` (or $OVL_DATA, if the data set's own file speaks of
  it), and every method given as a file that ends in .py or as a dotted module.

  Returns:
    name in the config -> SHA-256 of the bytes there, with the names of files in a folder.

  Raises:
    BadInput: one of them does not exist.
  """
  named = flat(dict(config))
  found = {}
  for word in sorted(set(_words(config))):
    if word.endswith(".py"):
      found[word] = _digest(_there(word, "config"))
    elif (module := _module(word)) is not None:
      found[word] = _digest(module)
  for key in ("path", "fit.checkpoint"):
    if place := named.get(key):
      found[key] = _digest(_there(place, key))
  for key in ("x", "y", "groups"):  # FILE or FILE:NAME
    if place := named.get(key):
      found[key] = _digest(_there(str(located(place)[0]), key))
  name = str(named.get("dataset.name", ""))
  known = pathlib.Path(__file__).parent / "datasets" / f"{name}.py"
  source = pathlib.Path(name) if name.endswith(".py") else known
  asks = source.is_file() and "OVL_DATA" in source.read_text(encoding="utf-8")
  folder = named.get("dataset.data_dir") or (os.environ.get("OVL_DATA") if asks else "")
  if folder:
    found["dataset.data_dir"] = _digest(_there(folder, "dataset.data_dir"))
  return found


def _words(tree: Any) -> Iterator[str]:
  """Every text in it, also the names."""
  if isinstance(tree, Mapping):
    for name, value in tree.items():
      yield str(name)
      yield from _words(value)
  elif isinstance(tree, list | tuple):
    for value in tree:
      yield from _words(value)
  elif isinstance(tree, str):
    yield tree


def _module(word: str) -> pathlib.Path | None:
  """The file of a dotted module, which is not run for that; None where it is none."""
  top, *below = word.split(".")
  if not below or not all(part.isidentifier() for part in (top, *below)):
    return None
  spec = importlib.util.find_spec(top)
  for root in (spec.submodule_search_locations or ()) if spec else ():
    file = pathlib.Path(root, *below).with_suffix(".py")
    if file.is_file():
      return file
  return None


def _there(place: str, key: str) -> pathlib.Path:
  path = pathlib.Path(place)
  if not path.exists():
    raise BadInput(f"{key}: {place} does not exist")
  return path


def _files(path: pathlib.Path) -> list[pathlib.Path]:
  """The file, or those of the folder and below it; other runs that lie there are none."""
  if path.is_file():
    return [path]
  found = []
  for where, folders, files in os.walk(path, followlinks=True):
    here = pathlib.Path(where)
    folders[:] = [
      name for name in sorted(folders) if not (here / name / "contents.json").is_file()
    ]
    found += [here / name for name in sorted(files)]
  return found


def _digest(root: pathlib.Path) -> str:
  """One digest of all bytes; of a folder, also of the names in it."""
  whole = hashlib.sha256()
  for file in _files(root):
    try:
      with file.open("rb") as stream:
        one = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
      raise BadInput(f"cannot read {file}: {error.strerror}") from error
    whole.update(f"{os.path.relpath(file, root)} {one}\n".encode())
  return whole.hexdigest()
