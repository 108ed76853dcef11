"""Networks that never saw a pattern: how often each test says they did."""

import sys

import numpy as np
import pytest
from scipy import stats

from ovl.memorise import lanes, nulls, scores, settings

REFERENCES = 19


def untouched(S):
  """Outputs of S networks, none planted, under 20 bitmaps of one law, `[S, 20, M, K]`."""
  config = {
    "seed": 0, "seeds": 2, "dataset": {"name": "digits", "task": "digit"},
    "model": {"name": "mlp", "hidden": (24,)},
    "fit": {"epochs": 8, "batch_size": 128, "learning_rate": 0.01},
  }  # fmt: skip
  world = settings.world(config, settings.Settings())[1]
  cases = [lanes.Case(network=s) for s in range(S)]
  nets = lanes.train(world, cases)

  def said(name, draw=0):
    worn = [lanes.Case(name, draw=1000 * s + draw) for s in range(S)]
    pattern_S = lanes.patterns(world, worn)
    return np.exp(lanes.log_probabilities(world.model, nets, pattern_S, world.x_M[:90]))

  return said(""), np.stack([said("random", i) for i in range(REFERENCES + 1)], 1)


def rates(S):
  """Share of networks called memorised at 5 %, by every test."""
  clean, under = untouched(S)
  each = under.swapaxes(0, 1)
  statistics = {
    "label known": np.stack([scores.shift(clean, u, 0).mean(1) for u in each], 1),
    "label free": np.stack([scores.kl(clean, u).mean(1) for u in each], 1),
  }
  out = {
    f"exchangeable, {name}": nulls.exposure(value[:, 0], value[:, 1:]).p_S <= 0.05
    for name, value in statistics.items()
  }
  half = S // 2
  pairs = statistics["label known"][:, 0]
  p = [nulls.paired(pairs[:half][i::10], pairs[half:][i::10], seed=i).p for i in range(10)]
  out["paired, by ten"] = np.array(p) <= 0.05
  out["published"] = scores.legacy_pvalue(under[:, 0], under[:, 1], 0) <= 0.05
  return out


def check(S):
  found = rates(S)
  said = ", ".join(f"{name} {hits.mean():.3f}" for name, hits in found.items())
  sys.stdout.write(f"{S} networks, nothing planted: {said}\n")
  for name, hits in found.items():
    if name == "published":
      continue
    low, high = stats.binom.interval(0.999, len(hits), 0.05)
    assert low <= hits.sum() <= high, said
  assert found["published"].mean() > 0.2, "the published test is calibrated after all?"


def test_of_100_untouched_networks_one_in_twenty_is_called_planted():
  check(100)


@pytest.mark.slow
def test_of_1000_untouched_networks_one_in_twenty_is_called_planted():
  check(1000)
