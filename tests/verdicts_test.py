"""`ovl bench verdicts`: truths are true, what is wrong is named, and a run resumes."""

import json
import math

import numpy as np
import pytest
from scipy import integrate, stats

from ovl import bench, results
from ovl.about import About
from ovl.bench import claims, count, planted, table, truth
from ovl.bench.drawn import Asked, Audited, Paired
from ovl.bench.verdicts import aggregates
from ovl.cli import main
from ovl.judge import verdict
from ovl.mi import Estimate
from ovl.run import Result
from ovl.types import BadInput, Row

CONFIG = {
  "seed": 0,
  "worlds": ("coins, N 100", "pairs of 3 models, right or wrong"),
  "draws": 100,
  "level": 0.95,
  "audit": {"critics": ("linear",)},
  "mi": {},
}


def quiet(share, said):
  pass


# ---- words -------------------------------------------------------------------------------


def naive_interval(hits, trials, level):
  """Where the tail sums of the binomial law are half the error, by bisection."""

  def tail(p, counts):
    return sum(math.comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in counts)

  def root(f):
    low, high = 0.0, 1.0
    for _ in range(60):
      middle = (low + high) / 2
      low, high = (middle, high) if f(middle) < 0 else (low, middle)
    return low

  half = (1 - level) / 2
  low = root(lambda p: tail(p, range(hits, trials + 1)) - half) if hits else 0.0
  high = root(lambda p: half - tail(p, range(hits + 1))) if hits < trials else 1.0
  return low, high


@pytest.mark.parametrize(("hits", "trials"), [(0, 20), (3, 40), (40, 40)])
@pytest.mark.parametrize("level", [0.9, 0.999])
def test_interval_of_a_rate_is_exact(hits, trials, level):
  low, high, _ = claims.word(claims.CLAIMS["false_cell"], hits, trials, level)
  assert (low, high) == pytest.approx(naive_interval(hits, trials, level), abs=1e-9)


@pytest.mark.parametrize(
  ("name", "hits", "trials", "said"),
  [
    ("false_cell", 50, 1000, claims.HOLDS),
    ("false_cell", 10, 1000, claims.CONSERVATIVE),
    ("false_cell", 120, 1000, claims.OUT),
    ("false_cell", 2, 10, claims.HOLDS),  # too few to say
    ("detected", 160, 200, claims.HOLDS),
    ("detected", 199, 200, claims.CONSERVATIVE),
    ("detected", 100, 200, claims.OUT),
    ("copies_differ", 0, 10, claims.HOLDS),
    ("copies_differ", 1, 10, claims.OUT),
  ],
)
def test_word_of_a_rate(name, hits, trials, said):
  assert claims.word(claims.CLAIMS[name], hits, trials, 0.999)[2] == said


def test_word_of_a_mean():
  x_N = np.random.default_rng(0).normal(size=30)
  naive = stats.ttest_1samp(x_N, 0).confidence_interval(0.99)
  assert claims.mean_word(x_N, 0.99)[:2] == pytest.approx(tuple(naive))
  assert claims.mean_word(x_N - x_N.mean(), 0.99)[2] == claims.HOLDS
  assert claims.mean_word(x_N + 5, 0.99)[2] == claims.OUT
  assert claims.mean_word(x_N - 5, 0.99)[2] == claims.CONSERVATIVE
  assert claims.mean_word(np.zeros(4), 0.99)[2] == claims.HOLDS


def test_words_are_adjusted_for_the_number_of_lines():
  one = Row(task="a", metric="false_cell", value=12.0, n_eval=100, seed=0)
  alone = aggregates([one], 0.95)
  many = aggregates([one._replace(task=str(i)) for i in range(50)], 0.95)
  assert (alone[0].level, many[0].level) == pytest.approx((0.95, 0.999))
  assert (alone[0].verdict, many[0].verdict) == (claims.OUT, claims.HOLDS)


# ---- truths ------------------------------------------------------------------------------


def test_information_of_a_shift():
  def of_z(z):
    p = [stats.norm.pdf(z, m) for m in (-0.8, 0.8)]
    return sum(q / 2 * np.log(2 * q / sum(p)) for q in p)

  assert truth.shift(1.6) == pytest.approx(integrate.quad(of_z, -12, 12)[0], rel=1e-6)
  assert truth.shift(0.0) == pytest.approx(0.0, abs=1e-12)
  assert truth.corners(0.5, 2) == pytest.approx(truth.shift(0.5 * 2**0.5), rel=0.01)
  assert truth.corners(30.0, 4) == pytest.approx(np.log(4))
  for K in (2, 5):
    of = truth.shift if K == 2 else lambda d: truth.corners(d, 5)
    assert of(truth.delta_for(0.02, K)) == pytest.approx(0.02, rel=1e-6)


def test_numbers_of_a_coin_and_a_pair():
  gen, N = np.random.default_rng(0), 400_000
  s_N = gen.integers(0, 2, N)
  z_N = 1.5 * s_N + gen.normal(size=N)
  known = truth.of_coin(1.5)
  assert known["accuracy"] == pytest.approx(((z_N > 0.75) == s_N).mean(), abs=3e-3)
  u = stats.mannwhitneyu(z_N[s_N == 1], z_N[s_N == 0]).statistic
  assert known["auc"] == pytest.approx(u / (s_N.sum() * (N - s_N.sum())), abs=3e-3)
  assert known["share_beyond_task"] == pytest.approx(known["information"] / np.log(2))
  some = [truth.shift(d) for d in 1.5 + 0.3 * gen.normal(size=4000)]
  mean = truth.of_coins(1.5, 0.3)["information"]
  assert mean == pytest.approx(np.mean(some), abs=4 * np.std(some) / 4000**0.5)
  pair = truth.of_pair(0.6)
  assert pair["share_beyond_task"] == pytest.approx(-np.expm1(-2 * pair["information"]))
  assert truth.flipped(0.5) == pytest.approx(0.0)
  assert truth.flipped(0.0) == pytest.approx(np.log(2))


@pytest.mark.parametrize("name", table.TABLE)
def test_every_world_draws_what_it_says(name, monkeypatch):
  monkeypatch.setattr(planted, "stated", lambda **law: 0.05)
  world = table.TABLE[name]
  one, two = (world.draw(np.random.default_rng(1)) for _ in range(2))
  assert type(one) is type(two)
  if isinstance(one, Audited):
    assert set(one.attributes) == set(one.truth)
    for a, b in zip(one.taps.values(), two.taps.values(), strict=True):
      np.testing.assert_array_equal(a, b)
    rows = {len(s_N) for s_N in one.attributes.values()}
    assert rows == {z.shape[-2] for z in one.taps.values()}
    known = [t for t in one.truth.values() if t.leaks]
    assert all(t.nats > 0 for t in known)
    assert bool(known) or all(np.isnan(t.nats) or t.nats < 0.7 for t in one.truth.values())
  elif isinstance(one, Paired):
    means = one.a_RSN.mean() - one.b_RSN.mean()
    assert means == pytest.approx(one.difference, abs=0.02)
    assert len(np.unique(one.rows_RSN[0, 0])) == one.rows_RSN.shape[2]
  else:
    assert isinstance(one, Asked)
    assert len(one.x) == len(one.y)


def test_detectable_worlds_plant_what_an_audit_states():
  share = planted.stated(rows=400)
  draws = [planted.detected(np.random.default_rng(i), rows=400) for i in range(50)]
  assert draws[0].truth["planted"].nats == pytest.approx(share * np.log(2))
  z_N = np.concatenate([one.taps["z"][:, 0] for one in draws])
  s_N = np.concatenate([one.attributes["planted"] for one in draws])
  apart, error = z_N[s_N == 1].mean() - z_N[s_N == 0].mean(), 2 / len(z_N) ** 0.5
  assert apart == pytest.approx(truth.delta_for(share * np.log(2)), abs=4 * error)


# ---- counts ------------------------------------------------------------------------------


def said(name, attribute="s", **columns):
  row = Row(subject="trained", layer="z", attribute=attribute, metric=name)
  return row._replace(**columns)


def counts(rows):
  found = {}
  for row in rows:
    of = json.loads(row.setting)["of"] if row.setting else ""
    found[row.metric, of] = row.value, row.n_eval
  return found


def test_an_audit_is_counted_against_the_truth(monkeypatch):
  rows = [
    said("share_beyond_task", seed=0, p=0.03, value=0.1),
    said("share_beyond_task", seed=1, p=0.04, value=0.1),
    said("share_beyond_task", num_seeds=2, value=0.1, low=0.05, high=0.2, p=1.0,
         verdict=verdict.NOTHING),
    said("share_beyond_task", "t", seed=0, p=0.01, value=0.3),
    said("share_beyond_task", "t", num_seeds=2, value=0.3, low=0.25, high=0.4, p=0.01,
         verdict=verdict.LEAKS),
    said("certified_low", num_seeds=2, value=0.2, low=0.2, high=0.7),
    said("certified_low", "t", num_seeds=2, value=0.2, low=0.2, high=0.7),
    said("excess_share", "t", num_seeds=2, value=0.3, low=0.1, high=0.5, p=0.01),
    said("auc", "t", num_seeds=2, value=0.8, low=0.7, high=0.75),
    said("auc", "t", seed=0, value=0.8, low=0.0, high=0.1),
  ]  # fmt: skip
  monkeypatch.setattr(count, "audit", lambda *_, **__: Result(rows, About("audit", "", {})))
  known = count.Truth(
    True, 0.15, {"share_beyond_task": 0.2, "auc": 0.76}, excess=0.0, planted=True
  )
  drawn = Audited({"z": np.zeros((4, 1))}, {}, {"s": count.Truth(), "t": known})
  assert counts(count.counted(drawn, CONFIG, 0)) == {
    ("false_verdict", ""): (0, 1),
    ("false_cell", ""): (0, 1),  # 2 x median of .03, .04
    ("above_nothing", ""): (1, 1),
    ("untested", ""): (0, 1),
    ("bias", "share_beyond_task"): (pytest.approx(0.1), 1),
    ("detected", ""): (1, 1),
    ("certified_false", ""): (2, 2),
    ("missed", "share_beyond_task"): (1, 1),
    ("missed", "auc"): (1, 1),
    ("bias", "auc"): (pytest.approx(0.04), 1),
    ("missed", "excess_share"): (1, 1),
    ("bias", "excess_share"): (pytest.approx(0.3), 1),
    ("false_excess", ""): (1, 1),
  }
  vague = drawn._replace(truth=drawn.truth | {"t": known._replace(exact=False)})
  assert counts(count.counted(vague, CONFIG, 0))["above_truth", "share_beyond_task"] == (
    1,
    1,
  )
  assert counts(count.counted(vague, CONFIG, 0))["above_truth", "auc"] == (0, 1)
  rows[2] = rows[2]._replace(verdict=verdict.LEAKS)
  assert counts(count.counted(drawn, CONFIG, 0))["false_verdict", ""] == (1, 1)
  rows[2] = rows[2]._replace(verdict=verdict.FEW)
  assert counts(count.counted(drawn, CONFIG, 0))["untested", ""] == (1, 1)
  same = drawn._replace(options={"untrained": drawn.taps})
  assert counts(count.counted(same, CONFIG, 0))["copies_differ", ""] == (1, 1)


@pytest.mark.parametrize(("nats", "low", "wrong"), [(0.3, 0.2, 0), (0.3, 0.35, 1)])
def test_an_estimate_is_counted_against_the_truth(monkeypatch, nats, low, wrong):
  blank = dict.fromkeys(Estimate._fields, 0)
  given = {"nats": 0.4, "low": low, "high": 0.5, "level": 0.95, "certified_low": low}
  found = Estimate(**blank | given)
  monkeypatch.setattr(count, "mutual_information", lambda *_, **__: found)
  of = "mutual_information"
  assert counts(count.counted(Asked(np.zeros((2, 1)), np.zeros(2), nats), CONFIG, 0)) == {
    ("bias", of): (pytest.approx(0.1), 1),
    ("certified_false", ""): (wrong, 1),
    ("missed", of): (wrong, 1),
  }
  none = counts(count.counted(Asked(np.zeros((2, 1)), np.zeros(2), 0.0), CONFIG, 0))
  assert none["false_information", ""] == (1, 1)
  assert none["above_nothing", of] == (1, 1)


# ---- the study ---------------------------------------------------------------------------


def auditor(p_of, leaks):
  """An audit that looks at nothing: p-values as told, a verdict as told."""

  def audit(taps, attributes, **options):
    rows = []
    for name in attributes:
      p = p_of(np.random.default_rng([options["seed"], len(rows)]))
      one = said("share_beyond_task", name, value=-0.01, low=-0.02, high=0.01, p=p)
      rows.append(one._replace(seed=0))
      word = verdict.LEAKS if leaks else verdict.NOTHING
      rows.append(one._replace(num_seeds=1, verdict=word))
    return Result(rows, About("audit", "", {}))

  return audit


@pytest.mark.parametrize("broken", [False, True])
def test_a_broken_verdict_is_out_of_reach(tmp_path, monkeypatch, broken):
  p_of = (lambda gen: gen.random() ** 2) if broken else (lambda gen: gen.random())
  monkeypatch.setattr(count, "audit", auditor(p_of, broken))
  (rows, _), page = bench.run(CONFIG, tmp_path, quiet)
  words = {r.metric: r.verdict for r in rows if r.num_seeds and r.task == "coins, N 100"}
  expected = claims.OUT if broken else claims.HOLDS
  assert words["false_cell"] == words["false_verdict"] == expected
  worst = page.with_suffix(".md").read_text().split("## Out of reach")[1].split("##")[0]
  assert ("coins, N 100" in worst) == broken


def test_an_interrupted_study_resumes_and_nothing_is_redone(tmp_path, monkeypatch):
  monkeypatch.setattr(count, "audit", auditor(lambda gen: gen.random(), False))
  config = CONFIG | {"draws": 3}

  def interrupt(share, said):
    if share > 0.5:
      raise KeyboardInterrupt

  (whole, _), _ = bench.run(config, tmp_path / "whole", quiet)
  tmp_path = tmp_path / "parts"
  with pytest.raises(KeyboardInterrupt):
    bench.run(config, tmp_path, interrupt)
  cells = tmp_path / "checkpoints/cells"
  kept = {path: path.read_bytes() for path in cells.rglob("*.jsonl")}
  assert 0 < len(kept) < 6
  (rows, _), _ = bench.run(config, tmp_path, quiet)
  timeless = [[r for r in some if r.metric != "seconds"] for some in (rows, whole)]
  assert timeless[0] == timeless[1]
  assert all(path.read_bytes() == was for path, was in kept.items())
  before = (tmp_path / "rows.csv").read_bytes()
  monkeypatch.setattr(count, "audit", None)
  assert bench.run(config, tmp_path, quiet)[0].rows == rows
  assert (tmp_path / "rows.csv").read_bytes() == before


def test_unknown_worlds_and_no_draws_are_refused(tmp_path):
  with pytest.raises(BadInput, match="coins, N 100"):
    bench.run(CONFIG | {"worlds": ("coins, N 10",)}, tmp_path, quiet)
  with pytest.raises(BadInput, match="at least 1"):
    bench.run(CONFIG | {"draws": 0}, tmp_path, quiet)


def test_smoke_runs_from_the_command_line_and_resumes(tmp_path, capsys):
  home = tmp_path / "w"
  words = ["ovl", "bench", "verdicts", "--config=verdicts:smoke", f"--workdir={home}"]
  assert main(words) == 0
  out = capsys.readouterr().out
  assert "no word is wrong by chance). Out of reach:" in out
  page = (home / "report.md").read_text()
  for text in (out, page):
    assert "No line." in text
  assert "| a cell that knows nothing has p <= .05 by itself | 5 % | 1 |" in page
  assert "| 3 untrained twins are the trained networks | the excess over copies" in page
  assert "| pairs of 3 models, right or wrong | a 95 % interval does not hold" in page
  rows = results.read(home)
  for metric in ("detected", "missed", "certified_false", "bias"):
    assert any(r.metric == metric and r.verdict for r in rows), metric
  assert main(words) == 0
  assert "nothing to do" in capsys.readouterr().out
  before = (home / "rows.csv").read_bytes()
  (home / "run.json").unlink()
  assert main(words) == 0
  assert (home / "rows.csv").read_bytes() == before
  assert main(["ovl", "bench", "verdicts", "--config=mi:smoke"]) == 2
  assert "is an experiment of ovl bench mi" in capsys.readouterr().err
