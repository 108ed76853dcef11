"""Cells -> the answer of an audit, in a few sentences."""

from __future__ import annotations

from collections.abc import Iterable

from ovl.report.cells import ENTAILED, NOTHING, OVERLEARNED, UNJUDGED, Cell, Found
from ovl.report.table import number

MOST = 4  # attributes named in one sentence


def answer(found: Found, task: bool) -> list[str]:
  """What the verdicts say, in a few sentences.

  Args:
    found: the cells.
    task: whether there is a task label to go beyond.
  """
  cells = found.cells
  if not cells:
    return ["Nothing was judged."]
  leaks = [cell for cell in cells if cell.leaks]
  judged = sum(cell.verdict not in UNJUDGED for cell in cells)
  said = [_leaks(len(leaks), judged, task)]
  over = [cell for cell in cells if cell.verdict == OVERLEARNED]
  if over:
    places = [_where(found, name, over) for name in _names(over)]
    said.append(f"Training itself put it there (overlearned): {_list(places)}.")
  if rest := [name for name in _names(leaks) if name not in _names(over)]:
    places = [_where(found, name, leaks) for name in rest]
    why = (
      "without training being shown to add to it"
      if any(cell.excess for cell in cells)
      else "and with no untrained network to compare, its origin stays open"
    )
    said.append(f"Leaking, {why}: {_list(places)}.")
  return said + _others(found, leaks)


def _leaks(leaks: int, judged: int, task: bool) -> str:
  what = "what the task label gives away" if task else "chance"
  if judged == 0:
    return "No cell (one attribute in one layer) could be judged."
  if leaks == 0:
    cells = f"any of the {judged} judged cells" if judged > 1 else "the one judged cell"
    return f"No attribute could be read beyond {what} in {cells}."
  return (
    f"In {leaks} of {judged} judged cells (one attribute in one layer) the attribute "
    f"can be read beyond {what}."
  )


def _where(found: Found, name: str, chosen: list[Cell]) -> str:
  """For example "parity (3 of 5 layers, most in fc2: 0.40)"."""
  mine = [cell for cell in chosen if cell.share.attribute == name]
  most = max(mine, key=lambda cell: cell.share.value or 0.0)
  peak = f"{most.share.layer}: {number(most.share.value)}"
  if (layers := len(found.of(name))) == 1:
    return f"{name} ({peak})"
  return f"{name} ({len(mine)} of {layers} layers, most in {peak})"


def _others(found: Found, leaks: list[Cell]) -> list[str]:
  """Attributes that leak nowhere."""
  quiet: dict[str, list[str]] = {}
  for name in found.attributes:
    if name in _names(leaks):
      continue
    here = {cell.verdict for cell in found.of(name)}
    kind = next((v for v in (ENTAILED, NOTHING, *UNJUDGED) if v in here), NOTHING)
    quiet.setdefault(kind, []).append(name)
  said = []
  if names := quiet.get(NOTHING):
    limits = [
      cell.detectable.value
      for name in names
      for cell in found.of(name)
      if cell.detectable and cell.detectable.value is not None
    ]
    power = ""
    if limits:
      power = f" (80 % power to find a share of {number(max(limits), 3)} or more)"
    said.append(f"No evidence in any layer: {_list(names)}{power}.")
  if names := quiet.get(ENTAILED):
    said.append(f"Read, but no further than the task label tells: {_list(names)}.")
  for verdict in UNJUDGED:
    if names := quiet.get(verdict):
      said.append(f"Not judged ({verdict}): {_list(names)}.")
  return said


def _names(cells: Iterable[Cell]) -> list[str]:
  return list(dict.fromkeys(cell.share.attribute for cell in cells))


def _list(parts: list[str]) -> str:
  if len(parts) > MOST:
    parts = [*parts[:MOST], f"{len(parts) - MOST} more"]
  return ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else parts[0]
