"""Membership and influence: naive loops, known answers, a null and a planted positive."""

import math

import numpy as np
import pytest
from scipy import stats

from ovl.memorise import membership
from ovl.types import BadInput


def table(seed=0, K=24, N=60, effect=0.0):
  """Margins of K models, each trained on a random half; members are `effect` surer."""
  gen = np.random.default_rng(seed)
  member = np.zeros((K, N), bool)
  for row in member:
    row[gen.permutation(N)[: N // 2]] = True
  phi = gen.normal(size=N) + gen.normal(size=(K, N)) + effect * member
  return member, phi


def test_margin_is_the_log_odds_of_the_true_class():
  gen = np.random.default_rng(0)
  z = gen.normal(size=(2, 5, 4)) * 8
  log_p = z - np.logaddexp.reduce(z, -1)[..., None]
  y = gen.integers(0, 4, 5)
  for k in range(2):
    for n in range(5):
      p = math.exp(log_p[k, n, y[n]])
      rest = sum(math.exp(log_p[k, n, c]) for c in range(4) if c != y[n])
      assert membership.margin(log_p, y)[k, n] == pytest.approx(math.log(p / rest))


def test_memorisation_equals_a_loop():
  member, phi = table(effect=0.7)
  right = phi > 0
  found = membership.memorisation(member, right)
  for n in range(member.shape[1]):
    a, b = right[member[:, n], n], right[~member[:, n], n]
    assert found.value[n] == pytest.approx(a.mean() - b.mean())
    twin = math.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
    assert found.error[n] == pytest.approx(twin)


def test_influence_equals_a_loop_whatever_the_chunk():
  member, phi = table(1)
  of_test = np.random.default_rng(2).normal(size=(len(member), 7)).astype(np.float32)
  whole = membership.influence(member, of_test)
  parts = membership.influence(member, of_test, chunk=11)
  np.testing.assert_allclose(whole.value, parts.value, atol=1e-6)
  for n in (0, 13):
    for m in range(7):
      a, b = of_test[member[:, n], m], of_test[~member[:, n], m]
      assert whole.value[n, m] == pytest.approx(a.mean() - b.mean(), abs=1e-5)
      twin = math.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
      assert whole.error[n, m] == pytest.approx(twin, rel=1e-3)
  self = membership.influence(member, phi)
  np.testing.assert_allclose(
    np.diag(self.value), membership.memorisation(member, phi).value, atol=1e-5
  )


def test_standard_errors_cover_and_what_is_not_memorised_is_0():
  found = [membership.memorisation(*table(s, K=40)) for s in range(40)]
  t = np.concatenate([f.value / f.error for f in found])
  assert abs(np.mean(t)) < 0.05
  assert 0.03 < np.mean(np.abs(t) > 1.96) < 0.08
  planted = membership.memorisation(*table(1, K=400, effect=0.7))
  assert planted.value.mean() == pytest.approx(0.7, abs=0.05)
  assert np.mean(np.abs(planted.value - 0.7) < 1.96 * planted.error) > 0.85


def test_an_example_that_all_models_saw_has_no_memorisation():
  member, phi = table()
  member[:, 3] = True
  found = membership.memorisation(member, phi)
  assert np.isnan(found.value[3])
  assert np.isfinite(np.delete(found.value, 3)).all()


def test_halves_agree_where_there_is_something_to_agree_on():
  member, phi = table(3, K=200)
  strength = np.linspace(0, 4, phi.shape[1])
  assert membership.halves(member, phi + strength * member) > 0.9
  assert abs(membership.halves(member, phi)) < 0.4


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("way", ["online", "offline"])
def test_lira_equals_a_loop_without_the_attacked_model(way, fixed):
  member, phi = table(4, K=20, N=8, effect=1.0)
  found = membership.lira(member, phi, way, fixed)

  def moments(k, n, inside):
    others = [j for j in range(20) if j != k and member[j, n] == inside]
    return phi[others, n].mean(), phi[others, n].var(ddof=1), len(others) - 1

  for k in range(20):
    spread = {}
    for inside in (True, False):
      each = [moments(k, n, inside) for n in range(8)]
      spread[inside] = sum(v * f for _, v, f in each) / sum(f for *_, f in each)
    for n in range(8):
      (mi, vi, _), (mo, vo, _) = moments(k, n, True), moments(k, n, False)
      if fixed:
        vi, vo = spread[True], spread[False]
      if way == "offline":
        twin = stats.norm.logcdf(phi[k, n], mo, math.sqrt(vo))
      else:
        twin = stats.norm.logpdf(phi[k, n], mi, math.sqrt(vi))
        twin -= stats.norm.logpdf(phi[k, n], mo, math.sqrt(vo))
      assert found[k, n] == pytest.approx(twin, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("a", [None, 0.3])
def test_rmia_equals_a_loop(a):
  member, phi = table(5, K=10, N=6)
  gen = np.random.default_rng(6)
  p, z = 1 / (1 + np.exp(-phi)), gen.random((10, 30))
  found = membership.rmia(member, p, z, 1.1, a)
  for k in range(10):
    others = [j for j in range(10) if j != k]
    for n in range(6):
      out = np.mean([p[j, n] for j in others if not member[j, n]])
      ins = np.mean([p[j, n] for j in others if member[j, n]])
      bar = (ins + out) / 2 if a is None else ((1 + a) * out + 1 - a) / 2
      ratio = p[k, n] / bar
      wins = [ratio / (z[k, j] / np.mean(z[others, j])) >= 1.1 for j in range(30)]
      assert found[k, n] == pytest.approx(np.mean(wins))


ATTACKS = {
  "online": lambda m, phi: membership.lira(m, phi),
  "offline": lambda m, phi: membership.lira(m, phi, "offline"),
  "fixed": lambda m, phi: membership.lira(m, phi, "online", True),
  "rmia": lambda m, phi: membership.rmia(
    m, 1 / (1 + np.exp(-phi)), 1 / (1 + np.exp(-table(99, len(m), 4000)[1]))
  ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_find_nothing_where_nothing_is_and_members_where_they_are(attack):
  """Null: the true positive rate is the false one. Positive: far above."""
  member, phi = table(7, K=40, N=300)
  for fpr in (0.01, 0.1):
    null = membership.tpr_at_fpr(ATTACKS[attack](member, phi), member, fpr)
    assert null.tpr == pytest.approx(fpr, abs=0.6 * fpr)
  _, phi = table(7, K=40, N=300, effect=3.0)
  found = membership.tpr_at_fpr(ATTACKS[attack](member, phi), member, 0.01)
  assert found.low > 0.1
  assert found.low < found.tpr < found.high


def test_the_power_on_known_normals_is_the_closed_form():
  """Margins N(0, 1) and N(2, 1): TPR at 1 % is P(N > z.99 - 2)."""
  gen = np.random.default_rng(8)
  member = np.arange(40000) % 2 == 0
  score = gen.normal(size=40000) + 2 * member
  found = membership.tpr_at_fpr(score, member, 0.01)
  truth = stats.norm.sf(stats.norm.isf(0.01) - 2)
  assert found.tpr == pytest.approx(truth, abs=0.02)
  assert found.reached <= 0.01
  fpr, tpr = membership.roc(score, member)
  area = np.trapezoid(tpr, fpr)
  assert area == pytest.approx(stats.norm.cdf(2 / math.sqrt(2)), abs=0.01)
  assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)


def test_the_jackknife_over_networks_is_that_of_a_loop_and_covers():
  """Networks that differ in how well they are attacked: the unit is the network."""
  gen, truth = np.random.default_rng(9), 0.0
  for _ in range(2):  # first many networks: the truth, then few
    hits, S = [], 1000 if not truth else 12
    for _ in range(1 if not truth else 80):
      member = np.arange(60)[None].repeat(S, 0) % 2 == 0
      shift = 1 + 0.5 * gen.normal(size=(S, 1))
      score = gen.normal(size=(S, 60)) + shift * member
      if not truth:
        truth = membership.tpr_at_fpr(score, member, 0.1).tpr
        break
      found = membership.over_networks(score, member, 0.1)
      hits.append(found.low <= truth <= found.high)
  assert 0.88 <= np.mean(hits) <= 1
  each = [
    membership.tpr_at_fpr(np.delete(score, k, 0), np.delete(member, k, 0), 0.1).tpr
    for k in range(12)
  ]
  error = math.sqrt(11 / 12 * np.square(each - np.mean(each)).sum())
  half = stats.t.ppf(0.975, 11) * error
  assert found.tpr == membership.tpr_at_fpr(score, member, 0.1).tpr
  assert found.low == pytest.approx(max(found.tpr - half, 0))
  assert found.high == pytest.approx(min(found.tpr + half, 1))


def test_ties_never_push_the_false_positive_rate_over():
  member = np.arange(400) % 2 == 0
  found = membership.tpr_at_fpr(np.zeros(400), member, 0.01)
  assert (found.tpr, found.reached) == (0, 0)


@pytest.mark.parametrize(
  ("call", "said"),
  [
    (lambda: membership.memorisation(np.ones((1, 3), bool), np.ones((1, 3))), "models=1"),
    (lambda: membership.memorisation(np.ones((4, 3), bool), np.ones((3, 3))), "shape"),
    (lambda: membership.tpr_at_fpr(np.ones(4), np.ones(4, bool)), "some of both"),
    (lambda: membership.tpr_at_fpr(np.ones(40), np.arange(40) > 9, 0.01), "cannot show"),
    (lambda: membership.lira(*table(), way="both"), "online or offline"),
  ],
)
def test_tables_that_do_not_fit_are_refused(call, said):
  with pytest.raises(BadInput, match=said):
    call()
