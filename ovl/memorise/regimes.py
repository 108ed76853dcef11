"""Ways of training that are said to prevent memorisation, and what each is found to do.

What is a traced weight (L2, noise, shifts) is a lane of one program. What changes the
program (dropout, batch normalisation, early stopping, clipping) is a *regime*: sections of
the config replaced, and a program of its own, with unplanted twins of its own and the same
seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ovl.load import nearest
from ovl.memorise.nulls import Difference
from ovl.types import BadInput

SECTIONS = ("model", "fit", "memorise", "mitigations")
MEMORISE = ("clip", "clip_at", "noise", "patience")


class Regime(NamedTuple):
  """What a regime changes.

  Attributes:
    config: of the run, with the regime's "model" and "fit" laid over its own.
    memorise: settings of that section.
    weights: of mitigations, all at once.
  """

  config: dict[str, Any]
  memorise: dict[str, Any]
  weights: dict[str, float]


def read(config: Mapping[str, Any], name: str, given: Mapping[str, Any]) -> Regime:
  """A regime, as a config gives it.

  Args:
    config: of the run.
    name: of the regime.
    given: section -> settings.

  Raises:
    BadInput: a section, or a setting of "memorise", that a regime cannot change.
  """
  where = f"memorise.regimes.{name}"
  for section in given:
    if section not in SECTIONS:
      raise BadInput(f"{where}.{section} is unknown: {nearest(section, list(SECTIONS))}")
  for key in given.get("memorise", {}):
    if key not in MEMORISE:
      raise BadInput(
        f"{where}.memorise.{key}: a regime changes {', '.join(MEMORISE)} alone"
      )
  over = {
    section: {**config.get(section, {}), **given.get(section, {})}
    for section in ("model", "fit")
  }
  weights = {name: float(w) for name, w in given.get("mitigations", {}).items()}
  return Regime({**config, **over}, dict(given.get("memorise", {})), weights)


class Found(NamedTuple):
  """What was measured of a pattern at a dose under a way of training.

  Attributes:
    without: the excess as networks are trained otherwise.
    known: whether that is surely above 0.
    left: the excess over own twins.
    remembered: whether that is surely above 0.
    less: whether it is surely smaller than without.
    untouched: mean score of the own twins.
  """

  without: Difference
  known: bool
  left: Difference
  remembered: bool
  less: bool
  untouched: float

  @property
  def at_ceiling(self) -> bool:
    """Twins score so high by themselves that the excess without has no room above them."""
    return 1 - self.untouched < self.without.mean


def verdict(found: Found, negligible: float) -> str:
  """What a way of training does about a pattern.

  Args:
    found: what was measured.
    negligible: an excess below it is none to speak of.

  Returns:
    "nothing to prevent": not surely remembered without it; "prevents": the upper end of
    what is left is below `negligible`; "reduces": surely smaller; "does not prevent":
    surely above 0; both of these; or "undecided". At the ceiling a small excess says
    nothing, so that it neither prevents nor reduces.
  """
  if not found.known:
    return "nothing to prevent"
  if found.left.high < negligible and not found.at_ceiling:
    return "prevents"
  words = {
    "reduces": found.less and not found.at_ceiling, "does not prevent": found.remembered,
  }  # fmt: skip
  return ", ".join(word for word, so in words.items() if so) or "undecided"
