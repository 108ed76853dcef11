"""`ovl audit`: of a config's own networks, or of activations in a file or folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ovl import grid
from ovl.audit.api import study
from ovl.audit.settings import Settings
from ovl.report import audit as page
from ovl.report.table import interval
from ovl.run import Result, Verb
from ovl.types import BadInput

READ = ("continuous", "discrete", "channels", "pool")


def asked(paths: list[str], flags: Mapping[str, Any]) -> dict[str, Any]:
  """The path of given activations, and how `arrays.read` should take them."""
  given: dict[str, Any] = {}
  for name in READ:
    words = [word for word in str(flags[name] or "").split(",") if word]
    if words:
      given[name] = words[0] if name == "channels" else words
  if not paths:
    if given:
      raise BadInput(f"--{next(iter(given))} is for given activations: ovl audit PATH")
    return {}
  return {"path": os.path.abspath(paths[0])} | ({"read": given} if given else {})


def gate(result: Result, flags: Mapping[str, Any]) -> list[str]:
  """Leaks above `--fail_above`, a line each."""
  above = flags["fail_above"]
  return [
    f"above {above:g}: {row.layer} knows {row.attribute}: {interval(row)} of H(S|Y), "
    f"{row.verdict}"
    for row in result.failures(above)
  ]


VERB = Verb(
  said="what does each layer know of each attribute, beyond the task? "
  "Of a config's own networks, or of activations: an .npz or a folder",
  study=study,
  page=page,
  config="digits",
  settings={"audit": Settings, "audit.schedule": grid.Schedule},
  keys=("path", "read"),
  paths=(1, "[PATH]"),
  flags=(
    (
      "fail_above", float("nan"),
      "exit 1 if any leaking cell's share beyond the task is surely above this",
    ),
    ("continuous", "", "attributes of PATH that are quantities, by commas"),
    ("discrete", "", "attributes of PATH that are classes, by commas"),
    ("channels", "", "first or last: where maps of PATH have them"),
    ("pool", "", "mean, last, first: of sequences [N, T, D], each a tap of its own"),
  ),
  asked=asked,
  experiment=lambda paths: "arrays" if paths else "",
  gate=gate,
)  # fmt: skip
