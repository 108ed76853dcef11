"""Which of the studies an experiment is of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STUDIES = ("mi", "verdicts")


def of(config: Mapping[str, Any]) -> str:
  """The study that an experiment is of."""
  return "verdicts" if "worlds" in config else "mi"
