"""How a long piece of work goes: a share in [0, 1] and a word; and what it measures."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Progress = Callable[[float, str], None]
Listener = Callable[[int, Mapping[str, Any]], None]

_listeners: list[Listener] = []


def quiet(share: float, said: str) -> None:
  """Reports to nobody."""


def within(progress: Progress, low: float, high: float, prefix: str = "") -> Progress:
  """The progress of a part that lies from `low` to `high` of the whole."""
  return lambda share, said: progress(low + share * (high - low), prefix + said)


def nth(progress: Progress, number: int, total: int, prefix: str = "") -> Progress:
  """The progress of one of several parts of equal length."""
  return within(progress, number / total, (number + 1) / total, prefix)


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
  """Whoever wants the curves of training hears `(step, name -> value of every network)`."""
  _listeners.append(listener)
  try:
    yield
  finally:
    _listeners.remove(listener)


def measured(step: int, values: Mapping[str, Any]) -> None:
  """Tells who listens."""
  for listener in _listeners:
    listener(step, values)
