"""What a family of critics makes of more and more rows, in numbers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ovl.mi.selfcheck import aligned


class Curve(NamedTuple):
  """What one family of critics makes of more and more rows. All in nats but accuracies.

  Attributes:
    method: the family.
    sizes: rows learnt from.
    ce: cross-entropy on report after each size, mean over seeds.
    v_information: mean of log q(s|z)/r(s) on report after the largest size, r the class
      shares of train: H(S) - CE, both of the same rows.
    low: lower end of its t interval over seeds and rows of report; nan with one seed.
    high: upper end.
    codelength: of the labels of the largest size's rows, online code, mean over seeds.
    compression: n log K / codelength.
    sdl: surplus description length at epsilon; a lower bound where epsilon is not reached.
    epsilon: the cross-entropy asked for.
    sample_complexity: the smallest size with at most epsilon; nan where none has.
    accuracy: on report after the largest size, mean over seeds.
    control_accuracy: of the same family on permuted labels.
    selectivity: accuracy - control accuracy.
    selectivity_nats: V-information - that of the permuted labels.
    converged: share of the critics whose training ended before its limit.
    seeds: orders of the rows, each with an initialisation of its own.
  """

  method: str
  sizes: tuple[int, ...]
  ce: tuple[float, ...]
  v_information: float
  low: float
  high: float
  codelength: float
  compression: float
  sdl: float
  epsilon: float
  sample_complexity: float
  accuracy: float
  control_accuracy: float
  selectivity: float
  selectivity_nats: float
  converged: float
  seeds: int

  @property
  def reached(self) -> bool:
    """Whether a size has a cross-entropy of at most epsilon."""
    return not np.isnan(self.sample_complexity)


class Effort(NamedTuple):
  """Several families on one attribute.

  Attributes:
    curves: one a method.
    entropy: H(S), nats.
  """

  curves: list[Curve]
  entropy: float

  def table(self) -> str:
    """Plain text, a line a method."""
    heads = ("method", "V-information", "codelength", "compression", "SDL", "rows needed")
    return aligned(
      (*heads, "accuracy", "selectivity"),
      [
        (
          one.method,
          f"{one.v_information:.3f} [{one.low:.3f}, {one.high:.3f}]",
          f"{one.codelength:.1f}",
          f"{one.compression:.2f}",
          f"{'' if one.reached else '> '}{one.sdl:.1f}",
          f"{one.sample_complexity:.0f}" if one.reached else f"> {one.sizes[-1]}",
          f"{one.accuracy:.3f}",
          f"{one.selectivity:.3f}",
        )
        for one in self.curves
      ],
    )


def codelength(first: float, next_ce_T: np.ndarray, sizes_T: np.ndarray) -> float:
  r"""Nats to send labels block by block, each coded by what the rows before it taught.

  .. math:: n_1 \ell + \sum_t (n_{t+1} - n_t) \, CE_t

  Args:
    first: l, nats a label before anything is learnt: log K.
    next_ce_T: cross-entropy of the block that follows each size but the last.
    sizes_T: n_1 < n_2 < ... .

  References:
    Voita and Titov (2020), https://arxiv.org/abs/2003.12298, eq. 3.
  """
  return float(np.diff(sizes_T, prepend=0) @ np.concatenate([[first], next_ce_T]))


def sample_complexity(ce_T: np.ndarray, sizes_T: np.ndarray, epsilon: float) -> float:
  """The smallest size with cross-entropy at most epsilon; nan where none has."""
  enough = np.flatnonzero(ce_T <= epsilon)
  return float(sizes_T[enough[0]]) if len(enough) else np.nan
