"""Scores against naive twins and hand-made tables; nulls that hold, by draws."""

import math

import numpy as np
import pytest
from scipy import stats

from ovl.memorise import nulls, scores
from ovl.types import BadInput

# Two images, three classes; worked out by hand below.
C = np.array([[[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]]])
U = np.array([[[0.25, 0.5, 0.25], [0.2, 0.4, 0.4]]])
R = np.array([[[0.5, 0.25, 0.25], [0.1, 0.3, 0.6]]])


def softmax(seed=0, S=3, N=40, K=4):
  z = np.random.default_rng(seed).normal(size=(S, N, K)) * 2
  return np.exp(z) / np.exp(z).sum(-1, keepdims=True)


def test_scores_of_a_table_worked_out_by_hand():
  log = math.log
  free = [
    0.5 * log(2) + 0.25 * log(0.5) - 0.0,
    0.2 * log(0.5) + 0.6 * log(1.5) - (0.2 * log(2) + 0.2 * log(2 / 3)),
  ]
  np.testing.assert_allclose(scores.m_label_free(C, U, R)[0], free, atol=1e-12)
  known = [log(2), log(0.4 / 0.3)]
  np.testing.assert_allclose(scores.m_label_known(U, R, 1)[0], known, atol=1e-12)
  np.testing.assert_allclose(scores.shift(C, U, 1)[0], [0.25, 0.2], atol=1e-12)
  best, label = scores.shift_label_free(C, U)
  assert (best[0], label[0]) == (pytest.approx(0.225), 1)
  for threshold, hit in ((0.1, [True, True]), (0.22, [True, False])):
    assert scores.spurious_score(C, U, 1, threshold)[0].tolist() == hit
  assert scores.correct(C, np.array([0, 1]))[0].tolist() == [True, False]
  # Image by image the class that moved most is 1; against R too.
  np.testing.assert_allclose(scores.m_argmax(C, U, R)[0], known, atol=1e-12)
  np.testing.assert_allclose(scores.entropy(C)[0, 0], 1.5 * log(2), atol=1e-12)


@pytest.mark.parametrize("of", ["u-c", "u-r"])
@pytest.mark.parametrize("one", [False, True])
def test_argmax_variants_equal_a_loop(of, one):
  c, u, r = softmax(0), softmax(1), softmax(2)
  moved, out = u - (c if of == "u-c" else r), np.empty(u.shape[:2])
  for s in range(len(u)):
    for n in range(u.shape[1]):
      k = int(np.argmax(moved[s].mean(0) if one else moved[s, n]))
      out[s, n] = math.log(u[s, n, k]) - math.log(r[s, n, k])
  np.testing.assert_allclose(scores.m_argmax(c, u, r, of, one), out, atol=1e-12)


def test_divergences_equal_a_loop_and_are_clipped():
  a, b = softmax(3), softmax(4)
  twin = [[stats.entropy(p, q) for p, q in zip(x, y, strict=True)]
          for x, y in zip(a, b, strict=True)]  # fmt: skip
  np.testing.assert_allclose(scores.kl(a, b), twin, rtol=1e-6)
  sure, other = np.array([[[1.0, 0.0]]]), np.array([[[0.0, 1.0]]])
  assert scores.kl(sure, other)[0, 0] == pytest.approx(-math.log(1e-7), rel=1e-5)


def test_the_legacy_p_is_scipys_paired_t():
  u, r = softmax(5), softmax(6)
  for s, p in enumerate(scores.legacy_pvalue(u, r, 2)):
    # KL(onehot || r) against KL(onehot || u).
    twin = stats.ttest_rel(-np.log(r[s, :, 2]), -np.log(u[s, :, 2]), alternative="greater")
    assert p == pytest.approx(twin.pvalue, rel=1e-9)


@pytest.mark.parametrize(
  ("bad", "said"),
  [
    (np.full((1, 2, 3), 0.5), "sums to 1"),
    (np.array([[[1.5, -0.5]]]), "no probability"),
    (np.zeros(4), "shape"),
    (np.full((1, 2, 2), np.nan), "no probability"),
  ],
)
def test_what_is_no_probability_is_refused(bad, said):
  with pytest.raises(BadInput, match=said) as refused:
    scores.check("outputs", bad)
  assert "\n" not in str(refused.value)


# ---- nulls -----------------------------------------------------------------------------


def rate(hits, total):
  """Whether so many of so many are 5 %, with an exact 99.9 % band."""
  low, high = stats.binom.interval(0.999, total, 0.05)
  return low <= hits <= high


@pytest.mark.parametrize("S", [8, 20])
def test_twins_that_do_not_differ_are_called_different_in_one_in_twenty(S):
  """Skewed scores with a shared part, as spurious scores near 0 are."""
  gen, trials = np.random.default_rng(S), 1000
  hits, covered = 0, 0
  for _ in range(trials):
    shared = gen.gamma(0.5, size=S)
    a, b = (shared + gen.gamma(0.5, size=S) for _ in range(2))
    found = nulls.paired(a, b, seed=int(gen.integers(1 << 30)))
    hits += found.p <= 0.05
    covered += found.low <= 0 <= found.high
  assert rate(hits, trials), hits
  # Heavy tails make a t interval too wide, if anything.
  assert trials - covered <= stats.binom.ppf(0.999, trials, 0.05), covered


def test_twins_that_differ_are_found_and_the_mean_is_theirs():
  gen = np.random.default_rng(1)
  a = gen.normal(size=20)
  b = a - 0.5 + 0.3 * gen.normal(size=20)
  found = nulls.paired(a, b)
  assert found.mean == pytest.approx((a - b).mean())
  assert found.low < 0.5 < found.high
  assert found.p < 0.001
  assert found.share_above > 0.8
  assert nulls.paired(a, a).p == 1.0


def test_sign_flips_of_few_models_are_all_of_them():
  d = np.array([3.0, -1.0, 2.0])
  means = [np.mean(d * [i, j, k]) for i in (1, -1) for j in (1, -1) for k in (1, -1)]
  assert nulls.sign_flip_p(d) == pytest.approx(np.mean(np.array(means) >= d.mean()))
  many = np.random.default_rng(0).normal(0.3, 1, 16)
  signs = (np.arange(2**16)[:, None] >> np.arange(16) & 1) * 2 - 1
  exact = (signs @ many / 16 >= many.mean() - 1e-12).mean()
  assert nulls.sign_flip_p(many) == pytest.approx(exact, abs=0.01)


def test_ranks_of_exchangeables_are_uniform_and_ties_count_against_us():
  gen, S, R = np.random.default_rng(2), 2000, 19
  values = gen.gamma(0.5, size=(S, R + 1))
  found = nulls.exposure(values[:, 0], values[:, 1:])
  assert rate((found.p_S <= 0.05).sum(), S)
  assert found.bits_S.mean() == pytest.approx(found.null_bits, abs=0.1)
  tied = nulls.exposure(np.zeros(3), np.zeros((3, R)))
  assert (tied.p_S == 1).all()
  assert (tied.bits_S == 0).all()
  top = nulls.exposure(np.ones(3), np.zeros((3, R)))
  assert top.bits_S == pytest.approx(math.log2(R + 1))
  assert top.p == pytest.approx((1 / (R + 1)) ** 3)


def test_all_models_together_reject_in_one_in_twenty():
  gen, trials = np.random.default_rng(3), 1000
  ps = [
    nulls.exposure(values[:, 0], values[:, 1:]).p
    for values in gen.normal(size=(trials, 10, 40))
  ]
  assert rate(np.sum(np.array(ps) <= 0.05), trials)
  planted = gen.normal(size=(10, 40))
  planted[:, 0] += 1
  assert nulls.exposure(planted[:, 0], planted[:, 1:]).p < 0.01


def test_false_discovery_is_scipys():
  p = np.random.default_rng(4).random(30) ** 2
  np.testing.assert_allclose(nulls.false_discovery(p), stats.false_discovery_control(p))


def test_share_interval_is_scipys():
  for count, total in ((0, 10), (3, 10), (10, 10)):
    twin = stats.binomtest(count, total).proportion_ci(0.95, "exact")
    assert nulls.share_interval(count, total) == pytest.approx((twin.low, twin.high))


@pytest.mark.parametrize(
  ("call", "said"),
  [
    (lambda: nulls.paired(np.ones(1), np.ones(1)), "at least 2"),
    (lambda: nulls.paired(np.ones(3), np.ones(2)), "pairs"),
    (lambda: nulls.exposure(np.ones(3), np.ones((2, 5))), "references"),
  ],
)
def test_nulls_refuse_what_cannot_be_compared(call, said):
  with pytest.raises(BadInput, match=said):
    call()
