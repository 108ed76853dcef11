"""Programs that measure the methods themselves, where the truth is known."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from ovl.bench import mi, verdicts
from ovl.bench.cells import Progress
from ovl.types import Row

STUDIES = {"mi": mi.run, "verdicts": verdicts.run}


def study(config: Mapping[str, Any]) -> str:
  """The study that an experiment is of."""
  return "verdicts" if "worlds" in config else "mi"


def run(
  config: Mapping[str, Any], directory: pathlib.Path, progress: Progress
) -> tuple[list[Row], pathlib.Path]:
  """One study, whole; what an earlier call finished is not run again.

  Args:
    config: of the study, see `mi.run` and `verdicts.run`.
    directory: the workdir.
    progress: called along the way.

  Returns:
    The rows, and the page with the tables.

  Raises:
    BadInput: anything a person can mend.
  """
  return STUDIES[study(config)](config, directory, progress)
