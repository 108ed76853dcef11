"""Boosted trees as an attacker: their form, their rows, and what labels alone give them."""

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from ovl.judge import cells
from ovl.judge.cells import Column, Frame
from ovl.posterior import softmax
from ovl.readings import trees
from ovl.types import Lane

S, N = 2, 300
GEN = np.random.default_rng(0)


def material(C=2, kind="discrete", strength=1.0):
  """An exclusive or of two inputs' signs, beside a task label of C classes."""
  z = GEN.normal(size=(S, 3 * N, 4)).astype(np.float32)
  s = (z[..., 0] * z[..., 1] > 0).astype(np.int32)
  s = np.where(GEN.random(s.shape) < strength, s, GEN.integers(0, 2, s.shape))
  y = GEN.integers(0, C, s.shape)
  rows = np.stack([GEN.permutation(3 * N) for _ in range(S)])
  frame = Frame(rows, (N, N, N), y, C, None)
  known = np.ones(s.shape, bool)
  if kind == "continuous":
    score = (z[..., 0] * z[..., 1]).astype(np.float32)
    return z, Column("s", kind, (), score, known, score, np.nan, np.nan, ""), frame
  ln2 = np.log(2)
  return z, Column("s", kind, ("a", "b"), s, known, s, ln2, ln2, ""), frame


@pytest.mark.parametrize("C", [1, 3])
def test_trees_answer_as_scikit_learn_does(C):
  z, column, frame = material(C)
  (found,) = trees.read([Lane("p", "fc", 0, z)], [column], frame, 5)
  V = 2 if C > 1 else 1
  assert found.stop.shape == found.test.shape == (S, V, 1, N, 2)
  assert found.converged.all()
  for s in range(S):
    hot = np.eye(C, dtype=np.float32)[frame.y_SN[s]]
    for v, x in enumerate([z[s], np.concatenate([z[s], hot], 1)][:V]):
      settings = trees.SETTINGS | {"random_state": 5}
      with threadpool_limits(1):
        theirs = HistGradientBoostingClassifier(**settings)
        theirs.fit(x[:N], column.s_SN[s, :N])
      for part, rows in ((found.stop, x[N : 2 * N]), (found.test, x[2 * N :])):
        np.testing.assert_allclose(
          softmax(part[s, v, 0]), theirs.predict_proba(rows), atol=1e-5
        )
      right = found.test[s, v, 0].argmax(1) == column.s_SN[s, 2 * N :]
      assert right.mean() > 0.85  # no line reads an exclusive or


def test_of_a_quantity_they_say_mean_and_scale():
  z, column, frame = material(kind="continuous")
  (found,) = trees.read([Lane("p", "fc", 0, z)], [column], frame, 0)
  for s in range(S):
    mean, scale = found.test[s, 0, 0].T
    error = column.s_SN[s, 2 * N :] - mean
    assert error.std() < 0.7 * column.s_SN[s, 2 * N :].std()
    assert np.exp(scale[0]) == pytest.approx(error.std(), rel=0.3)


def test_of_nothing_they_say_what_labels_say():
  """A lane of zeros: class shares alone, and the table of the task label with it."""
  z, column, frame = material(3)
  table = np.array([0.9, 0.5, 0.2])
  s_SN = (GEN.random(frame.y_SN.shape) < table[frame.y_SN]).astype(np.int32)
  column = column._replace(s_SN=s_SN, values_SN=s_SN)
  (found,) = trees.read([Lane("label", "fc", -1, np.zeros_like(z))], [column], frame, 0)
  for s in range(S):
    probe_N, y_N = s_SN[s, :N], frame.y_SN[s]
    alone, both = softmax(found.test[s, 0, 0])[:, 1], softmax(found.test[s, 1, 0])[:, 1]
    np.testing.assert_allclose(alone, probe_N.mean(), atol=1e-3)
    for y in range(3):
      share = probe_N[y_N[:N] == y].mean()
      np.testing.assert_allclose(both[y_N[2 * N :] == y], share, atol=0.05)


def test_at_most_so_many_rows_of_each_class_in_its_share(monkeypatch):
  y, s = GEN.integers(0, 3, 1000), GEN.choice(4, 1000, p=[0.5, 0.3, 0.15, 0.05])
  np.testing.assert_array_equal(trees.sample(s, y, 0), np.arange(1000))
  monkeypatch.setattr(trees, "ROWS", 200)
  rows = trees.sample(s, y, 0)
  assert len(set(rows)) == 200
  for a in range(3):
    for b in range(4):
      there = (y == a) & (s == b)
      assert abs(there[rows].sum() - there.sum() / 5) <= 1
  assert not np.array_equal(rows, trees.sample(s, y, 1))
  np.testing.assert_array_equal(rows, trees.sample(s, y, 0))
  quantity = GEN.normal(size=1000)  # its quantiles likewise
  kept = quantity[trees.sample(quantity, np.zeros(1000, int), 0)]
  at = (0.1, 0.5, 0.9)
  np.testing.assert_allclose(np.quantile(kept, at), np.quantile(quantity, at), atol=0.05)


def test_fewer_rows_are_used_and_said(monkeypatch):
  z, column, frame = material()
  assert trees.note(column, frame) == ""
  (whole,) = trees.read([Lane("p", "fc", 0, z)], [column], frame, 0)
  monkeypatch.setattr(trees, "ROWS", 60)
  assert "60 of the 300 rows" in trees.note(column, frame)
  rows = trees.sample(column.s_SN[0, :N], frame.y_SN[0, :N], 0)
  (few,) = trees.read([Lane("p", "fc", 0, z)], [column], frame, 0)
  with threadpool_limits(1):
    theirs = HistGradientBoostingClassifier(**trees.SETTINGS, random_state=0)
    theirs.fit(z[0, rows], column.s_SN[0, rows])
  at_test = theirs.predict_proba(z[0, 2 * N :])
  np.testing.assert_allclose(softmax(few.test[0, 0, 0]), at_test, atol=1e-5)
  assert not np.allclose(few.test, whole.test)


def test_noise_is_not_read_beyond_labels_that_trees_saw_alone():
  """Trees on labels and noise gain nothing over trees on labels: both are one reference."""
  z, column, frame = material(3, strength=0.0)
  lane = Lane("p", "fc", 0, z)
  found = {"trees": trees.read([lane], [column], frame, 0)[0]}
  blank = Lane("label", "fc", -1, np.zeros_like(z))
  blind = {"trees": trees.read([blank], [column], frame, 0)[0]}
  cell = cells.scored(lane, column, 0, found, frame, blind)
  assert cell.beyond is not None
  assert np.mean([value for value, _ in cell.beyond]) < 0.02
