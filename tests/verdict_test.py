"""Every verdict and every flag once, from numbers built for it."""

import numpy as np
import pytest

from ovl.audit import audit
from ovl.judge import cells, verdict
from ovl.types import Row

NONE = np.empty(0)
LOW, HIGH = np.full(8, 1e-4), np.full(8, 0.6)
NOISE = np.random.default_rng(0).normal(0, 0.01, 8)
ROWS = [np.arange(50)] * 8
PSI = np.random.default_rng(1).normal(0, 0.05, (8, 50))
PSI -= PSI.mean(1, keepdims=True)


def of(shares):
  return [(float(v), psi_N) for v, psi_N in zip(shares, PSI, strict=True)]


def cell(share=0.5, untrained=0.2, leak=LOW, read=LOW, state="", reach=0.0):
  twins = None if untrained is None else of(untrained + NOISE)
  return verdict.Cell(state, of(share + NOISE[::-1]), twins, ROWS, leak, read, reach)


def entailed():
  return verdict.Cell("", [], None, ROWS, NONE, LOW)


@pytest.mark.parametrize(
  ("one", "said"),
  [
    (cell(), verdict.OVERLEARNED),
    (cell(untrained=0.5), verdict.PASSED),
    (cell(untrained=None), verdict.LEAKS),
    (cell(share=0.5, untrained=0.4 + 20 * NOISE), verdict.LEAKS),
    (cell(leak=HIGH), verdict.ENTAILED),
    (entailed(), verdict.ENTAILED),
    (cell(leak=HIGH, read=HIGH), verdict.NOTHING),
    (cell(leak=HIGH, read=LOW, reach=0.1), verdict.UNTESTABLE),
    (cell(leak=HIGH, read=HIGH, reach=0.1), verdict.UNTESTABLE),
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
  near = cell(leak=np.full(8, 0.02))  # combined .04
  assert verdict.conclude([near] + [entailed()] * 9, 0.95)[0].leak_p == pytest.approx(0.04)
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


def test_what_the_smallest_p_cannot_reach_is_no_absence():
  """One cell of reach .02 can be tested at .05; three of them cannot."""
  one = cell(leak=HIGH, read=HIGH, reach=0.02)
  assert verdict.conclude([one], 0.95)[0].verdict == verdict.NOTHING
  assert {c.verdict for c in verdict.conclude([one] * 3, 0.95)} == {verdict.UNTESTABLE}


def test_six_copies_of_a_network_are_no_evidence_of_an_excess():
  """Equal differences have no spread over models, but that of the examples."""
  same = np.full(8, 0.3), np.full(8, 0.29)
  psi_N = np.random.default_rng(2).normal(0, 1, 50)
  trained, twin = (
    [(float(v), sign * (psi_N - psi_N.mean())) for v in values]
    for values, sign in zip(same, (1, -1), strict=True)
  )
  one = verdict.Cell("", trained, twin, ROWS, LOW, LOW)
  found = verdict.conclude([one], 0.95)[0]
  assert found.excess == pytest.approx(0.01)
  assert found.excess_p > 0.3
  assert found.verdict == verdict.LEAKS


@pytest.mark.parametrize(
  ("low", "high", "said"),
  [(0.01, 0.1, "unreliable"), (-0.01, 0.1, "reliable"), (0.0, 0.0, "reliable")],
)
def test_nothing_is_reliable_where_a_shuffled_attribute_is_read(low, high, said):
  row = Row(value=0.4, low=0.35, high=0.45)
  control = Row(value=(low + high) / 2, low=low, high=high)
  assert verdict.flag(row, 0.05, 1.0, control) == said
  top = Row(value=0.99, low=0.98, high=1.0)
  known = "at_ceiling" if said == "reliable" else said
  assert verdict.flag(top, 0.05, 1.0, control) == known
  assert not verdict.above_zero(Row())


@pytest.mark.parametrize("broken", [False, True])
def test_an_audit_heeds_its_own_control(broken, monkeypatch):
  """Shuffling that does not shuffle stands for whatever lets an attribute through."""
  gen = np.random.default_rng(0)
  s = gen.integers(0, 2, 600)
  z = (s[:, None] + gen.normal(size=(600, 3))).astype(np.float32)
  if broken:
    monkeypatch.setattr(cells, "permuted", lambda column, frame: column)
  found = audit({"fc": z}, {"s": s}, critics=("linear",))
  flags = {
    row.subject: row.flag
    for row in found.rows
    if row.metric == "share_beyond_task" and row.seed is None
  }
  assert flags == {"trained": "unreliable" if broken else "reliable", "permuted": ""}
