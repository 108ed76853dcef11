"""Groups, levels, scales and ends: what the flag of an estimate rests on."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats as scipy_stats

import ovl
from ovl import exchange, load, posterior
from ovl.mi import classes, data, estimate, lanes
from ovl.mi.quote import quoted
from ovl.mi.task import Candidate, Found, Task


def people(G=60, R=20, seed=0, quantity=False):
  """z knows the person, of whom nothing tells y."""
  gen = np.random.default_rng(seed)
  g = np.repeat(np.arange(G), R)
  z = 3 * gen.normal(size=(G, 3))[g] + 0.3 * gen.normal(size=(G * R, 3))
  if quantity:
    return z, 2 * gen.normal(size=(G, 2))[g] + 0.2 * gen.normal(size=(G * R, 2)), g
  return z, gen.integers(0, 2, G)[g], g


def sizes(gen, G, equal):
  return (
    np.full(G, 8) if equal else np.maximum(1, (8 * gen.exponential(size=G)).astype(int))
  )


def unit_world(gen, G, how, equal):
  """Log-odds that know the group and lean to a class; y is a coin, by group or row."""
  n = sizes(gen, G, equal)
  g = np.repeat(np.arange(G), n)
  s = gen.integers(0, 2, G)[g]
  if how == "one typo":
    s[gen.integers(len(g))] ^= 1
  elif how == "varying":
    s = gen.integers(0, 2, len(g))
  f = 1 + 2 * gen.normal(size=G)[g] + 0.5 * gen.normal(size=len(g))
  return np.stack([-np.logaddexp(0, f), -np.logaddexp(0, -f)], 1), s, g


def null_rate(G, how, equal, draws):
  rejected = 0
  for i in range(draws):
    q, s, g = unit_world(np.random.default_rng([i, G]), G, how, equal)
    rejected += exchange.p_of(q, s, g, np.arange(len(s)), 99, i) <= 0.05
  return rejected


# ---- the scheme ----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["constant", "one typo", "varying"])
def test_null_rate_is_at_most_the_level(how):
  for equal in (True, False):
    assert null_rate(12, how, equal, 100) <= scipy_stats.binom.ppf(0.995, 100, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["constant", "one typo", "varying"])
@pytest.mark.parametrize("G", [10, 20, 60])
def test_null_rate_at_length(G, how):
  for equal in (True, False):
    assert null_rate(G, how, equal, 1000) <= scipy_stats.binom.ppf(0.999, 1000, 0.05)


def test_orders_are_permutations_of_whole_groups_in_turn():
  gen = np.random.default_rng(0)
  g = gen.permutation(np.repeat(np.arange(6), 5))
  fold = g % 2
  for at in exchange.orders(g, np.arange(30), 20, 0, fold):
    assert sorted(at) == list(range(30))
    assert (fold[at] == fold).all()
    for one in range(6):
      rows = at[g == one]
      assert len(set(g[rows])) == 1
      steps = np.diff(np.searchsorted(np.flatnonzero(g == g[rows[0]]), rows)) % 5
      assert (steps == 1).all()
  for at in exchange.orders(None, np.arange(30), 5, 0, fold):
    assert sorted(at) == list(range(30))
    assert (fold[at] == fold).all()


@pytest.mark.parametrize("equal", [True, False])
def test_what_y_or_x_alone_say_moves_nothing(equal):
  gen = np.random.default_rng(1)
  q, s, g = unit_world(gen, 12, "varying", equal)
  line = np.arange(len(s))
  plain = exchange.p_of(q, s, g, line, 99, 0)
  of_y = exchange.p_of(q + np.array([3.0, -5.0]), s, g, line, 99, 0)
  of_x = exchange.p_of(q + gen.normal(size=(len(s), 1)), s, g, line, 99, 0)
  assert plain == of_y == of_x
  nothing = np.broadcast_to([0.3, 0.1], q.shape)
  assert exchange.p_of(nothing, s, g, line, 99, 0) == 1.0
  assert exchange.p_of(nothing, s, None, line, 99, 0) == 1.0


def test_power_does_not_fall_with_a_typo():
  gen = np.random.default_rng(0)
  g = np.repeat(np.arange(15), 20)
  s = (np.arange(15) % 2)[g]
  f = 4 * (2 * s - 1) + gen.normal(size=300)
  q = np.stack([-np.logaddexp(0, f), -np.logaddexp(0, -f)], 1)
  for typos in ([], [3], [3, 50, 120]):
    t = s.copy()
    t[typos] ^= 1
    assert exchange.p_of(q, t, g, np.arange(300), 999, 0) <= 0.002


def test_reach_is_the_smallest_p():
  g, line = np.repeat(np.arange(8), 10), np.arange(80)
  two = (np.arange(8) == 0).astype(int)[g]
  assert exchange.reach(two, g, line, 0) == pytest.approx(1 / 8, abs=0.07)
  pair = (g >= 4).astype(int)
  assert exchange.reach(pair, np.minimum(g, 1) + (g >= 4), line, 0) > 0.2
  assert exchange.reach(np.random.default_rng(0).normal(size=(80, 2)), None, line, 0) == 0


def test_draws_suffice_for_their_level():
  for level in (0.5, 0.9, 0.95, 0.97, 0.99, 0.999):
    assert 1 / (1 + exchange.draws_for(level)) <= (1 - level) / 2 + 1e-12


# ---- estimates of groups -------------------------------------------------------------


@pytest.mark.parametrize("method", ["ross", "bayes_error", "plugin", "linear"])
def test_a_persons_coin_is_no_knowledge(method):
  for seed in range(3):
    z, s, g = people(seed=seed)
    one = ovl.mutual_information(z, s, method, groups=g, seeds=1)
    assert one.flag in ("below_resolution", "unreliable")


@pytest.mark.parametrize("method", ["ksg", "sliced", "copula", "dcor"])
def test_a_persons_number_is_no_knowledge(method):
  method = load("critics", "sliced", attribute="vector", slices=4) if (
    method == "sliced"
  ) else method  # fmt: skip
  for seed in range(2):
    z, v, g = people(seed=seed, quantity=True)
    one = ovl.mutual_information(z, v, method, groups=g)
    assert one.flag in ("below_resolution", "unreliable")
    if one.n_train == 0:
      assert one.units == 60


def test_neighbours_that_know_the_person_are_said_to():
  """z holds y, and the person as well: what whole groups read is in `why`."""
  z, s, g = people(G=40, R=10)
  z[:, 0] += 12 * s
  one = ovl.mutual_information(z, s, "ross", groups=g)
  assert one.p <= 0.05
  assert one.flag == "unreliable"
  assert "rows of a group are alike" in one.why


@pytest.mark.parametrize("typos", [0, 1, 12])
def test_typos_in_an_attribute_of_the_group_change_no_verdict(typos):
  gen = np.random.default_rng(0)
  g = np.repeat(np.arange(60), 20)
  s = (np.arange(60) % 2)[g]
  z = gen.normal(size=(1200, 4))
  z[:, 0] += 4 * s
  s[np.arange(typos) * 100] ^= 1
  one = ovl.mutual_information(z, s, "linear", groups=g)
  assert one.p <= 0.005
  assert one.flag == "reliable"


@pytest.mark.parametrize("how", ["constant", "one off", "varying"])
def test_quantities_of_groups_are_tested(how):
  gen = np.random.default_rng(0)
  g = np.repeat(np.arange(60), 10)
  v = gen.normal(size=(60, 2))[g]
  if how == "one off":
    v[7] += 1
  elif how == "varying":
    v = gen.normal(size=(600, 2))
  z = v + 0.3 * gen.normal(size=(600, 2))
  assert ovl.mutual_information(z, v, "copula", groups=g).p == 0.01
  noise = gen.normal(size=(60, 2))[g] + 0.1 * gen.normal(size=(600, 2))
  assert ovl.mutual_information(noise, v, "copula", groups=g).p > 0.01


def test_too_few_groups_are_said_to_be():
  gen = np.random.default_rng(0)
  g = np.repeat(np.arange(8), 40)
  s = (np.arange(8) % 2)[g]
  z = gen.normal(size=(320, 2)) + 4 * s[:, None]
  one = ovl.mutual_information(z, s, "linear", groups=g)
  assert np.isnan(one.p)
  assert one.flag == "unreliable"
  assert "more units are needed" in one.why


# ---- levels, ends, units -------------------------------------------------------------


@pytest.mark.parametrize("method", ["copula", "ksg", "linear"])
def test_what_is_plainly_there_is_found_at_any_level(method):
  gen = np.random.default_rng(0)
  x = gen.normal(size=(600, 1))
  y = x[:, 0] + 0.3 * gen.normal(size=600)
  for given in ({"level": 0.99}, {"counterparts": 2}):
    one = ovl.mutual_information(x, y, method, **given)
    assert one.p <= 1 - one.level
    assert one.flag != "below_resolution"


@pytest.mark.parametrize("method", ["linear", "ross", "fano"])
def test_an_interval_holds_its_estimate(method):
  for seed in range(6):
    gen = np.random.default_rng(seed)
    g = np.repeat(np.arange(16), 30)
    s = (np.arange(16) % 4 == 0).astype(int)[g]
    z = gen.normal(size=(480, 2))
    z[:, 0] += 12 * s
    one = ovl.mutual_information(
      z, s, method, groups=g, seed=seed, seeds=1, schedule={"epochs": 5}
    )
    assert one.low <= one.nats <= one.high <= np.log(2)
    assert one.nats <= one.entropy


def test_ends_are_cut_where_the_estimate_is():
  """A number above H(S): train and report differ in their shares of classes."""
  gen = np.random.default_rng(0)
  given = data.pair(gen.normal(size=(400, 2)), gen.integers(0, 2, 400))
  task = Task(given, data.split(given, 0), lanes.Settings())
  critic = load("critics", "linear", attribute="discrete")
  psi = 0.05 * gen.normal(size=100)
  found = Found((1.2, psi - psi.mean()), psi, 0.001, [], 0.0, 1.0, 240, 0.0, None)
  one = quoted(task, Candidate("linear", critic, found, 0.0))
  assert one.low == one.nats == one.entropy
  assert one.entropy <= one.high <= np.log(2)


FORMS = {
  "tiny": lambda x: 1e-13 * x,
  "huge": lambda x: 1e20 * x,
  "largest": lambda x: 1e300 * x,
  "offset": lambda x: x + 1e7,
  "float16": lambda x: x.astype(np.float16),
  "bfloat16": lambda x: np.asarray(jnp.asarray(x, jnp.bfloat16)),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_unit_of_x_does_not_matter(form):
  gen = np.random.default_rng(0)
  s = gen.integers(0, 2, 400)
  z = gen.normal(size=(400, 3))
  z[:, 0] += 4 * s
  v = z[:, :1] + 0.5 * gen.normal(size=(400, 1))
  for method, y in (("linear", s), ("ross", s), ("copula", v), ("ksg", v)):
    plain = ovl.mutual_information(z, y, method)
    other = ovl.mutual_information(FORMS[form](z), y, method)
    assert other.nats == pytest.approx(plain.nats, abs=0.01)
    assert other.flag == plain.flag


# ---- Fano ----------------------------------------------------------------------------


def test_fano_is_the_bound_of_an_error():
  gen = np.random.default_rng(0)
  s = gen.integers(0, 4, 1000)
  x = gen.normal(size=(1000, 3))
  x[:, 0] += 1.5 * s
  for seeds in (1, 3):
    mlp, fano = ovl.mutual_information(
      x, s, ["mlp", "fano"], seeds=seeds, schedule={"epochs": 10}
    )
    assert 0.05 < fano.nats < mlp.nats - 0.1
    assert fano.low < fano.nats < fano.high


def test_an_ensemble_of_choices_is_read_by_the_error_of_their_vote():
  gen = np.random.default_rng(0)
  s = gen.integers(0, 3, 600)
  given = data.pair(gen.normal(size=(600, 2)), s)
  task = Task(given, data.split(given, 0), lanes.Settings())

  def said(rows):
    told = np.where(gen.random((3, len(rows))) < 0.7, s[rows], 2 - s[rows])
    hot = 10.0 * np.eye(3)[told]
    log_q = hot - np.log(np.exp(hot).sum(-1, keepdims=True))
    return np.take_along_axis(log_q, s[rows][None, :, None], 2)[..., 0], log_q

  stop, report = said(task.parts["stop"]), said(task.parts["report"])
  read = lanes.Lanes(*stop, *report, np.zeros(3), np.ones(3))
  found = classes.by_posterior(task, read)
  true = s[task.parts["report"]]
  wrong = report[1].mean(0).argmax(1) != true
  r = posterior.marginal(s[task.parts["train"]], 3)
  assert found.metric[0] == pytest.approx(estimate.fano(wrong, true, r)[0], abs=1e-9)


def test_fano_and_its_influence_values():
  gen = np.random.default_rng(0)
  s, r = gen.integers(0, 3, 4000), np.full(3, 1 / 3)
  wrong = gen.random(4000) < 0.2
  value, psi = estimate.fano(wrong, s, r)
  e = wrong.mean()
  twin = np.log(3) + e * np.log(e) + (1 - e) * np.log(1 - e) - e * np.log(2)
  assert value == pytest.approx(twin)
  assert psi.mean() == pytest.approx(0, abs=1e-9)
  more = np.append(wrong, np.ones(40, bool))
  moved = estimate.fano(more, np.append(s, s[:40]), r)[0] - value
  assert moved == pytest.approx(40 / 4040 * psi[wrong].mean(), rel=0.05)
