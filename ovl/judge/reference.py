"""What labels alone say of an attribute, and what a critic adds to it, for one model."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ovl import posterior
from ovl.judge import score
from ovl.posterior import Guess
from ovl.stats import Metric
from ovl.types import Found

if TYPE_CHECKING:
  from ovl.judge.cells import Column, Frame


class Asked(NamedTuple):
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
    return self.there(posterior.softmax(q_N), name) if self.column.labels else q_N

  def there(self, q_NK: np.ndarray, name: str) -> np.ndarray:
    """The same at the mix of classes of a part, where it may be another."""
    if not self.frame.shifts or not self.column.labels:
      return q_NK
    return posterior.tilt(q_NK, self.known("probe")[2], self.known(name)[2])

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
    tables = [posterior.label_only(column.kind, *given, column.outputs)]
    if column.kind == "continuous" and self.C > 1:
      tables += [*posterior.by_ranks(*given), np.zeros((self.C, 2))]
    stop_N = self.known("stop")[2]

    def of_table(table: np.ndarray, name: str) -> np.ndarray:
      part, rows, _ = self.known(name)
      return self.there(table[y_N[part][rows]], name)

    def cost_of(form_N: np.ndarray) -> float:
      return posterior.cross_entropy(self.guess(form_N, form_N), stop_N)

    least, place = min((cost_of(of_table(t, "stop")), i) for i, t in enumerate(tables))
    best = {name: of_table(tables[place], name) for name in ("stop", "test")}
    plain = dict(best)
    for critic in self.blind.values():
      logits = {"stop": critic.stop, "test": critic.test}
      told = {
        name: self.form(of[self.s, self.variant, self.at], name)
        for name, of in logits.items()
      }
      pair = self.guess(told["stop"], plain["stop"])
      if column.kind == "continuous":  # a mixture of two normals is none
        w, cost = 0.0, posterior.cross_entropy(pair._replace(base_N=pair.q_N), stop_N)
      else:
        w, cost = posterior.mix(pair, stop_N)
      if cost < least:
        least, best = cost, told
        if w > 0:
          best = {name: (1 - w) * told[name] + w * plain[name] for name in told}
    return best

  def speak(self) -> tuple[str, bool, Guess, np.ndarray]:
    """The critic with the lowest mixed cross-entropy on the stop part, on the test part.

    Returns:
      Its name, whether it ended before its limit, its prediction, and the attribute.
    """
    base = self.base()
    stop_N, test_N = self.known("stop")[2], self.known("test")[2]

    def best(variant: int) -> tuple[float, str, int, Guess]:
      found = []
      for name, critic in self.found.items():
        q_N = self.form(critic.stop[self.s, variant, self.at], "stop")
        guess = self.guess(q_N, base["stop"])
        weight, cost = posterior.mix(guess, stop_N)
        found.append((cost, name, variant, guess._replace(weight=weight)))
      return min(found, key=lambda one: one[0])

    _, name, variant, guess = best(self.variant)
    if self.C > 1:
      # Labels by the hundred hide z from a critic that is given both: then z alone.
      alone = best(0)
      if posterior.gains(alone[-1], stop_N, over=guess):
        _, name, variant, guess = alone
    # A marginal is known well; what labels say may be said better by chance.
    weight = guess.weight if self.C == 1 or posterior.gains(guess, stop_N) else 1.0
    q_N = self.form(self.found[name].test[self.s, variant, self.at], "test")
    guess = self.guess(q_N, base["test"], weight)
    done = bool(self.found[name].converged[self.s, variant, self.at])
    if self.C == 1:
      guess = posterior.marginalised(guess, test_N)
    return name, done, guess, test_N


def r2(guess: Guess, column: Column, frame: Frame, s: int) -> Metric:
  """Of a quantity in its own unit, with the probe part's quantiles."""
  probe, test = frame.part("probe"), frame.part("test")
  mask_N, values_N = column.mask_SN[s], column.values_SN[s]
  return score.r2(guess, values_N[test][mask_N[test]], values_N[probe][mask_N[probe]])


def by_labels(column: Column, frame: Frame, use_task: bool) -> list[dict[str, Metric]]:
  """What the task label alone, or the marginal alone, says of an attribute."""
  numbers = []
  for s in range(frame.models):
    alone = Asked(column, 0, {}, {}, frame, s, 0, 1)
    base_N, s_N = alone.base()["test"], alone.known("test")[2]
    q_N = alone._replace(C=frame.C).base()["test"] if use_task else base_N
    guess = alone.guess(q_N, base_N)
    metrics = score.metrics(guess, s_N, column.entropy)
    if column.kind == "continuous":
      metrics["r2"] = r2(guess, column, frame, s)
    numbers.append(metrics)
  return numbers
