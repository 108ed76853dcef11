"""`ovl.mutual_information`, `ovl.certify`, `ovl mi`: what one gets, and at what error."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

import ovl
from ovl import load, posterior, ranks
from ovl.cli import main
from ovl.mi import classes as by_classes
from ovl.mi import data, estimate, lanes, methods
from ovl.mi.auto import AUTO
from ovl.mi.methods import reading
from ovl.mi.task import Task, entropy, entropy_high
from ovl.types import Attribute, BadInput

QUICK = {"epochs": 15}


def gaussian(n=1500, rho=0.75, d=1, seed=0):
  gen = np.random.default_rng(seed)
  x = gen.normal(size=(n, d))
  y = rho * x + np.sqrt(1 - rho**2) * gen.normal(size=(n, d))
  return x, y, -0.5 * d * np.log(1 - rho**2)


def classes(n=1500, shift=1.2, seed=0, d=3):
  gen = np.random.default_rng(seed)
  s = gen.integers(0, 2, n)
  x = gen.normal(size=(n, d))
  x[:, 0] += shift * (2 * s - 1)
  gap = gen.normal(size=200_000) + shift  # log-odds of the right class is 2 * shift * this
  truth = np.log(2) - np.logaddexp(0, -2 * shift * gap).mean()
  return x, s, truth


# ---- what comes back -----------------------------------------------------------------


def test_auto_on_classes_is_right_and_certified():
  x, s, truth = classes()
  one = ovl.mutual_information(x, s, seeds=2, schedule=QUICK)
  assert one.low <= truth <= one.high
  assert abs(one.nats - truth) < 0.06
  assert 0.2 < one.certified_low < truth
  assert one.entropy == pytest.approx(np.log(2), abs=0.01)
  assert one.share == pytest.approx(one.nats / one.entropy)
  assert one.p == pytest.approx(0.001)
  assert one.flag == "reliable"
  assert one.method in AUTO["discrete"]
  assert "cross-entropy on stop" in one.why


def test_auto_on_quantities_is_right():
  x, y, truth = gaussian()
  one = ovl.mutual_information(x[:, 0], y[:, 0], seeds=1, schedule=QUICK)
  assert one.low <= truth <= one.high
  assert abs(one.nats - truth) < 0.06
  assert one.flag == "reliable"
  assert np.isnan(one.entropy)
  assert np.isnan(one.certified_low)


def test_several_methods_come_in_order_and_agree():
  x, s, truth = classes()
  found = ovl.mutual_information(x, s, ["linear", "quadratic", "ross", "hsic"], seeds=1)
  assert [one.method for one in found] == ["linear", "quadratic", "ross", "hsic"]
  for one in found[:3]:
    assert abs(one.nats - truth) < 0.12
  assert found[0].bound == "lower"
  assert found[3].unit == ""
  assert found[3].p <= 0.05


def test_a_critic_of_ones_own_is_a_method():
  x, s, truth = classes()
  mine = load("critics", "linear", attribute="discrete", l2=3.0)
  assert abs(ovl.mutual_information(x, s, mine).nats - truth) < 0.08


def test_a_continuous_probe_reads_one_quantity():
  x, y, truth = gaussian(d=1)
  one = ovl.mutual_information(x, y[:, 0], "linear")
  assert abs(one.nats - truth) < 0.08


@pytest.mark.parametrize("change", ["rows", "rescaled", "rotated"])
@pytest.mark.parametrize("task", ["classes", "vector"])
def test_copies_come_back_within_their_intervals(task, change):
  gen = np.random.default_rng(3)
  x, y, _ = classes() if task == "classes" else gaussian(d=3, rho=0.5)
  given = {"seeds": 1, "schedule": QUICK}
  plain = ovl.mutual_information(x, y, **given)
  if change == "rows":
    order = gen.permutation(len(x))
    copy = ovl.mutual_information(x[order], y[order], **given)
  elif change == "rescaled":
    copy = ovl.mutual_information(x * [1e-3, 7.0, 1e4] + 5, y, **given)
  else:
    turn = scipy_stats.ortho_group.rvs(3, random_state=1)
    copy = ovl.mutual_information(x @ turn, y, **given)
  assert plain.low - 0.02 <= copy.nats <= plain.high + 0.02


def test_the_same_call_gives_the_same_numbers():
  x, s, _ = classes(400)
  assert ovl.mutual_information(x, s, "linear") == ovl.mutual_information(x, s, "linear")


# ---- nothing there -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["discrete", "vector"])
def test_independence_is_found_out_at_the_stated_rate(kind):
  """40 draws: rejections stay within the upper 99 % bound of 5 %."""
  rejected, values = 0, []
  method = "linear" if kind == "discrete" else "copula"
  for seed in range(40):
    gen = np.random.default_rng(seed)
    x = gen.normal(size=(400, 4))
    y = gen.integers(0, 3, 400) if kind == "discrete" else gen.normal(size=(400, 2))
    one = ovl.mutual_information(x, y, method, seed=seed)
    rejected += one.p <= 0.05
    values.append(one.nats)
    assert one.certified_low == 0.0 or np.isnan(one.certified_low)
  assert rejected <= scipy_stats.binom.ppf(0.99, 40, 0.05)
  assert abs(np.mean(values)) < 0.01


def test_groups_are_the_unit():
  """An attribute of 30 persons, rows that recognise persons, and no law behind it."""
  gen = np.random.default_rng(0)
  person = np.repeat(np.arange(30), 20)
  s = gen.integers(0, 2, 30)[person]
  x = gen.normal(size=(30, 4))[person] * 3 + 0.1 * gen.normal(size=(600, 4))
  grouped = ovl.mutual_information(x, s, "linear", groups=person)
  assert grouped.units <= 10
  assert grouped.certified_low == 0.0
  assert grouped.flag != "reliable"
  rows = ovl.mutual_information(x, s, "mlp", seeds=1)
  assert rows.certified_low > 0.05  # what a person sees who forgets the groups


@pytest.mark.slow
@pytest.mark.parametrize(
  ("width", "draws", "method"), [(512, 200, "linear"), (16, 60, "auto")]
)
def test_independence_at_length(width, draws, method):
  """False positives at most 6 % (its upper 99 % bound), mean |estimate| below .01."""
  rejected, values = 0, []
  for seed in range(draws):
    gen = np.random.default_rng(seed)
    x, s = gen.normal(size=(2000, width)), gen.integers(0, 4, 2000)
    one = ovl.mutual_information(x, s, method, seeds=1, seed=seed)
    rejected += one.p <= 0.05
    values.append(abs(one.nats))
  assert rejected <= scipy_stats.binom.ppf(0.99, draws, 0.06)
  assert np.mean(values) <= 0.01


FIVE = ("1v1-additive-0.75", "multinormal-sparse-5-5-2-2.0", "student-identity-3-3-2",
        "multinormal-dense-3-3-0.5", "swissroll_x-normal_cdf-1v1-normal-0.75")  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("task", FIVE)
def test_auto_takes_copies_of_five_tasks_as_the_same(task):
  sample = load("datasets", "known_mi", task=task, n=6000)
  x, y, gen = sample.x, sample.attributes["y"].values, np.random.default_rng(0)
  plain = ovl.mutual_information(x, y, seeds=1)
  turn = (
    scipy_stats.ortho_group.rvs(x.shape[1], random_state=2) if x.shape[1] > 1 else [[-1]]
  )
  order = gen.permutation(len(x))
  scale = np.exp(gen.normal(size=x.shape[1]) * 3)
  for u, v in ((x[order], y[order]), (x * scale, y), (x @ turn, y)):
    copy = ovl.mutual_information(u, v, seeds=1)
    # One critic: its seed alone moves it by .015.
    assert plain.low - 0.02 <= copy.nats <= plain.high + 0.02


# ---- certificates --------------------------------------------------------------------


def test_certify_brackets_a_noised_release():
  x, s, truth = classes(2000, shift=2.0)
  noise = ovl.releases.gaussian(clip=2.0, sigma=1.5)
  sure = ovl.certify(x, s, release=noise, method="linear")
  plain = ovl.certify(x, s, method="linear")
  assert 0 < sure.low < sure.nats < sure.high < np.log(2)
  assert plain.low > sure.low
  assert plain.high == pytest.approx(np.log(2))
  assert plain.low < truth
  with pytest.raises(BadInput, match="needs classes"):
    ovl.certify(x, x[:, 0])


# ---- pieces, by naive twins ----------------------------------------------------------


def test_donsker_varadhan_twin_and_influence():
  gen = np.random.default_rng(0)
  pairs = estimate.Pairs(gen.normal(size=50), gen.normal(size=(50, 7)))
  value, psi = estimate.donsker_varadhan(pairs)
  twin = np.mean(pairs.joint_N) - np.log(np.mean(np.exp(pairs.others_NR)))
  assert value == pytest.approx(twin)
  assert psi.sum() == pytest.approx(0, abs=1e-9)
  # Twice the weight of row 0 moves the value as psi_0 says, to first order.
  weight = np.ones(50) / 50
  weight[0] += 1e-5
  weight /= weight.sum()
  moved = weight @ pairs.joint_N - np.log(weight @ np.exp(pairs.others_NR).mean(1))
  assert (moved - value) / 1e-5 == pytest.approx(psi[0], abs=1e-3)


def test_posterior_pieces():
  gen = np.random.default_rng(1)
  logits = gen.normal(size=(3, 200, 4))
  log_q = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
  mean = posterior.pooled(log_q)
  twin = np.exp(log_q.mean(0))
  np.testing.assert_allclose(mean, twin / twin.sum(1, keepdims=True))
  s = np.array([gen.choice(4, p=row) for row in mean])
  hot = posterior.tempered(mean, 0.25)  # four times too sure
  np.testing.assert_allclose(hot, mean**4 / (mean**4).sum(1, keepdims=True))
  assert posterior.temperature(hot, s) == pytest.approx(4, rel=0.35)


def test_mi_quotes_what_the_audit_does():
  """One posterior of the same lanes: pooled, tempered, mixed, and compared."""
  gen = np.random.default_rng(0)
  s = gen.integers(0, 3, 600)
  given = data.pair(gen.normal(size=(600, 2)), s)
  task = Task(given, data.split(given, 0), lanes.Settings())
  train, stop, report = (task.parts[name] for name in ("train", "stop", "report"))
  q = gen.dirichlet(np.ones(3), 600) * 0.4 + 0.6 * np.eye(3)[s]
  log_q = np.log(q)[None]
  at = np.log(q)[np.arange(600), s][None]
  found = lanes.Lanes(
    at[:, stop], log_q[:, stop], at[:, report], log_q[:, report], np.zeros(1), np.ones(1)
  )
  mine = by_classes.by_posterior(task, found)
  base = posterior.label_only("discrete", s[train], 0 * s[train], 1, 3)[0]
  t = posterior.temperature(q[stop], s[stop])
  best = min(
    (-np.log((1 - w) * p + w * base[s[stop]]).mean(), -w)
    for w in posterior.WEIGHTS
    for p in [posterior.tempered(q[stop], t)[np.arange(len(stop)), s[stop]]]
  )
  w = -best[1]
  mixed = (1 - w) * posterior.tempered(q[report], t) + w * base
  blind = ((1 - w) * posterior.tempered(q[stop], t) + w * base).mean(0)
  reference = max(np.log(row)[s[report]].mean() for row in (base, blind))
  twin = np.log(mixed)[np.arange(len(report)), s[report]].mean() - reference
  assert mine.metric[0] == pytest.approx(twin)
  assert mine.cost_N.mean() == pytest.approx(best[0])


def test_entropy_is_miller_madow():
  s = np.repeat([0, 0, 1, 2], 10)
  assert entropy(s, 5) == pytest.approx(1.5 * np.log(2) + 2 / 80)
  assert entropy(s[::10], 5) == np.log(3)  # three classes hold no more


def test_upper_end_of_an_entropy_covers_it():
  """H(S) of a fair coin and of a rare class, from samples."""
  gen = np.random.default_rng(0)
  for p in (0.5, 0.03):
    truth = -(p * np.log(p) + (1 - p) * np.log(1 - p))
    above = [
      entropy_high((gen.random(300) < p).astype(int), 2, 0.95) >= truth for _ in range(400)
    ]
    assert np.mean(above) >= 0.93


def test_cross_fitting_removes_the_first_order_bias():
  """15 x 15 independent columns: in-sample alone is 225 / 2n = .044 too high."""
  gen = np.random.default_rng(0)
  values = []
  for seed in range(4):
    x, y = gen.normal(size=(3000, 15)), gen.normal(size=(3000, 15))
    values.append(ovl.mutual_information(x, y, "copula", seed=seed).nats)
  assert abs(np.mean(values)) < 0.012


def test_split_is_by_groups_and_normal_scores_keep_order():
  x, s, _ = classes(300)
  pair = data.pair(x, s, groups=np.repeat(np.arange(60), 5))
  parts = data.split(pair, 0)
  sides = [set(pair.groups_N[rows]) for rows in parts.values()]
  assert sum(map(len, sides)) == 60
  scores = ranks.normal_scores(np.exp(x), np.exp(x[parts["train"]]))
  assert (np.argsort(scores[parts["train"], 0]) == np.argsort(x[parts["train"], 0])).all()


def test_lanes_learn_from_the_rows_they_are_given():
  """A lane of half the rows does not see the other half."""
  x, s, _ = classes(600)
  settings = lanes.Settings(seeds=1)
  task = Task(data.pair(x, s), data.split(data.pair(x, s), 0), settings)
  critic = load("critics", "linear", attribute="discrete")
  half = methods.learnt(task, critic, 0.5, 1, lambda *_: None)
  rows = task.parts["train"]
  cut = {**task.parts, "train": rows}
  junk = task.pair.y.values.copy()
  junk[rows[len(rows) // 2 :]] = 1 - junk[rows[len(rows) // 2 :]]
  spoilt = task.pair._replace(y=Attribute(junk, "discrete", task.pair.y.labels))
  again = methods.learnt(Task(spoilt, cut, settings), critic, 0.5, 1, lambda *_: None)
  np.testing.assert_allclose(half.others, again.others, atol=1e-5)


def test_flags_say_the_gravest():
  assert estimate.flagged(["a"], 0.5, 0.95, "c")[0] == "below_resolution"
  assert estimate.flagged(["a"], 0.01, 0.95, "c")[0] == "at_ceiling"
  assert estimate.flagged(["a", "b"], 0.01, 0.95, "") == ("unreliable", "a; b")
  assert estimate.flagged([], 0.01, 0.95, "")[0] == "reliable"
  x, s, _ = classes(600, shift=20.0)
  assert ovl.mutual_information(x, s, "linear").flag == "at_ceiling"


# ---- bad input -----------------------------------------------------------------------

X, S, _ = classes(100)
BAD = {
  "few": ((X[:30], S[:30]), {}, "too few"),
  "lengths": ((X, S[:-1]), {}, "100 rows and y has 99"),
  "constant x": ((0 * X, S), {}, "x is constant"),
  "constant y": ((X, 0 * S), {}, "y is constant"),
  "nan": ((np.where(X > 2, np.nan, X), S), {}, "x has nan"),
  "text": ((np.array([["a"]] * 100), S), {}, "expected numbers"),
  "identity": ((X, np.arange(100)), {}, "identity"),
  "method": ((X, S, "mlpp"), {}, "did you mean 'mlp'"),
  "kind of method": ((X, S, "ksg"), {}, "reads"),
  "penalty": ((X, S, "club"), {}, "penalty"),
  "empty": ((X, S, []), {}, "empty"),
  "setting": ((X, S), {"sedes": 3}, "did you mean 'seeds'"),
  "seeds": ((X, S), {"seeds": 0}, "at least 1"),
  "level": ((X, S), {"level": 95}, r"in \[.5, 1\)"),
  "schedule": ((X, S, "mlp"), {"schedule": {"epoch": 3}}, "epoch"),
  "groups": ((X, S), {"groups": np.arange(99)}, "groups has 99 rows"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(case):
  given, settings, said = BAD[case]
  with pytest.raises(BadInput, match=said) as caught:
    ovl.mutual_information(*given, **settings)
  assert str(caught.value).count("\n") == 0


def test_every_reported_method_is_offered():
  assert {"linear", "mlp", "dv", "mine", "ross", "hsic", "mmd"} <= set(reading("discrete"))
  assert {"ksg", "cca", "copula", "sliced", "js"} <= set(reading("vector"))
  assert "club" not in reading("vector")


# ---- the command ---------------------------------------------------------------------


def test_command_prints_a_table(tmp_path, capsys):
  x, s, _ = classes(400)
  np.save(tmp_path / "x.npy", x)
  np.save(tmp_path / "s.npy", s)
  words = ["ovl", "mi", str(tmp_path / "x.npy"), str(tmp_path / "s.npy")]
  assert main([*words, "--method=linear,ross"]) == 0
  out = capsys.readouterr().out
  assert "lower bound" in out
  assert "ross" in out
  assert "intervals at 95%" in out
  assert main([*words, "--method=liner"]) == 2
  assert "did you mean 'linear'" in capsys.readouterr().err
  assert main(words[:3]) == 2
  assert "expected X Y: an .npy" in capsys.readouterr().err
  assert main([*words[:3], str(tmp_path / "t.npy")]) == 2
  np.save(tmp_path / "o.npy", np.array([{}], object))
  assert main([*words[:3], str(tmp_path / "o.npy")]) == 2


@pytest.mark.parametrize("K", [2, 5])
def test_interval_reaches_what_is_there_where_x_tells_all(K):
  """The least weight of labels alone and the sample's own H(S) both take off a little."""
  inside = 0
  for draw in range(6):
    gen = np.random.default_rng(draw)
    s = gen.integers(0, K, 600)
    x = 4 * np.eye(K)[s] + 0.3 * gen.normal(size=(600, K))
    found = ovl.mutual_information(x, s, "linear", seed=draw)
    inside += found.low <= np.log(K) <= found.high
    assert found.low <= found.nats <= found.high
  assert inside >= 5
