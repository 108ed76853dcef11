"""What certifies is fixed before the rows that it is measured on are looked at."""

import numpy as np
import pytest

from ovl.judge import cells, certified
from ovl.types import Attribute, Found, Lane

S, PROBE, STOP, TEST, K = 1, 400, 60, 300, 3


def before(mix, given):
  """q and r that are certified, where the test part has a mix of classes of its own."""
  gen = np.random.default_rng(0)
  s_N = gen.integers(0, K, PROBE + STOP + TEST)
  s_N[-TEST:] = np.random.default_rng(1).choice(K, TEST, p=mix)
  edges = np.cumsum([0, PROBE, STOP, TEST])
  part = {
    name: np.arange(edges[i], edges[i + 1])[None]
    for i, name in enumerate(("probe", "stop", "test"))
  }
  y_N = np.zeros(len(s_N), int)
  frame = cells.frame(part, y_N, 1, None, given)
  attribute = Attribute(s_N.astype(np.int32), "discrete", tuple("abc"))
  column = cells.column("s", attribute, y_N, frame)
  logits = np.random.default_rng(2).normal(size=(S, 1, 1, STOP + TEST, K))
  logits[0, 0, 0, np.arange(STOP), s_N[PROBE : PROBE + STOP]] += 2.0
  found = Found(logits[..., :STOP, :], logits[..., STOP:, :], np.ones((S, 1, 1), bool))
  lane = Lane("trained", "fc", 0, np.zeros((S, len(s_N), 2)))
  cell = cells.scored(lane, column, 0, {"linear": found}, frame)
  return cell.guess[0].q_N, *certified._before(cell, frame, 0)


@pytest.mark.parametrize("given", [False, True])
def test_the_mix_of_the_test_part_moves_nothing_that_is_certified(given):
  (moved, q, r), (again, q2, r2) = before((0.8, 0.1, 0.1), given), before(
    (0.2, 0.2, 0.6), given
  )  # fmt: skip
  np.testing.assert_allclose(q, q2, rtol=1e-6)
  np.testing.assert_allclose(r, r2, rtol=1e-6)
  # What is scored is moved to the mix of a given split's test part.
  assert (np.abs(moved - again).max() > 0.05) == given
