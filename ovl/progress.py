"""How far a long piece of work is: a share in [0, 1] and a word."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float, str], None]


def quiet(share: float, said: str) -> None:
  """Reports to nobody."""


def within(progress: Progress, low: float, high: float, prefix: str = "") -> Progress:
  """The progress of a part that lies from `low` to `high` of the whole."""
  return lambda share, said: progress(low + share * (high - low), prefix + said)


def nth(progress: Progress, number: int, total: int, prefix: str = "") -> Progress:
  """The progress of one of several parts of equal length."""
  return within(progress, number / total, (number + 1) / total, prefix)
