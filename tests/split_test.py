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


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize(
  "parts", [("train", "probe", "stop", "test"), ("probe", "stop", "test")]
)
def test_rare_classes_empty_no_part(rows, parts):
  shares = {name: split.SHARES[name] for name in parts}
  total = sum(shares.values())
  y = GEN.permutation(np.repeat(np.arange(1200 // rows), rows))
  found = split.split(y, None, shares, 0)
  assert sorted(np.concatenate(list(found.values()))) == list(range(len(y)))
  for name, share in shares.items():
    assert len(found[name]) == pytest.approx(len(y) * share / total, abs=1.01)
    here = np.bincount(y[found[name]], minlength=y.max() + 1)
    assert np.abs(here - rows * share / total).max() < 1.01


def test_sizes_hold_for_a_mixture_of_common_and_rare_classes():
  for draw in range(200):
    gen = np.random.default_rng(draw)
    y = np.repeat(np.arange(80), gen.integers(1, gen.integers(2, 60), 80))
    shares = dict(zip("abcd", 0.05 + 0.8 * gen.dirichlet(np.ones(4)), strict=True)) | {
      "none": 0.0
    }
    found = split.split(y, None, shares, draw)
    assert not len(found["none"])
    for name, share in shares.items():
      assert len(found[name]) == pytest.approx(len(y) * share, abs=1.01)


def test_a_rare_row_goes_to_each_part_as_often_as_that_is_large():
  y = np.r_[np.zeros(100, int), np.arange(1, 60)]
  hits = [
    name
    for seed in range(400)
    for name, rows in split.split(y, None, split.SHARES, seed).items()
    if 130 in rows
  ]
  for name, share in split.SHARES.items():  # five standard errors
    assert hits.count(name) / 400 == pytest.approx(
      share, abs=5 * (share * (1 - share) / 400) ** 0.5
    )


def test_rows_of_a_class_fall_to_parts_whatever_their_attribute():
  # Fixed counts of an attribute would have no variance; the draw without order has this.
  y, s = np.zeros(400, int), np.arange(400) < 200
  ones = [s[split.split(y, None, split.SHARES, seed)["test"]].sum() for seed in range(400)]
  assert np.var(ones) == pytest.approx(100 * 0.25 * 300 / 399, rel=0.35)


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


@pytest.mark.parametrize(
  "sizes_of_classes",
  [[1] * 901, [3] * 300, [178, 182, 177, 183, 181], [901, 3, 2, 1, 1], [7, 5, 3] * 60],
)
def test_every_seed_has_parts_of_the_same_sizes(sizes_of_classes):
  y = np.repeat(np.arange(len(sizes_of_classes)), sizes_of_classes)
  sizes = [
    {name: len(part) for name, part in split.split(y, None, split.SHARES, seed).items()}
    for seed in range(20)
  ]
  assert all(size == sizes[0] for size in sizes)
  for name, share in split.SHARES.items():
    assert abs(sizes[0][name] - share * len(y)) < 1


@pytest.mark.parametrize(("groups", "least"), [(24, 4), (400, 4), (8, 1)])
def test_every_part_has_some_groups_where_there_are_many(groups, least):
  shares = {"probe": 0.4, "stop": 0.1, "test": 0.5}
  for seed in range(20):
    code = np.repeat(np.arange(groups), 10)
    try:
      parts = split.split(np.zeros(len(code), int), code, shares, seed)
    except BadInput:
      assert groups == 8
      continue
    held = {name: set(code[rows]) for name, rows in parts.items()}
    assert sum(len(g) for g in held.values()) == groups  # each on one side
    assert min(len(g) for g in held.values()) >= least
