"""What every other type stands on."""

from __future__ import annotations

from typing import Any, Literal

Params = Any  # a pytree of arrays
Kind = Literal["discrete", "continuous", "vector"]


class BadInput(ValueError):
  """Input that a person can mend: the message names what came, where, and what fits."""
