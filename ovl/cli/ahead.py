"""`ovl plan VERB --topology=v5e:4x4`, `ovl doctor`: before anybody pays."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Callable, Sequence

import jax

import ovl
from ovl import mesh
from ovl.about import versions
from ovl.cli import machine
from ovl.load import settings as settings_of
from ovl.plan import asked, chips, plan, text
from ovl.report.table import Table, terminal
from ovl.run import verb
from ovl.types import BadInput

USAGE = """usage: ovl plan VERB [--config=...] [--topology=v5e:4x4 | --topologies=A,B,...]

compiles the step of every training that the verb announces (else of its first) ahead of
time, for the devices that are here or for TPUs that nobody has to have (pip install
"ovl[plan]"), and says whether it fits, what it needs and what it costs; exit status 1
where it does not fit"""
EXTRAS = {
  "cuda13": ("jax-cuda13-plugin", "NVIDIA GPUs"),
  "tpu": ("libtpu", "TPUs"),
  "plan": ("libtpu", "ovl plan for TPU topologies"),
  "tables": ("pyarrow", "Parquet and Arrow in, one Parquet table out of a sweep"),
  "privacy": ("jax-privacy", "its auditor and accountant in ovl memorise"),
  "tensorboard": ("tensorboardX", "curves of training, --tensorboard"),
  "slurm": ("submitit", "launch/slurm.py"),
}


def planned(words: Sequence[str], config_of: Callable[[str, list[str]], dict]) -> int:
  """`ovl plan`; returns the exit status.

  Args:
    words: after `plan`.
    config_of: verb and its words -> config.
  """
  if {"-h", "--help"} & set(words) or not words:
    sys.stdout.write(USAGE + "\n")
    return 0
  name, names, rest = words[0], "", []
  for word in words[1:]:
    flag, _, value = word.partition("=")
    if flag in ("--topology", "--topologies"):
      names = value
    else:
      rest.append(word)
  one = verb(name)
  if not one.config:
    raise BadInput(f"ovl plan {name}: it trains no network; try audit, unlearn, memorise")
  found = [chips(each) for each in (names.split(",") if names else [""])]
  config = config_of(name, rest)
  what = asked(one.study, config)
  settings = settings_of(mesh.Settings, config.get("mesh", {}), "mesh")
  plans = [plan(each, chip, settings) for chip in found for each in what]
  sys.stdout.write(text(plans) + "\n")
  return 0 if all(each.fits for each in plans) else 1


def doctor() -> int:
  """`ovl doctor`: what is here, and what each extra would add."""
  precision = jax.config.values["jax_default_matmul_precision"] or "default"
  lines = [
    ("ovl", ovl.__version__),
    *versions().items(),
    ("system", platform.platform()),
    ("devices", f"{jax.device_count()} x {jax.devices()[0].device_kind}"),
    ("processes", str(jax.process_count())),
    ("precision of products", precision),
    ("64 bits", "on" if jax.config.values["jax_enable_x64"] else "off"),
    ("compile cache", str(machine.cache())),
  ]
  for extra, (package, adds) in EXTRAS.items():
    lines.append((f"extra {extra}", f"{_version(package) or 'absent'}: {adds}"))
  sys.stdout.write(terminal(Table(("", ""), "ht", lines)) + "\n")
  return 0


def _version(package: str) -> str:
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return ""
