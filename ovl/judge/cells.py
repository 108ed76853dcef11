"""Predictions -> scored cells: what each tap knows of one attribute, over all models."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ovl import ranks, stats
from ovl.judge import leak, score, verdict
from ovl.judge.frame import Frame as Frame
from ovl.judge.frame import frame as frame
from ovl.judge.reference import Asked, r2
from ovl.posterior import Guess
from ovl.stats import Metric
from ovl.types import Attribute, Found, Kind, Lane

MIN_ROWS = 30  # labelled rows needed in the probe and in the test part
MIN_CLASS = 5  # of them in the second most frequent class
MIN_STOP = 5


class Column(NamedTuple):
  """One attribute as the models see it.

  Attributes:
    name: of the attribute.
    kind: "discrete" or "continuous".
    labels: class names.
    s_SN: codes, or normal scores by the ranks of each model's probe part.
    mask_SN: where it is known.
    values_SN: as given.
    entropy: plug-in H(S) of all known rows that are judged, nats; nan where continuous.
    entropy_given: H(S|Y) likewise, by leave-one-out cross-entropy.
    state: "" or the verdict that makes tests needless.
    edges: of each model, between the values of a quantity (see `posterior.Guess`).
  """

  name: str
  kind: Kind
  labels: tuple[str, ...]
  s_SN: np.ndarray
  mask_SN: np.ndarray
  values_SN: np.ndarray
  entropy: float
  entropy_given: float
  state: str
  edges: tuple[np.ndarray | None, ...] = ()

  @property
  def beyond(self) -> bool:
    """Whether anything can be known of it beyond the task."""
    return not self.entropy_given < verdict.SMALL_LEFT * self.entropy

  @property
  def outputs(self) -> int:
    """K, or 2 where continuous."""
    return len(self.labels) if self.kind == "discrete" else 2


class Scored(NamedTuple):
  """One lane and one attribute; lists run over models.

  Attributes:
    lane: the tap.
    column: the attribute.
    metrics: name -> number of each model, from the representation alone.
    method: the critic that spoke for each model.
    beyond: share beyond the task; None where H(S|Y) is too small.
    beyond_method: the critic that spoke there.
    guess: predictions of the test rows, alone.
    beyond_guess: predictions of the test rows with the task label.
    converged: share of models whose critic, the one that spoke, ended before its limit.
  """

  lane: Lane
  column: Column
  metrics: list[dict[str, Metric]]
  method: list[str]
  beyond: list[Metric] | None
  beyond_method: list[str]
  guess: list[Guess]
  beyond_guess: list[Guess]
  converged: float


def column(name: str, attribute: Attribute, y_N: np.ndarray, frame: Frame) -> Column:
  """Sees an attribute through the rows of every model, and says if it can be judged."""
  known_N = attribute.known
  values_SN = attribute.values[frame.rows_SN]
  mask_SN = known_N[frame.rows_SN]
  probe = frame.part("probe")
  edges: list[np.ndarray | None] = [None] * frame.models
  state = ""
  if attribute.kind == "discrete":
    K = attribute.outputs
    s_SN = np.where(mask_SN, values_SN, 0).astype(np.int32)
    judged_N = np.zeros(len(known_N), bool)
    judged_N[frame.rows_SN] = True  # the train part may be drawn otherwise
    codes, y = attribute.values[known_N & judged_N], y_N[known_N & judged_N]
    entropy = stats.entropy(codes, K)
    entropy_given = entropy
    if frame.C > 1 and len(codes):
      entropy_given = min(entropy, stats.smoothing(codes, y, frame.C, K)[1])
    if len(np.unique(codes)) < 2:
      state = verdict.CONSTANT
  else:
    entropy = entropy_given = np.nan
    s_SN = np.zeros(values_SN.shape, np.float32)
    for s in range(frame.models):
      reference = values_SN[s, probe][mask_SN[s, probe]]
      if len(reference):
        known = mask_SN[s]
        s_SN[s, known] = ranks.normal_scores(values_SN[s, known], reference)
        edges[s] = ranks.tie_edges(reference)
    finite = attribute.values[known_N]
    if len(finite) < 2 or np.ptp(finite) == 0:
      state = verdict.CONSTANT
  if not state and not _enough(s_SN, mask_SN, attribute.kind, frame):
    state = verdict.FEW
  if not state:
    stop = frame.part("stop")
    for s in range(frame.models):  # a stop part of one class chooses nothing
      there = s_SN[s, stop][mask_SN[s, stop]]
      if len(there) < MIN_STOP or len(np.unique(there)) < 2:
        state = verdict.FEW
  return Column(
    name, attribute.kind, attribute.labels, s_SN, mask_SN, values_SN,
    entropy, entropy_given, state, tuple(edges),
  )  # fmt: skip


def enough(column: Column, frame: Frame) -> bool:
  """Whether the probe and the test part have the rows to judge an attribute."""
  return column.state != verdict.CONSTANT and _enough(
    column.s_SN, column.mask_SN, column.kind, frame
  )


def _enough(s_SN: np.ndarray, mask_SN: np.ndarray, kind: Kind, frame: Frame) -> bool:
  for part in (frame.part("probe"), frame.part("test")):
    for s_N, mask_N in zip(s_SN[:, part], mask_SN[:, part], strict=True):
      if mask_N.sum() < MIN_ROWS or _second(s_N[mask_N], kind):
        return False
  return True


def _second(s_N: np.ndarray, kind: Kind) -> bool:
  """Whether the second most frequent class has too few rows."""
  if kind == "continuous":
    return len(np.unique(s_N)) < MIN_CLASS
  counts = np.sort(np.bincount(s_N))
  return len(counts) < 2 or counts[-2] < MIN_CLASS


def scored(
  lane: Lane,
  column: Column,
  at: int,
  found: dict[str, Found],
  frame: Frame,
  blind: dict[str, Found] | None = None,
) -> Scored:
  """Mixes, chooses the critic on the stop part, and scores the test part.

  Args:
    lane: the tap.
    column: the attribute.
    at: its place among the attributes of the grid.
    found: critic -> predictions on this lane.
    frame: the rows.
    blind: the same critics on a lane that holds nothing: what labels alone say, besides
      the table of labels. The better on the stop part is the reference.
  """
  out = Scored(lane, column, [], [], [] if column.beyond else None, [], [], [], 0.0)
  done = []
  for s in range(frame.models):
    alone = Asked(column, at, found, blind or {}, frame, s, 0, 1)
    method, ended, guess, s_N = alone.speak()
    metrics = score.metrics(guess, s_N, column.entropy)
    if column.kind == "continuous":
      metrics["r2"] = r2(guess, column, frame, s)
    out.metrics.append(metrics)
    out.method.append(method)
    out.guess.append(guess)
    if out.beyond is not None:
      # -1: the first variant again, where there is no task
      method, ended, guess, s_N = alone._replace(variant=-1, C=frame.C).speak()
      out.beyond.append(score.share_of(guess, s_N, column.entropy_given))
      out.beyond_method.append(method)
      out.beyond_guess.append(guess)
    done.append(ended)
  return out._replace(converged=float(np.mean(done)))


def permuted(column: Column, frame: Frame) -> Column:
  """The control: the attribute shuffled, as the leak test would, in every part."""
  s_SN = column.s_SN.copy()
  values_SN = column.values_SN.copy()
  for s in range(frame.models):
    known = column.mask_SN[s]
    groups = None if frame.groups_SN is None else frame.groups_SN[s, known]
    rows = leak.Judged(s_SN[s, known], None, frame.y_SN[s, known], groups)
    order = leak.permuted_rows(rows, 1000 + s)
    s_SN[s, known] = s_SN[s, known][order]
    values_SN[s, known] = values_SN[s, known][order]
  return column._replace(s_SN=s_SN, values_SN=values_SN)


def tested(column: Column, frame: Frame, beyond: bool) -> list[leak.Judged]:
  """The test rows of every model as the leak test sees them.

  Args:
    column: the attribute.
    frame: the rows.
    beyond: with the task label, or the representation alone.
  """
  test = frame.part("test")
  out = []
  for s in range(frame.models):
    rows = column.mask_SN[s, test]
    y_N = frame.y_SN[s, test][rows]
    groups = None if frame.groups_SN is None else frame.groups_SN[s, test][rows]
    strata = y_N if beyond else np.zeros_like(y_N)
    out.append(leak.judged(column.kind, column.s_SN[s, test][rows], strata, groups))
  return out


def p_values(
  cells: list[Scored], frame: Frame, draws: int, beyond: bool, seed: int
) -> np.ndarray:
  """The leak test's p of every cell and model, `[cells, S]`.

  Args:
    cells: of any attributes; those of one attribute share their draws.
    frame: the rows.
    draws: how many.
    beyond: with the task label, or the representation alone.
    seed: of the draws.
  """
  p = np.full((len(cells), frame.models), np.nan)
  by_name: dict[str, list[int]] = {}
  for i, cell in enumerate(cells):
    by_name.setdefault(cell.column.name, []).append(i)
  for places in by_name.values():
    for s, rows in enumerate(tested(cells[places[0]].column, frame, beyond)):
      guesses = [(cells[i].beyond_guess if beyond else cells[i].guess)[s] for i in places]
      p[places, s] = leak.p_values(guesses, rows, draws, seed + s)
  return p


def detectable(
  column: Column, lane: Lane, frame: Frame, num_cells: int, alpha: float
) -> float:
  """The smallest share beyond the task that the leak test finds with 80 % power."""
  rows_learnt = min(_learnt(column, frame, s) for s in range(frame.models))
  units = min(leak.units(rows) for rows in tested(column, frame, True))
  nats = leak.detectable_nats(
    units, max(len(column.labels), 2), lane.z_SND.shape[-1], rows_learnt, num_cells, alpha
  )
  return min(score.share((nats, np.empty(0)), column.entropy_given)[0], 1.0)


def _learnt(column: Column, frame: Frame, s: int) -> int:
  """Probe rows of a model; alike rows of a group count once, as they do in the test."""
  probe = frame.part("probe")
  known = column.mask_SN[s, probe]
  if frame.groups_SN is None:
    return int(known.sum())
  return leak.pieces(frame.groups_SN[s, probe][known], column.s_SN[s, probe][known])
