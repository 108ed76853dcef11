"""Predictions -> scored cells: what each tap knows of one attribute, over all models."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ovl import stats
from ovl.judge import score, verdict
from ovl.judge.score import Guess
from ovl.stats import Metric
from ovl.types import Attribute, Found, Kind, Lane, Row

MIN_ROWS = 30  # labelled rows needed in the probe and in the test part
MIN_CLASS = 5  # of them in the second most frequent class
MIN_STOP = 5


class Frame(NamedTuple):
  """Which rows every model is judged on, and what is common to all attributes.

  Attributes:
    rows_SN: row numbers in the data set, `probe | stop | test`.
    sizes: of the three parts.
    y_SN: task codes of those rows (all 0 without a task).
    C: task classes (1 without a task).
    groups_SN: group of those rows, or None.
  """

  rows_SN: np.ndarray
  sizes: tuple[int, int, int]
  y_SN: np.ndarray
  C: int
  groups_SN: np.ndarray | None

  @property
  def models(self) -> int:
    """S."""
    return len(self.rows_SN)

  def part(self, name: str) -> slice:
    """Where a part lies among the rows."""
    edges = np.cumsum((0, *self.sizes))
    i = ("probe", "stop", "test").index(name)
    return slice(int(edges[i]), int(edges[i + 1]))

  def units(self, model: int, rows: np.ndarray) -> np.ndarray:
    """What is resampled: the group of each test row, or the row itself."""
    source = self.rows_SN if self.groups_SN is None else self.groups_SN
    return source[model, self.part("test")][rows]


def frame(
  part: dict[str, np.ndarray], y_N: np.ndarray, C: int, groups_N: np.ndarray | None
) -> Frame:
  """From the rows `[S, N]` of the parts "probe", "stop", "test"."""
  names = ("probe", "stop", "test")
  rows_SN = np.concatenate([part[name] for name in names], 1)
  probe, stop, test = (part[name].shape[1] for name in names)
  grouped = None if groups_N is None else groups_N[rows_SN]
  return Frame(rows_SN, (probe, stop, test), y_N[rows_SN], C, grouped)


class Material(NamedTuple):
  """What is judged, wherever it came from.

  Attributes:
    lanes: taps of trained nets, untrained twins and the input.
    frame: the rows.
    attributes: of the whole data set.
    y_N: task codes of the whole data set.
    task_labels: their names; one without a task.
    seeds: the number of each model.
    correct_SN: whether the network got each test row's task right, or None.
    row: what every row has in common.
    meta: what the report says beside the numbers.
  """

  lanes: list[Lane]
  frame: Frame
  attributes: dict[str, Attribute]
  y_N: np.ndarray
  task_labels: tuple[str, ...]
  seeds: list[int]
  correct_SN: np.ndarray | None
  row: Row
  meta: dict[str, Any]


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
    entropy_given: plug-in H(S|Y) likewise.
    state: "" or the verdict that makes tests needless.
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

  @property
  def beyond(self) -> bool:
    """Whether anything can be known of it beyond the task."""
    return not self.entropy_given < verdict.SMALL_ENTROPY

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
    converged: share of the critics that ended before their limit.
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
  probe, stop, test = (frame.part(p) for p in ("probe", "stop", "test"))
  state = ""
  if attribute.kind == "discrete":
    K = attribute.outputs
    s_SN = np.where(mask_SN, values_SN, 0).astype(np.int32)
    judged_N = np.zeros(len(known_N), bool)
    judged_N[frame.rows_SN] = True  # the train part may be drawn otherwise
    codes, y = attribute.values[known_N & judged_N], y_N[known_N & judged_N]
    entropy = stats.entropy(codes, K)
    entropy_given = stats.conditional_entropy(codes, y, K)
    if len(np.unique(codes)) < 2:
      state = verdict.CONSTANT
  else:
    entropy = entropy_given = np.nan
    s_SN = np.zeros(values_SN.shape, np.float32)
    for s in range(frame.models):
      reference = values_SN[s, probe][mask_SN[s, probe]]
      if len(reference):
        known = mask_SN[s]
        s_SN[s, known] = score.normal_scores(values_SN[s, known], reference)
    finite = attribute.values[known_N]
    if len(finite) < 2 or np.ptp(finite) == 0:
      state = verdict.CONSTANT
  if not state:
    for part, least in ((probe, MIN_ROWS), (stop, MIN_STOP), (test, MIN_ROWS)):
      for s in range(frame.models):
        there = s_SN[s, part][mask_SN[s, part]]
        if len(there) < least or (part != stop and _second(there, attribute.kind)):
          state = verdict.FEW
  return Column(
    name, attribute.kind, attribute.labels, s_SN, mask_SN, values_SN,
    entropy, entropy_given, state,
  )  # fmt: skip


def _second(s_N: np.ndarray, kind: Kind) -> bool:
  """Whether the second most frequent class has too few rows."""
  if kind == "continuous":
    return len(np.unique(s_N)) < MIN_CLASS
  counts = np.sort(np.bincount(s_N))
  return len(counts) < 2 or counts[-2] < MIN_CLASS


def scored(
  lane: Lane, column: Column, at: int, found: dict[str, Found], frame: Frame
) -> Scored:
  """Mixes, chooses the critic on the stop part, and scores the test part.

  Args:
    lane: the tap.
    column: the attribute.
    at: its place among the attributes of the grid.
    found: critic -> predictions on this lane.
    frame: the rows.
  """
  out = Scored(lane, column, [], [], [] if column.beyond else None, [], [], [], 0.0)
  done = [f.converged[:, :, at].mean() for f in found.values()]
  for s in range(frame.models):
    entropies = (column.entropy, column.entropy_given)
    variants = [(0, np.zeros_like(frame.y_SN[s]), 1)]
    if column.beyond:
      variants.append((-1, frame.y_SN[s], frame.C))  # -1: the first again, if alone
    for number, (variant, y_N, C) in enumerate(variants):
      method, guess, s_N = _speak(column, at, found, frame, s, variant, y_N, C)
      if number == 0:
        metrics = score.metrics(guess, s_N, entropies[0])
        if column.kind == "continuous":
          metrics["r2"] = _r2(guess, column, frame, s)
        out.metrics.append(metrics)
        out.method.append(method)
        out.guess.append(guess)
      else:
        assert out.beyond is not None
        ratio = stats.mean(guess.log_ratio(s_N))
        out.beyond.append(score.share(ratio, entropies[1]))
        out.beyond_method.append(method)
        out.beyond_guess.append(guess)
  return out._replace(converged=float(np.mean(done)))


def _speak(
  column: Column,
  at: int,
  found: dict[str, Found],
  frame: Frame,
  s: int,
  variant: int,
  y_N: np.ndarray,
  C: int,
) -> tuple[str, Guess, np.ndarray]:
  """The critic with the lowest mixed cross-entropy on the stop part, on the test part."""
  probe, stop, test = (frame.part(p) for p in ("probe", "stop", "test"))
  s_N, known_N, K = column.s_SN[s], column.mask_SN[s], column.outputs
  table = score.label_only(
    column.kind, s_N[probe][known_N[probe]], y_N[probe][known_N[probe]], C, K
  )

  def guess(logits_NK: np.ndarray, part: slice) -> tuple[Guess, np.ndarray]:
    rows = known_N[part]
    q_N = logits_NK[rows][:, :K].astype(np.float64)
    q_N = score.softmax(q_N) if column.kind == "discrete" else q_N
    return Guess(column.kind, q_N, table[y_N[part][rows]]), s_N[part][rows]

  best: tuple[float, str, float] | None = None
  for name, critic in found.items():
    weight, cost = score.mix(*guess(critic.stop[s, variant, at], stop))
    if best is None or cost < best[0]:
      best = cost, name, weight
  assert best is not None
  _, name, weight = best
  chosen, there = guess(found[name].test[s, variant, at], test)
  return name, chosen._replace(weight=weight), there


def _r2(guess: Guess, column: Column, frame: Frame, s: int) -> Metric:
  probe, test = frame.part("probe"), frame.part("test")
  mask_N, values_N = column.mask_SN[s], column.values_SN[s]
  return score.r2(guess, values_N[test][mask_N[test]], values_N[probe][mask_N[probe]])


def by_labels(column: Column, frame: Frame, use_task: bool) -> list[dict[str, Metric]]:
  """What the task label alone, or the marginal alone, says of an attribute."""
  probe, test = frame.part("probe"), frame.part("test")
  numbers = []
  for s in range(frame.models):
    s_N, known_N, y_N = column.s_SN[s], column.mask_SN[s], frame.y_SN[s]
    rows = known_N[probe]
    fit = (s_N[probe][rows], y_N[probe][rows])
    K, there = column.outputs, known_N[test]
    none = score.label_only(column.kind, fit[0], 0 * fit[1], 1, K)
    base_N = none[np.zeros(there.sum(), int)]
    q_N = base_N
    if use_task:
      q_N = score.label_only(column.kind, *fit, frame.C, K)[y_N[test][there]]
    guess = Guess(column.kind, q_N, base_N)
    metrics = score.metrics(guess, s_N[test][there], column.entropy)
    if column.kind == "continuous":
      metrics["r2"] = _r2(guess, column, frame, s)
    numbers.append(metrics)
  return numbers


def permuted(column: Column, frame: Frame) -> Column:
  """The control: the attribute shuffled, as the leak test would, in every part."""
  s_SN = column.s_SN.copy()
  values_SN = column.values_SN.copy()
  for s in range(frame.models):
    known = column.mask_SN[s]
    groups = None if frame.groups_SN is None else frame.groups_SN[s, known]
    rows = score.shuffles(s_SN[s, known], frame.y_SN[s, known], groups, 1, 1000 + s)[0]
    s_SN[s, known] = s_SN[s, known][rows]
    values_SN[s, known] = values_SN[s, known][rows]
  return column._replace(s_SN=s_SN, values_SN=values_SN)


def p_values(
  cells: list[Scored], frame: Frame, draws: int, beyond: bool, seed: int
) -> np.ndarray:
  """Permutation p of every cell and model, `[cells, S]`.

  Args:
    cells: of any attributes; those of one attribute share their shuffles.
    frame: the rows.
    draws: permutations.
    beyond: with the task label (within task classes), or the representation alone.
    seed: of the permutations.
  """
  p = np.full((len(cells), frame.models), np.nan)
  test = frame.part("test")
  by_name: dict[str, list[int]] = {}
  for i, cell in enumerate(cells):
    by_name.setdefault(cell.column.name, []).append(i)
  # Models outside, attributes inside: attributes without gaps then share one shuffle.
  for s in range(frame.models):
    for places in by_name.values():
      first = cells[places[0]].column
      rows = first.mask_SN[s, test]
      s_N, y_N = first.s_SN[s, test][rows], frame.y_SN[s, test][rows]
      groups = None if frame.groups_SN is None else frame.groups_SN[s, test][rows]
      strata = y_N if beyond else np.zeros_like(y_N)
      s_PN = s_N[score.shuffles(s_N, strata, groups, draws, seed + s)]
      for i in places:
        guess = (cells[i].beyond_guess if beyond else cells[i].guess)[s]
        p[i, s] = score.permutation_p(guess, s_N, s_PN)
  return p


def exchangeable(column: Column, frame: Frame) -> int:
  """The smallest number, over models, of test units the leak test can exchange."""
  test = frame.part("test")
  numbers = []
  for s in range(frame.models):
    rows = column.mask_SN[s, test]
    s_N = column.s_SN[s, test][rows]
    if frame.groups_SN is None:
      numbers.append(len(s_N))
      continue
    _, first_G, code_N = np.unique(
      frame.groups_SN[s, test][rows], return_index=True, return_inverse=True
    )
    whole = bool((s_N == s_N[first_G][code_N]).all())
    numbers.append(len(first_G) if whole else len(s_N))
  return min(numbers)
