"""How networks are trained."""

from __future__ import annotations

from dataclasses import dataclass

from ovl.fit.precision import PRECISIONS
from ovl.load import nearest
from ovl.types import BadInput


@dataclass(frozen=True)
class Settings:
  """How the networks are trained.

  Attributes:
    epochs: passes over the train part.
    batch_size: examples a step and seed.
    learning_rate: peak of a cosine schedule, or the first of steps.
    optimiser: "adam", or "sgd" with momentum .9.
    weight_decay: added to the gradient of every parameter.
    milestones: epochs at which the rate falls to a tenth; none: a cosine to 0.
    checkpoint: parameters to use in place of training: an Orbax folder that holds
      `{"params": ..., "state": ...}` with a leading seed axis.
    save_every: epochs between checkpoints of an unfinished run.
    keep: how many checkpoints stay.
    precision: "float32", or "bf16": products in bfloat16, everything else in float32.
    stream: batches come from main memory or memory-mapped files, where the data would not
      lie in device memory as a whole: "auto", "on" or "off".
    lanes: networks trained at once, at most; 0: as many as device memory holds.
  """

  epochs: int = 60
  batch_size: int = 128
  learning_rate: float = 3e-3
  optimiser: str = "adam"
  weight_decay: float = 0.0
  milestones: tuple[int, ...] = ()
  checkpoint: str = ""
  save_every: int = 20
  keep: int = 2
  precision: str = "float32"
  stream: str = "auto"
  lanes: int = 0

  def __post_init__(self) -> None:
    """Refuses what cannot train."""
    for name in ("epochs", "batch_size", "learning_rate", "save_every", "keep"):
      if getattr(self, name) <= 0:
        raise BadInput(f"fit.{name}={getattr(self, name)}: expected above 0")
    if self.optimiser not in ("adam", "sgd"):
      raise BadInput(f"fit.optimiser={self.optimiser!r}: expected adam or sgd")
    if self.precision not in PRECISIONS:
      said = nearest(self.precision, list(PRECISIONS))
      raise BadInput(f"fit.precision={self.precision!r}: {said}")
    if self.stream not in ("auto", "on", "off"):
      raise BadInput(f"fit.stream={self.stream!r}: expected auto, on or off")
    if self.lanes < 0:
      raise BadInput(f"fit.lanes={self.lanes}: expected at least 0")
    if self.weight_decay < 0:
      raise BadInput(f"fit.weight_decay={self.weight_decay}: expected at least 0")
