"""What rows do not say of a run: question, data, machine; saved as about.json."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import pathlib
import platform
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax

from ovl.files import write_text
from ovl.types import BadInput

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scipy")


class About(NamedTuple):
  """A report is a function of rows and of this.

  Attributes:
    verb: which program wrote the rows: a name, or a file that ends in .py.
    title: of the page.
    config: everything that was asked for.
    dataset: its name; "" of given arrays.
    task: what the networks were trained for; "" where nothing is known of it.
    model: its name.
    num_models: S.
    unit: what intervals of aggregates are over: "models", "groups" or "examples".
    level: of intervals; tests are at 1 - level.
    split: part -> rows of each model.
    groups: how many; None where rows are independent.
    attributes: name -> kind, classes, labels, known, entropy, entropy_given_task.
    task_labels: names of the task's classes.
    reduced: tap -> shape and width read, where fewer columns were read than there are.
    readers: critics and other attackers.
    cells: how many were tested.
    permutations: of each test.
    notes: of the data and the method.
    warnings: what must not be overlooked.
    lost: networks or jobs that came to nothing, a line each; part of `warnings`.
    versions: of Python and packages.
    devices: for example "2 x cpu".
    git: commit of the package's checkout, or "".
    wall_s: seconds.
  """

  verb: str
  title: str
  config: Mapping[str, Any]
  dataset: str = ""
  task: str = ""
  model: str = ""
  num_models: int = 0
  unit: str = "models"
  level: float = 0.95
  split: Mapping[str, int] = {}
  groups: int | None = None
  attributes: Mapping[str, Mapping[str, Any]] = {}
  task_labels: Sequence[str] = ()
  reduced: Mapping[str, Any] = {}
  readers: Sequence[str] = ()
  cells: int = 0
  permutations: int = 0
  notes: Sequence[str] = ()
  warnings: Sequence[str] = ()
  lost: Sequence[str] = ()
  versions: Mapping[str, str] = {}
  devices: str = ""
  git: str = ""
  wall_s: float | None = None


def write(about: About, directory: pathlib.Path) -> None:
  """Saves it beside the rows."""
  text = json.dumps(about._asdict(), indent=2, ensure_ascii=False)
  write_text(directory / "about.json", text + "\n")


def read(directory: pathlib.Path) -> About:
  """Reads it back.

  Raises:
    BadInput: no such file, or it is of another shape.
  """
  path = directory / "about.json"
  if not path.is_file():
    raise BadInput(f"{path}: no such file; expected the workdir of a finished run")
  try:
    return About(**json.loads(path.read_text(encoding="utf-8")))
  except (ValueError, TypeError) as error:
    raise BadInput(f"{path}: {error}; expected what a finished run wrote") from error


def versions() -> dict[str, str]:
  """Python and the packages numbers depend on."""
  found = {name: importlib.metadata.version(name) for name in PACKAGES}
  return {"python": platform.python_version()} | found


def devices() -> str:
  """For example "2 x cpu"."""
  return f"{jax.device_count()} x {jax.devices()[0].device_kind}"


def commit() -> str:
  """The git commit of the package's checkout; empty where it is none."""
  here = pathlib.Path(__file__).parent
  try:
    done = subprocess.run(
      ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"],
      capture_output=True,
      text=True,
      timeout=10,
      check=False,
    )
  except (OSError, subprocess.TimeoutExpired):
    return ""
  return done.stdout.strip() if done.returncode == 0 else ""


def claimed(config: Mapping[str, Any]) -> dict[str, Any]:
  """What a run is of: everything but on which devices it is worked out."""
  return {key: value for key, value in config.items() if key != "mesh"}


def run_id(config: Mapping[str, Any]) -> str:
  """Ten hexadecimal digits of the config: equal configs, equal runs, on any devices."""
  text = json.dumps(claimed(config), sort_keys=True, default=str)
  return hashlib.sha256(text.encode()).hexdigest()[:10]
