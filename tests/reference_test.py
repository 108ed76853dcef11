"""What is beyond the task, where the truth is known."""

import numpy as np
import pytest

import ovl


def cell(taps, attributes, **settings):
  found = ovl.audit(taps, attributes, critics="linear", **settings).rows
  return {
    r.metric: r
    for r in found
    if r.subject == "trained" and r.seed is None and r.layer and not r.setting
  }


@pytest.mark.parametrize("flip", [0.0, 0.05])
@pytest.mark.parametrize(("K", "N"), [(20, 2500), (5, 600)])
def test_noise_holds_nothing_of_an_attribute_that_is_nearly_the_label(K, N, flip):
  low = []
  for draw in range(3):
    gen = np.random.default_rng(draw)
    y = gen.integers(0, K, N)
    s = np.where(gen.random(N) < flip, gen.integers(0, K, N), y)
    one = cell({"z": gen.normal(size=(N, 3))}, {"s": s}, task=y, seed=draw)
    share = one["share_beyond_task"]
    assert share.verdict != "leaks" or share.p > 0.005
    low.append(np.nan_to_num(share.low))  # nan: entailed by the label
  assert np.median(low) <= 0


def test_noise_under_a_given_split_of_another_mix():
  gen = np.random.default_rng(0)
  split = np.repeat(["probe", "stop", "test"], [400, 100, 500])
  rare = np.where(split == "probe", 0.1, 0.5)
  s = (gen.random(1000) < rare).astype(int)
  noise = cell({"z": gen.normal(size=(1000, 3))}, {"s": s}, split=split)
  assert noise["share_beyond_task"].low <= 0.01
  assert noise["information"].value < 0.01
  z = gen.normal(size=(1000, 3)) + 2 * s[:, None]
  assert cell({"z": z}, {"s": s}, split=split)["share"].value > 0.6


@pytest.mark.parametrize("per", [3, 6])
def test_a_coin_beyond_four_hundred_labels(per):
  y = np.repeat(np.arange(1200 // per), per)
  gen = np.random.default_rng(0)
  s = gen.integers(0, 2, 1200)
  z = gen.normal(size=(1200, 3))
  nothing = cell({"z": z}, {"s": s}, task=y)["share_beyond_task"]
  assert nothing.verdict == "no evidence"
  assert nothing.low <= 0
  z[:, 0] += 8 * s
  held = cell({"z": z}, {"s": s}, task=y)["share_beyond_task"]
  assert held.verdict == "leaks"
  assert 0.7 < held.value <= 1


def test_one_in_a_thousand_is_a_leak():
  gen = np.random.default_rng(0)
  s = np.zeros(30_000, int)
  s[gen.permutation(30_000)[:30]] = 1
  z = gen.normal(size=(30_000, 2))
  z[:, 0] += 12 * s
  assert cell({"z": z}, {"rare": s})["share_beyond_task"].verdict == "leaks"


def test_a_stop_part_of_one_class_judges_nothing():
  gen = np.random.default_rng(0)
  split = np.repeat(["probe", "stop", "test"], [800, 100, 1100])
  s = (gen.random(2000) < 0.1).astype(int)
  s[800:900] = 0
  z = gen.normal(size=(2000, 2)) + 3 * s[:, None]
  found = ovl.audit({"z": z}, {"s": s}, split=split, critics="linear")
  assert {r.verdict for r in found.rows if r.verdict} == {"too few examples"}


def test_half_normal_given_the_label_is_not_above_its_information():
  """S normal, Y = S > 0, and z tells nothing else: nothing is beyond."""
  gen = np.random.default_rng(0)
  s = gen.normal(size=3000)
  y = (s > 0).astype(int)
  one = cell({"z": gen.normal(size=(3000, 2)) + y[:, None]}, {"s": s}, task=y)
  assert one["share_beyond_task"].low <= 0
  # The median split is log 2 nats of the ranks, read from z at most.
  assert one["information"].value <= np.log(2)


def test_whole_values_tell_no_more_than_their_entropy():
  gen = np.random.default_rng(0)
  s = gen.integers(0, 25, 1500).astype(float)
  z = np.stack([s + 1e-3 * gen.normal(size=1500), gen.normal(size=1500)], 1)
  one = cell({"z": z}, {"age": s}, continuous="age")
  assert 1.5 < one["information"].value <= np.log(25)


def test_read_perfectly_in_many_layers_of_one_model_is_entailed():
  gen = np.random.default_rng(0)
  y = gen.integers(0, 2, 600)
  taps = {f"l{i}": gen.normal(size=(600, 3)) + 4 * y[:, None] for i in range(8)}
  found = ovl.audit(taps, {"copy": y}, task=y, critics="linear").rows
  assert {r.verdict for r in found if r.verdict} == {"entailed by the task"}


def test_still_learning_is_judged_of_the_critic_that_spoke():
  gen = np.random.default_rng(0)
  x = gen.normal(size=(1500, 2))
  s = (x[:, 0] * x[:, 1] > 0).astype(int)
  found = ovl.audit({"z": x}, {"xor": s}, schedule=dict(epochs=1)).rows
  row = next(r for r in found if r.metric == "share_beyond_task" and r.verdict)
  assert row.method == "mlp"
  assert row.flag == "unreliable"
