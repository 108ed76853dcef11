import numpy as np
import pytest

from ovl import split
from ovl.types import BadInput

GEN = np.random.default_rng(0)


def test_parts_are_disjoint_complete_and_stratified():
  y = GEN.integers(0, 3, 1000)
  parts = split.split(y, None, split.SHARES, 0)
  rows = np.concatenate(list(parts.values()))
  assert sorted(rows) == list(range(1000))
  for name, share in split.SHARES.items():
    assert len(parts[name]) == pytest.approx(1000 * share, abs=3)
    for k in range(3):
      assert (y[parts[name]] == k).sum() == pytest.approx(share * (y == k).sum(), abs=1.01)


def test_a_fresh_split_per_seed_and_the_same_for_the_same():
  y = GEN.integers(0, 2, 400)
  one, again, two = (split.split(y, None, split.SHARES, s) for s in (1, 1, 2))
  assert (one["test"] == again["test"]).all()
  assert set(one["test"]) != set(two["test"])


def test_no_group_is_on_both_sides():
  groups = GEN.integers(0, 60, 2000)
  parts = split.split(np.zeros(2000, int), groups, split.SHARES, 3)
  seen = [set(groups[rows]) for rows in parts.values()]
  assert sum(map(len, seen)) == len(set.union(*seen))
  assert len(parts["train"]) == pytest.approx(1000, abs=100)


def test_a_group_that_swallows_a_part_is_refused():
  groups = np.r_[np.zeros(900, int), np.arange(1, 4)]
  with pytest.raises(BadInput, match=r"split\..*groups"):
    split.split(np.zeros(903, int), groups, split.SHARES, 0)


def test_stack_keeps_the_smallest():
  a = {"test": np.arange(5)}
  b = {"test": np.arange(7)}
  assert split.stack([a, b])["test"].shape == (2, 5)
