"""Effort: V-information, the online code, surplus, sample complexity, a control task."""

import jax.numpy as jnp
import numpy as np
import pytest

from ovl.load import load
from ovl.mi.effort import codelength, effort, sample_complexity
from ovl.types import BadInput

N = 800
SIZES = (30, 60, 120, 240, 480)


def columns():
  return np.random.default_rng(0).normal(size=(N, 4))


def attribute(name):
  z = columns()
  coin = np.random.default_rng(1).integers(0, 2, N)
  return {
    "noise": coin,
    "sign": (z[:, 0] > 0).astype(int),
    "xor": ((z[:, 0] > 0) ^ (z[:, 1] > 0)).astype(int),
  }[name]


@pytest.fixture(scope="module")
def found():
  """attribute -> {method: curve}."""
  out = {}
  for name in ("noise", "sign", "xor"):
    done = effort(columns(), attribute(name), sizes=SIZES, seeds=2)
    out[name] = {curve.method: curve for curve in done.curves}
  return out


def test_codelength_is_the_sum_over_rows():
  ce, sizes, K = [0.5, 0.3, 0.2], [10, 20, 40, 80], 4
  total = 0.0
  for row in range(80):
    learnt_from = [t for t, size in enumerate(sizes) if size <= row]
    total += ce[learnt_from[-1]] if learnt_from else np.log(K)
  assert codelength(np.log(K), np.array(ce), np.array(sizes)) == pytest.approx(total)


def test_sample_complexity_falls_as_epsilon_grows():
  ce, sizes = np.array([0.6, 0.4, 0.45, 0.1]), np.array([10, 20, 40, 80])
  asked = [sample_complexity(ce, sizes, e) for e in (0.7, 0.5, 0.42, 0.2)]
  assert asked == [10, 20, 20, 80]
  assert np.isnan(sample_complexity(ce, sizes, 0.05))


@pytest.mark.parametrize("method", ["linear", "mlp"])
def test_nothing_is_known_of_an_independent_attribute(found, method):
  curve = found["noise"][method]
  assert abs(curve.v_information) < 0.03
  assert curve.low <= 0 <= curve.high
  # A block that the critic before it had seen would compress.
  assert 0.9 < curve.compression <= 1.02
  assert abs(curve.selectivity) < 0.1
  assert abs(curve.selectivity_nats) < 0.05


@pytest.mark.parametrize("method", ["linear", "mlp"])
def test_a_separable_attribute_is_easy(found, method):
  curve, noise = found["sign"][method], found["noise"][method]
  assert curve.v_information > 0.55
  assert curve.low < curve.v_information < curve.high
  assert curve.ce[-1] < curve.ce[0]
  assert curve.codelength < 0.4 * noise.codelength
  assert curve.compression > 3
  assert curve.accuracy > 0.95
  assert abs(curve.selectivity - (curve.accuracy - 0.5)) < 0.08
  assert abs(curve.selectivity_nats - curve.v_information) < 0.05


def test_only_the_larger_family_reads_xor(found):
  linear, mlp = found["xor"]["linear"], found["xor"]["mlp"]
  assert abs(linear.v_information) < 0.06
  assert mlp.v_information > 0.3
  assert mlp.codelength < 0.8 * linear.codelength
  # The same epsilon for both; the linear family never gets there and says so.
  assert mlp.epsilon == linear.epsilon
  assert mlp.reached
  assert not linear.reached
  assert mlp.sdl < linear.sdl


def test_epsilon_asked_for():
  s = attribute("sign")
  curves = [
    effort(columns(), s, "linear", sizes=SIZES, seeds=2, epsilon=e).curves[0]
    for e in (0.0, 0.1, 0.2, 0.7)
  ]
  assert np.isnan(curves[0].sample_complexity)
  rows = [curve.sample_complexity for curve in curves[1:]]
  assert rows == sorted(rows, reverse=True)
  assert rows[-1] == SIZES[0]
  # Surplus, summed row by row.
  ce = np.concatenate([[np.log(2)], curves[1].ce[:-1]])
  taught_by = np.searchsorted(SIZES, np.arange(SIZES[-1]), "right")
  assert curves[1].sdl == pytest.approx(np.maximum(ce[taught_by] - 0.1, 0).sum())
  assert curves[-1].sdl == 0


def test_a_block_is_coded_by_what_came_before_it():
  """A critic that knows its rows by heart, and nothing else, cannot compress."""

  def remember(key, train, stop):
    return train.z_ND[:, 0], jnp.where(train.mask_N > 0, train.s_N, -1)

  def logits(params, view):
    z_N, s_N = params
    same_NM = (view.z_ND[:, :1] == z_N) & (s_N >= 0)
    code_N = s_N[jnp.argmax(same_NM, 1)]
    known = same_NM.any(1)[:, None] & (jnp.arange(2) == code_N[:, None])
    return jnp.where(known, 10.0, 0.0)

  by_heart = load("critics", "linear")._replace(
    fit=remember, logits=logits, value=lambda params, view, key: jnp.float32(0)
  )
  (curve,) = effort(columns(), attribute("noise"), by_heart, sizes=SIZES, seeds=2).curves
  assert curve.method == "yours"
  assert curve.codelength == pytest.approx(SIZES[-1] * np.log(2), rel=1e-5)
  assert curve.ce == pytest.approx([np.log(2)] * len(SIZES), rel=1e-5)


def test_groups_are_the_unit_of_the_interval():
  gen = np.random.default_rng(2)
  group = np.repeat(np.arange(N // 8), 8)
  offset = gen.normal(size=N // 8)[group]
  z = np.stack([offset, gen.normal(size=N)], 1)
  s = (offset + 0.5 * gen.normal(size=N // 8)[group] > 0).astype(int)
  wide = effort(z, s, "linear", sizes=(480,), seeds=2, groups=group).curves[0]
  narrow = effort(z, s, "linear", sizes=(480,), seeds=2).curves[0]
  assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_a_line_a_method():
  done = effort(columns(), attribute("sign"), "linear", seeds=2, epsilon=0.0)
  assert done.curves[0].sizes == (30, 60, 120, 240, 480)
  assert done.entropy == pytest.approx(np.log(2), abs=0.01)
  head, line = done.table().splitlines()
  assert head.startswith("method")
  assert line.startswith("linear")
  assert "> 480" in line


@pytest.mark.parametrize(
  ("s", "given", "said"),
  [
    ("noise", {"sizes": (60, 30)}, r"sizes=\(60, 30\)"),
    ("noise", {"sizes": (30, 30)}, "increasing"),
    ("noise", {"sizes": (30, 481)}, "from 2 to 480"),
    ("noise", {"sizes": (0.1, 0.5)}, "whole numbers"),
    ("noise", {"sizes": ()}, "whole numbers"),
    ("noise", {"method": "ross"}, "'ross' does not predict"),
    ("noise", {"method": "linaer"}, "did you mean 'linear'"),
    ("noise", {"method": ()}, "method is empty"),
    ("noise", {"sedes": 3}, "did you mean 'seeds'"),
    ("continuous", {}, "s is continuous"),
  ],
)
def test_bad_input_is_one_line(s, given, said):
  s = columns()[:, 0] if s == "continuous" else attribute(s)
  with pytest.raises(BadInput, match=said) as error:
    effort(columns(), s, **given)
  assert "\n" not in str(error.value)
