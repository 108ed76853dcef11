"""Predictions -> scored cells: what each tap knows of one attribute, over all models."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ovl import stats
from ovl.judge import leak, score, verdict
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
    given: the split was given, so its parts may differ in their mix of classes.
  """

  rows_SN: np.ndarray
  sizes: tuple[int, int, int]
  y_SN: np.ndarray
  C: int
  groups_SN: np.ndarray | None
  given: bool = False

  @property
  def shifts(self) -> bool:
    """Whether classes may be mixed otherwise in the part that is judged."""
    return self.given or self.groups_SN is not None

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
  part: dict[str, np.ndarray], y_N: np.ndarray, C: int, groups_N: np.ndarray | None,
  given: bool = False,
) -> Frame:  # fmt: skip
  """From the rows `[S, N]` of the parts "probe", "stop", "test"."""
  names = ("probe", "stop", "test")
  rows_SN = np.concatenate([part[name] for name in names], 1)
  probe, stop, test = (part[name].shape[1] for name in names)
  grouped = None if groups_N is None else groups_N[rows_SN]
  return Frame(rows_SN, (probe, stop, test), y_N[rows_SN], C, grouped, given)


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
    entropy_given: H(S|Y) likewise, by leave-one-out cross-entropy.
    state: "" or the verdict that makes tests needless.
    edges: of each model, between the values of a quantity (see `score.Guess`).
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
        s_SN[s, known] = score.normal_scores(values_SN[s, known], reference)
        edges[s] = score.tie_edges(reference)
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
    alone = _Asked(column, at, found, blind or {}, frame, s, 0, 1)
    method, guess, s_N = alone.speak()
    metrics = score.metrics(guess, s_N, column.entropy)
    if column.kind == "continuous":
      metrics["r2"] = _r2(guess, column, frame, s)
    out.metrics.append(metrics)
    out.method.append(method)
    out.guess.append(guess)
    if out.beyond is not None:
      # -1: the first variant again, where there is no task
      method, guess, s_N = alone._replace(variant=-1, C=frame.C).speak()
      out.beyond.append(score.share_of(guess, s_N, column.entropy_given))
      out.beyond_method.append(method)
      out.beyond_guess.append(guess)
    variant = 0 if out.beyond is None else -1
    done.append(bool(found[method].converged[s, variant, at]))
  return out._replace(converged=float(np.mean(done)))


class _Asked(NamedTuple):
  """One model and attribute, alone (C = 1) or with the task label."""

  column: Column
  at: int
  found: dict[str, Found]
  blind: dict[str, Found]
  frame: Frame
  s: int
  variant: int
  C: int

  @property
  def y_N(self) -> np.ndarray:
    """The label that may be used."""
    y_N = self.frame.y_SN[self.s]
    return y_N if self.C > 1 else np.zeros_like(y_N)

  def known(self, name: str) -> tuple[slice, np.ndarray, np.ndarray]:
    """A part, which of its rows are known, and their attribute."""
    part = self.frame.part(name)
    rows = self.column.mask_SN[self.s, part]
    return part, rows, self.column.s_SN[self.s, part][rows]

  def form(self, logits_NK: np.ndarray, name: str) -> np.ndarray:
    """A critic's output on the known rows of a part, at the mix of its classes."""
    q_N = logits_NK[self.known(name)[1]][:, : self.column.outputs].astype(np.float64)
    return self.there(score.softmax(q_N), name) if self.column.labels else q_N

  def there(self, q_NK: np.ndarray, name: str) -> np.ndarray:
    """The same at the mix of classes of a part, where it may be another."""
    if not self.frame.shifts or not self.column.labels:
      return q_NK
    mixes = [self.known(part)[2] for part in ("probe", name)]
    K = self.column.outputs
    given_K, there_K = (
      (np.bincount(s_N, minlength=K) + 0.5) / (len(s_N) + K / 2) for s_N in mixes
    )
    return score.tilt(q_NK, given_K, there_K)

  def guess(self, q_N: np.ndarray, base_N: np.ndarray, weight: float = 0.0) -> Guess:
    """Both predictions of the same rows."""
    edges = self.column.edges[self.s] if self.column.edges else None
    return Guess(self.column.kind, q_N, base_N, weight, edges)

  def base(self) -> dict[str, np.ndarray]:
    """What labels alone say of stop and test rows: the best on the stop part.

    The table of labels, or a critic that saw labels alone mixed with it: what a critic
    of the representation is mixed with can then gain nothing by the mixing.
    """
    column, y_N = self.column, self.y_N
    part, rows, s_N = self.known("probe")
    given = s_N, y_N[part][rows], self.C
    tables = [score.label_only(column.kind, *given, column.outputs)]
    if column.kind == "continuous" and self.C > 1:
      tables += [*score.by_ranks(*given), np.zeros((self.C, 2))]
    stop_N = self.known("stop")[2]

    def of_table(table: np.ndarray, name: str) -> np.ndarray:
      part, rows, _ = self.known(name)
      return self.there(table[y_N[part][rows]], name)

    def cost_of(form_N: np.ndarray) -> float:
      return score.cross_entropy(self.guess(form_N, form_N), stop_N)

    least, place = min((cost_of(of_table(t, "stop")), i) for i, t in enumerate(tables))
    best = {name: of_table(tables[place], name) for name in ("stop", "test")}
    plain = dict(best)
    for critic in self.blind.values():
      logits = {"stop": critic.stop, "test": critic.test}
      said = {
        name: self.form(of[self.s, self.variant, self.at], name)
        for name, of in logits.items()
      }
      pair = self.guess(said["stop"], plain["stop"])
      if column.kind == "continuous":  # a mixture of two normals is none
        w, cost = 0.0, score.cross_entropy(pair._replace(base_N=pair.q_N), stop_N)
      else:
        w, cost = score.mix(pair, stop_N)
      if cost < least:
        least, best = cost, said
        if w > 0:
          best = {name: (1 - w) * said[name] + w * plain[name] for name in said}
    return best

  def speak(self) -> tuple[str, Guess, np.ndarray]:
    """The critic with the lowest mixed cross-entropy on the stop part, on the test part."""
    base = self.base()
    stop_N, test_N = self.known("stop")[2], self.known("test")[2]
    best: tuple[float, str, Guess] | None = None
    for name, critic in self.found.items():
      q_N = self.form(critic.stop[self.s, self.variant, self.at], "stop")
      guess = self.guess(q_N, base["stop"])
      weight, cost = score.mix(guess, stop_N)
      if best is None or cost < best[0]:
        best = cost, name, guess._replace(weight=weight)
    assert best is not None
    _, name, guess = best
    # A marginal is known well; what labels say may be said better by chance.
    weight = guess.weight if self.C == 1 or score.gains(guess, stop_N) else 1.0
    q_N = self.form(self.found[name].test[self.s, self.variant, self.at], "test")
    return name, self.guess(q_N, base["test"], weight), test_N


def _r2(guess: Guess, column: Column, frame: Frame, s: int) -> Metric:
  probe, test = frame.part("probe"), frame.part("test")
  mask_N, values_N = column.mask_SN[s], column.values_SN[s]
  return score.r2(guess, values_N[test][mask_N[test]], values_N[probe][mask_N[probe]])


def by_labels(column: Column, frame: Frame, use_task: bool) -> list[dict[str, Metric]]:
  """What the task label alone, or the marginal alone, says of an attribute."""
  numbers = []
  for s in range(frame.models):
    alone = _Asked(column, 0, {}, {}, frame, s, 0, 1)
    base_N, s_N = alone.base()["test"], alone.known("test")[2]
    q_N = alone._replace(C=frame.C).base()["test"] if use_task else base_N
    guess = alone.guess(q_N, base_N)
    metrics = score.metrics(guess, s_N, column.entropy)
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
  rows_learnt = int(column.mask_SN[:, frame.part("probe")].sum(1).min())
  units = min(leak.units(rows) for rows in tested(column, frame, True))
  nats = leak.detectable_nats(
    units, max(len(column.labels), 2), lane.z_SND.shape[-1], rows_learnt, num_cells, alpha
  )
  return min(score.share((nats, np.empty(0)), column.entropy_given)[0], 1.0)
