"""The one-run audit: exact nulls, known normals, bounds that hold, jax-privacy beside."""

import importlib.util
import math

import numpy as np
import pytest
from scipy.stats import binom, norm

from ovl.memorise import audit, guesses
from ovl.types import BadInput


def drawn(mu, m=500, seed=0):
  gen = np.random.default_rng(seed)
  ins = gen.random(m) < 0.5
  score = gen.normal(size=m) + mu * ins
  return score[ins], score[~ins]


def test_the_p_of_pure_privacy_is_a_binomial_tail():
  for epsilon, r, v in ((0.0, 10, 8), (1.0, 50, 40), (3.0, 100, 97)):
    q = math.exp(epsilon) / (1 + math.exp(epsilon))
    twin = sum(binom.pmf(k, r, q) for k in range(v, r + 1))
    assert guesses.guess_p(epsilon, 200, r, v) == pytest.approx(twin, rel=1e-9)
  # With delta: the same by a loop over i.
  m, r, v, epsilon, delta = 100, 20, 18, 1.0, 1e-3
  q = math.exp(epsilon) / (1 + math.exp(epsilon))
  beta = sum(binom.pmf(k, r, q) for k in range(v, r + 1))
  more = [
    (sum(binom.pmf(k, r, q) for k in range(max(v - i, 0), r + 1)) - beta) / i
    for i in range(1, m + 1)
  ]
  twin = beta + 2 * m * delta * max(more)
  assert guesses.guess_p(epsilon, m, r, v, delta) == pytest.approx(min(1, twin), rel=1e-9)


def test_randomised_response_is_bounded_by_its_own_epsilon_in_19_of_20():
  """Scores that tell the truth with odds e^epsilon: the sharpest case of the theorem."""
  epsilon, trials = 1.0, 400
  gen, q = np.random.default_rng(0), math.e / (1 + math.e)
  found = []
  for _ in range(trials):
    ins = gen.random(400) < 0.5
    said = np.where(gen.random(400) < q, ins, ~ins).astype(float)
    found.append(guesses.bound(guesses.guess(said[ins], said[~ins], (1,))).epsilon)
  false = np.mean(np.array(found) > epsilon)
  assert false <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)
  assert np.median(found) > 0.6 * epsilon, "not vacuous"


def test_of_nothing_nothing_is_found_in_19_of_20():
  found = np.array([guesses.one_run(*drawn(0.0, seed=s)).epsilon for s in range(300)])
  assert np.mean(found > 0) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)
  pairs = [audit.gaussian_pair(*drawn(0.0, seed=s), draws=100) for s in range(60)]
  assert np.mean([pair.low > 0.8 for pair in pairs]) <= 0.05


def test_known_normals_agree_with_closed_forms():
  """mu = 1: epsilon 4.38 at delta 1e-5, by integrating the densities."""
  for mu, delta in ((0.5, 1e-3), (1.0, 1e-5), (2.0, 1e-5)):
    epsilon = audit.epsilon_of_shift(mu, delta)
    x = np.linspace(-20, 20, 400001)
    p, q = (np.exp(-((x - c) ** 2) / 2) / math.sqrt(2 * math.pi) for c in (mu, 0.0))
    excess = np.trapezoid(np.maximum(p - np.exp(epsilon) * q, 0), x)
    assert excess == pytest.approx(delta, rel=1e-3)
  assert audit.epsilon_of_shift(0.0) == 0.0
  found = audit.gaussian_pair(*drawn(1.0, m=4000))
  assert found.low < audit.epsilon_of_shift(1.0) < found.high
  assert found.epsilon == pytest.approx(audit.epsilon_of_shift(1.0), rel=0.1)


def test_the_interval_of_the_pair_covers():
  truth = audit.epsilon_of_shift(1.0)
  pairs = [audit.gaussian_pair(*drawn(1.0, m=200, seed=s), draws=100) for s in range(100)]
  assert np.mean([pair.low <= truth <= pair.high for pair in pairs]) >= 0.87


def test_a_leak_is_found_and_ties_count_against_us():
  found = guesses.one_run(*drawn(3.0))
  assert found.epsilon > 2
  assert found.right > 0.9 * found.guesses
  assert guesses.one_run(np.zeros(100), np.zeros(100)).epsilon == 0
  assert guesses.one_run(np.ones(100), np.zeros(100)).epsilon > 3
  lower = guesses.one_run(*drawn(-3.0))
  assert lower.epsilon == 0


def twin_refutes(mu, m, r, v, alpha):
  """Algorithm 3 of the f-DP paper, spelt out with lists."""
  h, rs = [alpha * (r - v) / m], [alpha * v / m]
  for i in reversed(range(v)):
    h.append(max(h[-1], norm.cdf(norm.ppf(rs[-1]) - mu)))
    rs.append(min(rs[-1] + i / (r - i) * (h[-1] - h[-2]), 1.0))
  return rs[-1] + h[-1] > r / m


def test_the_f_dp_bound_is_that_of_a_loop_and_sharper():
  for m, r, v in ((100, 20, 19), (200, 100, 70), (400, 40, 40), (50, 10, 6)):
    for mu in (0.0, 0.5, 1.0, 2.0, 4.0):
      assert guesses.refutes(mu, m, r, v, 0.05) == twin_refutes(mu, m, r, v, 0.05)
    mu = guesses.mu_of_guesses(m, r, v)
    plain = guesses.epsilon_of_guesses(m, r, v, delta=1e-5)
    assert audit.epsilon_of_shift(mu) >= plain
    if mu:
      assert guesses.refutes(mu - 1e-3, m, r, v)
      assert not guesses.refutes(mu + 1e-3, m, r, v)


def test_of_known_normals_both_bounds_hold_and_are_not_vacuous():
  """Scores N(mu, 1) and N(0, 1): the sharpest audit of a mu-Gaussian training."""
  trials, mu = 80, 1.6
  truth, alpha = audit.epsilon_of_shift(mu), 0.05
  guessed = [guesses.guess(*drawn(mu, m=200, seed=s)) for s in range(trials)]
  for method, least in zip(guesses.METHODS, (0.15, 0.3), strict=True):
    found = [bound.epsilon for bound in guesses.chosen(guessed, alpha, 1e-5, method)]
    assert np.mean(np.array(found) > truth) <= 0.05
    assert np.median(found) > least * truth
  nothing = [guesses.guess(*drawn(0.0, m=200, seed=s)) for s in range(trials)]
  for method in guesses.METHODS:
    found = [bound.epsilon for bound in guesses.chosen(nothing, alpha, 1e-5, method)]
    assert np.mean(np.array(found) > 0) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)


def test_how_many_guesses_is_settled_by_the_other_trainings():
  good, poor = (
    guesses.Guessed(100, (10, 50), (10, 30)),
    guesses.Guessed(100, (10, 50), (5, 50)),
  )
  found = guesses.chosen([good, good, poor], 0.05, 0.0, "one_run")
  assert [bound.guesses for bound in found] == [50, 50, 10]
  with pytest.raises(BadInput, match="one_run_fdp"):
    guesses.bound(good, method="two_runs")


def test_epsilon_of_a_training_is_that_of_its_sums():
  """T sums of sensitivity C with noise sigma C are one of sensitivity sqrt(T) C."""
  assert audit.of_training(40, 8.0, 2.0) == audit.epsilon_of_shift(2 * 40**0.5 / 8.0)
  accounting = pytest.importorskip("dp_accounting")
  ledger = accounting.pld.PLDAccountant()
  ledger.compose(accounting.GaussianDpEvent(4.0), 40)
  assert audit.of_training(40, 4.0) == pytest.approx(ledger.get_epsilon(1e-5), rel=1e-3)


def test_bounds_are_those_of_jax_privacy():
  """One threshold chosen beforehand, guesses at what is above it."""
  if importlib.util.find_spec("jax_privacy") is None:
    with pytest.raises(BadInput, match="not installed"):
      audit.to_canary_scores(*drawn(1.0))
    assert audit.by_jax_privacy(*drawn(1.0), 0.05, 1e-5) == []
    pytest.skip("jax-privacy is not installed")
  from jax_privacy.auditing import Explicit

  ins, outs = drawn(2.0)
  theirs = audit.to_canary_scores(ins, outs)
  r, v, m = int((ins >= 1).sum() + (outs >= 1).sum()), int((ins >= 1).sum()), 500
  settings = dict(significance=0.05, delta=1e-5, threshold_strategy=Explicit(1.0))
  plain = guesses.epsilon_of_guesses(m, r, v, 0.05, 1e-5)
  assert theirs.epsilon_one_run(**settings) == pytest.approx(plain, rel=1e-3)
  sharper = audit.epsilon_of_shift(guesses.mu_of_guesses(m, r, v))
  assert theirs.epsilon_one_run_fdp(**settings) == pytest.approx(sharper, rel=1e-3)
  found = dict(audit.by_jax_privacy(ins, outs, 0.05, 1e-5))
  assert 1 < found["jax_privacy_one_run"] < found["jax_privacy_one_run_fdp"]


@pytest.mark.parametrize(
  ("call", "said"),
  [
    (lambda: guesses.one_run(np.ones(3), np.ones(0)), "0 out"),
    (lambda: audit.gaussian_pair(np.ones(2), np.ones(9)), "at least 3"),
    (lambda: guesses.one_run(np.full(3, np.nan), np.ones(3)), "finite"),
  ],
)
def test_scores_that_say_nothing_are_refused(call, said):
  with pytest.raises(BadInput, match=said):
    call()
