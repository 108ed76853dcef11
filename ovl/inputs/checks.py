"""What arrays must be like, in one to four lines for who brought them."""

from __future__ import annotations

import numpy as np

from ovl.inputs.words import place
from ovl.types import BadInput

CHUNK = 1 << 22  # numbers looked at in one go, so that a mapped file stays on disk
LARGEST = np.finfo(np.float32).max
MOST_CALLS = 16  # of one module in a pass


def calls(name: str, size: int, first: str, num_rows: int) -> str:
  """What to look for where one has a multiple of the other's rows."""
  big, small = max(size, num_rows), min(size, num_rows)
  times, rest = divmod(big, max(small, 1))
  if rest or not 1 < times <= MOST_CALLS:
    return ""
  longer = name if size > num_rows else first
  if not longer.startswith(("taps", "untrained")):
    return f"\n  {times} times as many: a list of batches needs np.concatenate"
  return (
    f"\n  {longer} has {times} times as many: a module that a pass uses {times} times "
    "calls its hook each time; give each call a name of its own"
  )


def groups_stay_together(groups_N: np.ndarray, split_N: np.ndarray) -> None:
  """Refuses a split that has rows of one group on several sides."""
  judged = split_N != "train"
  sides = set(zip(groups_N[judged].tolist(), split_N[judged].tolist(), strict=True))
  _, counts = np.unique([group for group, _ in sides], return_counts=True)
  if torn := int((counts > 1).sum()):
    raise BadInput(f"split tears {torn} groups apart; expected a group on one side only")


def finite(z: np.ndarray, name: str) -> None:
  """Refuses `[S, N, ...]` with a value that is no finite float32; reads it in chunks."""
  if z.dtype.kind != "f":
    return
  step = max(1, CHUNK // z[0, 0].size)
  bad, first = 0, ""
  for z_N in z:
    for start in range(0, len(z_N), step):
      lost = ~(np.abs(z_N[start : start + step]) <= LARGEST)
      bad += int(np.count_nonzero(lost))
      if bad and not first:
        row, *inner = (int(at) for at in np.argwhere(lost)[0])
        first = place(start + row, ", ".join(map(str, inner)))
  if bad:
    raise BadInput(
      f"{name} has {bad} NaN or infinite values of {z.size} (as float32)\n  the first in "
      f"{first}, counted from 0"
    )


def check_level(level: float, where: str) -> None:
  """Refuses a level of intervals that cannot be meant."""
  if not 0.5 <= level < 1:
    raise BadInput(f"{where}={level}: expected in [.5, 1)")
