"""`ovl bench mi`, `ovl bench verdicts`: where the truth is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ovl import grid
from ovl.audit import Settings as Audits
from ovl.bench import mi, page, verdicts
from ovl.bench.study import STUDIES, of
from ovl.mi import Settings as Estimates
from ovl.run import Result, Run, Verb
from ovl.types import BadInput


def asked(paths: list[str], flags: Mapping[str, Any]) -> dict[str, Any]:
  """Refuses a study that there is not, or an experiment of the other one."""
  known = " or ".join(STUDIES)
  if not paths or paths[0] not in STUDIES:
    what = " ".join(paths) or "nothing"
    raise BadInput(f"ovl bench: {what} to measure; expected {known}")
  if (its := of(flags["config"])) != paths[0]:
    raise BadInput(f"ovl bench {paths[0]}: --config is an experiment of ovl bench {its}")
  return {}


def study(run: Run) -> Result:
  """The study that the config is of."""
  return (verdicts if of(run.config) == "verdicts" else mi).study(run)


VERB = Verb(
  said="where the truth is known: accuracy and coverage of mutual information (mi), false "
  "verdicts and coverage of audits (verdicts)",
  study=study,
  page=page,
  config="mi",
  settings={
    "mi": Estimates, "mi.schedule": grid.Schedule, "audit": Audits,
    "audit.schedule": grid.Schedule,
  },
  keys=("tasks", "methods", "sizes", "draws", "worlds", "level"),
  paths=(1, "mi|verdicts"),
  asked=asked,
  experiment=lambda paths: paths[0] if paths and paths[0] in STUDIES else "",
)  # fmt: skip
