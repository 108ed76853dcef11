"""Does a method obey what every mutual information obeys? Data with known answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ovl.load import settings as settings_of
from ovl.mi.api import mutual_information
from ovl.mi.lanes import Settings
from ovl.mi.methods import critic_of, reading
from ovl.progress import Progress, quiet
from ovl.types import BadInput, Critic, Kind

SHIFT = 0.8  # of both columns between the middle and a class
RHO = 0.6  # correlation of a column of x with its column of y
SLACK = 0.03  # nats granted beyond the intervals
OFF_TRUTH = 0.05  # and where the answer is known from theory


class Check(NamedTuple):
  """One property on one data set.

  Attributes:
    name: of the property.
    what: was compared with what; what went wrong where the method raised.
    value: the estimate, in the unit of the method.
    low: lower end of its interval.
    high: upper end.
    expected: what it should be, or be at most.
    passed: whether it is, within the intervals and a little slack.
  """

  name: str
  what: str
  value: float
  low: float
  high: float
  expected: float
  passed: bool


class SelfCheck(NamedTuple):
  """Every check of one method.

  Attributes:
    method: its name.
    rows: the checks.
  """

  method: str
  rows: list[Check]

  @property
  def passed(self) -> bool:
    """Whether all of them passed."""
    return all(row.passed for row in self.rows)

  def table(self) -> str:
    """Plain text, a line a check."""
    return aligned(
      ("check", "value", "interval", "expected", "", "what"),
      [
        (
          row.name,
          f"{row.value:.3f}",
          f"[{row.low:.3f}, {row.high:.3f}]",
          f"{row.expected:.3f}",
          "passed" if row.passed else "FAILED",
          row.what,
        )
        for row in self.rows
      ],
    )


def aligned(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
  """Columns of text under their heads."""
  lines = [heads, *rows]
  widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
  padded = (
    "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) for line in lines
  )
  return "\n".join(line.rstrip() for line in padded)


def kind_of(method: str | Critic) -> Kind:
  """Classes where a method reads them, else vectors."""
  if isinstance(method, Critic):
    return method.attribute
  reads_vectors = method in reading("vector") and method not in reading("discrete")
  return "vector" if reads_vectors else "discrete"


def truth(kind: Kind) -> float:
  """I(x; y) of a `pair`, nats."""
  if kind == "vector":
    return float(-np.log1p(-(RHO**2)))
  # Both columns shift alike: their normed sum is N(+-m, 1) and sufficient.
  node_Q, weight_Q = np.polynomial.hermite_e.hermegauss(64)
  m = np.sqrt(2) * SHIFT
  surprise_Q = np.logaddexp(0, -2 * m * (node_Q + m))
  return float(np.log(2) - weight_Q @ surprise_Q / weight_Q.sum())


def pair(kind: Kind, n: int, gen: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
  """Two columns of x with a bit that shifts them, or with two columns that correlate."""
  x_ND = gen.normal(size=(n, 2))
  if kind == "vector":
    return x_ND, RHO * x_ND + np.sqrt(1 - RHO**2) * gen.normal(size=(n, 2))
  y_N = gen.integers(0, 2, n)
  return x_ND + SHIFT * (2 * y_N[:, None] - 1), y_N


def together(kind: Kind, y: np.ndarray, z: np.ndarray) -> np.ndarray:
  """(y, z) as one attribute: columns side by side, or a class for every pair of bits."""
  return np.concatenate([y, z], 1) if kind == "vector" else 2 * y + z


class _Reading(NamedTuple):
  value: float = np.nan
  low: float = np.nan
  high: float = np.nan
  p: float = np.nan
  error: str = ""

  @property
  def half(self) -> float:
    return (self.high - self.low) / 2


def selfcheck(
  method: str | Critic = "auto",
  *,
  n: int = 1000,
  seed: int = 0,
  level: float = 0.95,
  kind: Kind | None = None,
  progress: Progress = quiet,
  **settings: Any,
) -> SelfCheck:
  r"""Whether a method's numbers behave like mutual information.

  Independence :math:`I = 0`; a known :math:`I`; data processing
  :math:`I(x; (y, g(y))) = I(x; y) \ge I(g(x); y)`; additivity
  :math:`I(x x'; y y') = I(x; y) + I(x'; y')` over independent pairs; the order of rows,
  the scales of columns and their rotation do not matter. Two estimates agree where they
  differ by at most half of both intervals and .03 nats. A method that is not in nats is
  held to independence (by its permutation test), order and scales only.

  Args:
    method: "auto", a name of `ovl/critics`, or a `Critic`.
    n: rows of each data set.
    seed: of the data, the splits and the critics.
    level: of the intervals; a test of a method that is not in nats fails by chance in
      1 - level of the seeds.
    kind: of y, "discrete" or "vector"; default: classes where the method reads them.
    progress: called with the share done and a word.
    **settings: of `Settings`; seeds is 1 unless given.

  Returns:
    A `SelfCheck`. A method that raises or returns nan fails; it does not end the checks.

  Raises:
    BadInput: unknown method, setting or kind.

  References:
    Song and Ermon (2020), "Understanding the Limitations of Variational Mutual
    Information Estimators", https://arxiv.org/abs/1910.06222, section 4.
  """
  kind = kind or kind_of(method)
  if kind not in ("discrete", "vector"):
    raise BadInput(f"kind={kind!r}: selfcheck has 'discrete' and 'vector' data")
  name, in_nats = "auto", True
  if method != "auto":
    name, critic = critic_of(method, kind)
    in_nats = critic.unit == "nats"
  chosen = {"seeds": 1, "level": level, "seed": seed} | settings
  settings_of(Settings, chosen, "selfcheck")
  rows: list[Check] = []

  def read(x_ND: np.ndarray, y: np.ndarray, share: float, of: str) -> _Reading:
    progress(share, of)
    try:
      estimate = mutual_information(x_ND, y, method, **chosen)
    except Exception as error:  # a critic of anybody: what it raised is in the table
      message = str(error).partition("\n")[0]
      return _Reading(error=f"raised {type(error).__name__}: {message}")
    return _Reading(estimate.nats, estimate.low, estimate.high, estimate.p)

  def check(
    name: str,
    what: str,
    one: _Reading,
    expected: float,
    room: float,
    at_most: bool = False,
  ) -> None:
    gap, room = one.value - expected, room + one.half
    passed = bool(gap <= room and (at_most or gap >= -room))
    rows.append(
      Check(name, one.error or what, one.value, one.low, one.high, expected, passed)
    )

  gen = np.random.default_rng([seed, 13])
  (x, y), others, order = pair(kind, n, gen), pair(kind, n, gen), gen.permutation(n)
  nothing = read(x, y[order], 0.0, "independence")
  check("independence", "y in another order, against 0", nothing, 0.0, SLACK)
  if not in_nats:
    what = nothing.error or f"y in another order: p = {nothing.p:.2g}"
    rows[0] = rows[0]._replace(what=what, passed=nothing.p > 1 - level)
  base = read(x, y, 0.1, "base")
  room = base.half + SLACK
  same = read(x[order], y[order], 0.2, "order")
  check("order", "rows in another order, against as they were", same, base.value, room)
  scaled = read(x * [10.0, -0.1] + [5.0, -3.0], y, 0.3, "scale")
  check("scale", "columns of x rescaled, against as they were", scaled, base.value, room)
  if in_nats:
    check("known value", "I(x; y), against theory", base, truth(kind), OFF_TRUTH)
    # What is added knows nothing of x that y does not: a coin, or y itself, bent.
    more = gen.integers(0, 2, n) if kind == "discrete" else np.tanh(y)
    _laws(_Pairs(kind, x, y, *others, more), base, read, check)
  progress(1.0, "")
  return SelfCheck(name, rows)


class _Pairs(NamedTuple):
  """A pair, another one that is independent of it, and what adds nothing to the first y."""

  kind: Kind
  x: np.ndarray
  y: np.ndarray
  x_too: np.ndarray
  y_too: np.ndarray
  more: np.ndarray


def _laws(
  data: _Pairs, base: _Reading, read: Callable[..., _Reading], check: Callable[..., None]
) -> None:
  """Rotation, data processing and additivity, of what is in nats."""
  kind, x, y, x_too, y_too, more = data
  room = base.half + SLACK
  turn = np.array([[np.cos(1), -np.sin(1)], [np.sin(1), np.cos(1)]])
  turned = read(x @ turn * [3.0, 0.3], y, 0.4, "rotation")
  check("rotation", "x rotated, against as it was", turned, base.value, room)
  coarse = read(np.round(x), y, 0.5, "data processing")
  what = "I(x rounded; y), at most I(x; y)"
  check("data processing, x", what, coarse, base.value, room, at_most=True)
  # Columns that know nothing of y: so all checks together need two shapes only.
  x_both = np.concatenate([x, x_too], 1)
  wider = read(x_both, together(kind, y, more), 0.6, "data processing")
  what = "I(x, noise; y, g(y)), against I(x; y)"
  check("data processing, y", what, wider, base.value, room)
  other = read(x_too, y_too, 0.7, "additivity")
  whole = read(x_both, together(kind, y, y_too), 0.8, "additivity")
  expected, room = base.value + other.value, base.half + other.half + SLACK
  check("additivity", "two independent pairs, against their sum", whole, expected, room)
