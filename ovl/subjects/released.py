"""What an adversary sees: taps clipped and noised, where a release is set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ovl.load import load
from ovl.subjects.subject import Subject


def released(
  subjects: list[Subject], settings: Mapping[str, Any], seed: int
) -> tuple[list[Subject], Callable[[int, int], float] | None]:
  """Every tap released, and the release's bound `(classes, width) -> nats`.

  Args:
    subjects: what is judged.
    settings: name and settings of a file of `ovl/releases`; none: nothing is changed.
    seed: of the noise.
  """
  given = dict(settings)
  if not given:
    return subjects, None
  release = load("releases", given.pop("name", "gaussian"), **given)
  place = 0
  out = []
  for one in subjects:
    named = {}
    for tap, z_SND in one.taps.items():
      # Models that share a row share no noise.
      each = [
        release(z_ND, seed=np.random.default_rng([seed, place, s]))
        for s, z_ND in enumerate(np.asarray(z_SND))
      ]
      named[tap], place = np.stack(each).astype(np.float32), place + 1
    out.append(one._replace(taps=named))
  return out, release.bound
