"""Every verdict and every flag once, from numbers built for it."""

import numpy as np
import pytest

from ovl.judge import verdict
from ovl.types import Row

NONE = np.empty(0)
LOW, HIGH = np.full(8, 1e-4), np.full(8, 0.6)
NOISE = np.random.default_rng(0).normal(0, 0.01, 8)


def cell(share=0.5, untrained=0.2, leak=LOW, read=LOW, state=""):
  twins = None if untrained is None else untrained + NOISE
  return verdict.Cell(state, share + NOISE[::-1], twins, leak, read)


@pytest.mark.parametrize(
  ("one", "said"),
  [
    (cell(), verdict.OVERLEARNED),
    (cell(untrained=0.5), verdict.PASSED),
    (cell(untrained=None), verdict.LEAKS),
    (cell(share=0.5, untrained=0.4 + 20 * NOISE), verdict.LEAKS),
    (cell(leak=HIGH), verdict.ENTAILED),
    (verdict.Cell("", NONE, None, NONE, LOW), verdict.ENTAILED),
    (cell(leak=HIGH, read=HIGH), verdict.NOTHING),
    (cell(state=verdict.FEW), verdict.FEW),
    (cell(state=verdict.CONSTANT), verdict.CONSTANT),
  ],
)
def test_verdict(one, said):
  assert verdict.conclude([one], 0.95)[0].verdict == said


def test_reduced_is_noted():
  assert verdict.conclude([cell(share=0.1, untrained=0.5)], 0.95)[0].reduced
  assert not verdict.conclude([cell()], 0.95)[0].reduced


def test_negative_shares_are_floored_before_they_are_compared():
  """Two nets that both know nothing differ by their overfit only."""
  one = cell(share=-0.02, untrained=-0.3)
  found = verdict.conclude([one], 0.95)[0]
  assert found.excess <= 0.02
  assert found.excess_p > 0.05


def test_holm_counts_only_cells_that_can_leak():
  entailed = verdict.Cell("", NONE, None, NONE, LOW)
  near = cell(leak=np.full(8, 0.02))  # combined .04
  assert verdict.conclude([near] + [entailed] * 9, 0.95)[0].leak_p == pytest.approx(0.04)
  assert verdict.conclude([near] * 2, 0.95)[0].leak_p == pytest.approx(0.08)


@pytest.mark.parametrize(
  ("share", "done", "said"),
  [
    ((0.4, 0.35, 0.45), 1.0, "reliable"),
    ((0.99, 0.97, 1.0), 1.0, "at_ceiling"),
    ((0.01, -0.01, 0.03), 1.0, "below_resolution"),
    ((0.04, 0.03, 0.05), 1.0, "below_resolution"),  # under the detectable .05
    ((0.4, 0.1, 0.7), 1.0, "unreliable"),
    ((0.4, 0.35, 0.45), 0.2, "unreliable"),
  ],
)
def test_flag(share, done, said):
  row = Row(value=share[0], low=share[1], high=share[2])
  assert verdict.flag(row, 0.05, done) == said


def test_nothing_measured_no_flag():
  assert verdict.flag(Row(), 0.05, 1.0) == ""
