"""A config's section `audit`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ovl.inputs.checks import check_level
from ovl.types import BadInput


@dataclass(frozen=True)
class Settings:
  """How an audit is made.

  Attributes:
    critics: names of `ovl/critics`, tried on every cell; the stop part chooses.
    max_width: taps wider than this are pooled and projected. None: the inner axes of maps
      and sequences are pooled to 512 columns or one position, and up to 4096 columns are
      read as they are.
    level: of all intervals; tests are at 1 - level.
    schedule: settings of `ovl.grid.Schedule`.
    release: name and settings of a file of `ovl/releases`: then every tap is released
      before it is read, and its upper bound stands beside the lower one.
  """

  critics: tuple[str, ...] = ("linear", "mlp")
  max_width: int | None = None
  level: float = 0.95
  schedule: dict[str, Any] = field(default_factory=dict)
  release: dict[str, Any] = field(default_factory=dict)

  def __post_init__(self) -> None:
    """Refuses what cannot be meant."""
    if not self.critics:
      raise BadInput("audit.critics is empty: expected names such as ('linear', 'mlp')")
    check_level(self.level, "audit.level")
    if self.max_width is not None and self.max_width < 1:
      raise BadInput(f"audit.max_width={self.max_width}: expected at least 1")
