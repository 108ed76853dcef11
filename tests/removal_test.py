"""Verdicts, costs and the front of an unlearning study, from cases made by hand."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from ovl import bounds, stats
from ovl.about import About
from ovl.judge import case as measures
from ovl.judge import cells, reference, removal, verdict
from ovl.judge.case import Case, Left
from ovl.judge.cells import Column, Frame, Scored
from ovl.judge.trial import Trial
from ovl.posterior import Guess
from ovl.run import Result
from ovl.types import Lane, Row

S, N = 5, 240  # seeds, rows of each part
SEEDS = [7, 8, 9, 10, 11]
SPREAD = np.array([0.02, -0.01, 0.0, 0.015, -0.025])  # sums to 0
LN2 = np.log(2)


@pytest.fixture(scope="module")
def frame():
  gen = np.random.default_rng(0)
  rows = np.stack([gen.permutation(9 * N)[: 3 * N] for _ in range(S)])
  return Frame(rows, (N, N, N), gen.integers(0, 2, (S, 3 * N)), 2, None)


@pytest.fixture(scope="module")
def column(frame):
  s = np.random.default_rng(1).integers(0, 2, (S, 3 * N))
  return Column("hue", "discrete", ("a", "b"), s, s >= 0, s, LN2, LN2, "")


@pytest.fixture(scope="module")
def case(frame, column):
  """Makes a case: `share` and `accuracy` of seeds, and whether the test finds a leak."""

  def made(
    subject, share=0.5, leaks=True, accuracy=0.9, setting="", read=None, alive=True,
    control=False, floor=0.0,
  ):  # fmt: skip
    share, accuracy = np.broadcast_to(share, S) * 1.0, np.broadcast_to(accuracy, S)
    s_SN = column.s_SN[:, 2 * N :]
    flat = np.full((N, 2), 0.5)
    guess = []
    for s_N, found in zip(s_SN, np.broadcast_to(leaks, S), strict=True):
      q = np.where(np.eye(2)[s_N] > 0, 0.7, 0.3) if found else flat
      guess.append(Guess("discrete", q, flat, 0.1 if found else 1.0))
    psi = np.zeros(N)
    metrics = [
      {"information": (v * LN2, psi), "share": (v, psi), "accuracy": (0.5 + v / 2, psi)}
      for v in share
    ]
    lane = Lane(subject, "fc", 0, np.zeros((S, 3 * N, 4)), setting)
    method, beyond = ["linear"] * S, [(v, psi) for v in share]
    best = Scored(lane, column, metrics, method, beyond, method, guess, guess, 1.0)
    correct = np.arange(N) < np.round(accuracy * N)[:, None]
    alive_S = np.broadcast_to(alive, S).copy()
    read = {n: (np.broadcast_to(v, S) * 1.0, floor) for n, v in (read or {}).items()}
    by_attacker = {"linear": best}
    return Case(subject, setting, best, by_attacker, correct, alive_S, read, control)

  return made


def concluded(frame, *cases, controls=(), level=0.95):
  trial = Trial(frame, Row(kind="unlearn"), SEEDS, level)
  return removal.judge(trial, list(cases), list(controls))


def table(rows):
  return Result(rows, About("unlearn", "", {})).table()


def of(rows, subject, metric):
  (row,) = (
    r
    for r in rows
    if (r.subject, r.metric, r.seed) == (subject, metric, None)
    and "attacker" not in r.setting
  )
  return row


# ---- verdicts ------------------------------------------------------------------------


@pytest.mark.parametrize(
  ("before", "after", "found", "said"),
  [
    (0.5, 0.0, False, "removed"),
    (0.5, 0.2, True, "reduced"),
    (0.5, 0.48, True, "not reduced"),
    (0.5, 0.5, True, "not reduced"),
    (0.5, 0.7, True, "increased"),
    (0.0, 0.0, False, "nothing to remove"),
    # Not found any more, and nothing shows that it is little, or surely less.
    (0.5, 0.48, False, "not found"),
    # A test that fails to find is no removal.
    (0.5, 0.2, False, "reduced"),
  ],
)
def test_verdict(frame, case, before, after, found, said):
  plain = case("no_penalty", before + SPREAD, leaks=before > 0)
  rows, loud = concluded(frame, plain, case("p", after + SPREAD[::-1], leaks=found))
  assert of(rows, "p", "share_beyond_task").verdict == said
  word = "leaks" if before else "no evidence"
  assert of(rows, "no_penalty", "share_beyond_task").verdict == word
  assert not loud


def test_a_reduction_must_be_sure_and_more_than_small(frame, case):
  plain = case("no_penalty", 0.5 + SPREAD)
  wild = case("wild", 0.3 + 10 * SPREAD[::-1])
  small = case("small", 0.46 + SPREAD)  # surely less, by .04
  rows, _ = concluded(frame, plain, wild, small)
  assert of(rows, "wild", "share_beyond_task").verdict == "not reduced"
  assert of(rows, "small", "share_beyond_task").verdict == "not reduced"
  assert of(rows, "small", "removed_share").low > 0


def test_a_control_is_no_attempt(frame, case):
  rows, _ = concluded(
    frame, case("no_penalty", 0.5 + SPREAD), case("untrained", 0.1 + SPREAD, control=True)
  )
  assert of(rows, "untrained", "share_beyond_task").verdict == "leaks"
  assert of(rows, "untrained", "removed_share").value == pytest.approx(0.4)
  assert of(rows, "untrained", "on_front").value == 0


def test_p_is_holms_over_the_cases(frame, case):
  plain = case("no_penalty", 0.5 + SPREAD)
  one, _ = concluded(frame, plain, case("a", 0.4, leaks=False))
  many, _ = concluded(frame, plain, *(case(f"a{i}", 0.4, leaks=False) for i in range(9)))
  for rows, cells_ in ((one, 2), (many, 10)):
    p = of(rows, "no_penalty", "share_beyond_task").p
    # All five seeds reach the smallest p there is: twice the median, times the cells.
    draws = stats.draws_needed(cells_, 0.05, S)
    assert p == pytest.approx(2 * cells_ / (1 + draws))
    assert p <= 0.05 / 4
  assert of(one, "a", "share_beyond_task").p == 1.0


def sure(case, share, width):
  """A case whose share has a 95 % interval of this half-width, from its models."""
  half = scipy_stats.t.ppf(0.975, S - 1) * SPREAD.std(ddof=1) / np.sqrt(S)
  psi = np.zeros(len(case.best.beyond[0][1]))
  beyond = [(share + d, psi) for d in SPREAD * width / half]
  return case._replace(best=case.best._replace(beyond=beyond))


@pytest.fixture
def exact(monkeypatch):
  """The leak test of these small cases would have found anything."""
  monkeypatch.setattr(cells, "detectable", lambda *_: 0.001)


@pytest.mark.parametrize(
  ("share", "width", "word"),
  [(0.01, 0.01, "removed"), (0.01, 0.08, "reduced"), (0.2, 0.01, "reduced")],
)
def test_removed_is_what_is_shown_to_be_little(frame, case, exact, share, width, word):
  plain = sure(case("no_penalty", 0.5), 0.5, 0.02)
  point = sure(case("p", 0.0, leaks=False), share, width)
  rows, _ = concluded(frame, plain, point)
  assert of(rows, "p", "share_beyond_task").verdict == word


def test_more_points_never_help_the_defence(frame, case, exact):
  """Beside sixty others an interval is wider, and a miss is no more of an absence."""
  plain = sure(case("no_penalty", 0.5), 0.5, 0.02)
  near = sure(case("near", 0.0, leaks=False), 0.02, 0.025)
  clear = sure(case("clear", 0.0, leaks=False), 0.0, 0.01)
  found = sure(case("found", 0.48), 0.48, 0.01)
  others = [sure(case(f"x{i}", 0.0, leaks=False), 0.0, 0.01) for i in range(60)]
  for more, words in (
    ([], ("removed", "removed", "not reduced")),
    (others, ("reduced", "removed", "not reduced")),
  ):
    rows, _ = concluded(frame, plain, near, clear, found, *more)
    said = [of(rows, n, "share_beyond_task").verdict for n in ("near", "clear", "found")]
    assert tuple(said) == words


def test_what_the_test_would_have_missed_is_not_removed(frame, case):
  """Nothing is read, and much could have been overlooked: few rows."""
  plain = sure(case("no_penalty", 0.5), 0.5, 0.02)
  silent = case("p", 0.0, leaks=False)
  rows, _ = concluded(frame, plain, silent)
  missed = of(rows, "p", "detectable_share").value
  assert (of(rows, "p", "share_beyond_task").verdict == "removed") == (missed < 0.05)
  few = frame._replace(sizes=(2 * N - 20, N, 20))
  assert measures.missed(silent, few, 1, 0.05) > 0.05


def test_critic_that_reads_nothing_of_a_quantity_fools(frame, case):
  """There is no H(S): its nats are set against those of a normal pair."""

  def quantity(one):
    column = one.best.column._replace(entropy=np.nan)
    return one._replace(best=one.best._replace(column=column))

  plain = quantity(case("no_penalty", 0.5 + SPREAD))
  for nats, flag in ((0.0, "critic_fooled"), (0.3, "")):
    point = quantity(case("p", 0.4 + SPREAD, read={"m": nats}))
    assert bool(measures.fooled(point, 0.001, 0.95)) == bool(flag)
  assert not measures.fooled(plain, 0.001, 0.95)


@pytest.mark.parametrize(
  ("share", "leaks", "word"),
  [
    (0.0, False, "nothing to remove"),
    (0.01, True, "nothing to remove"),  # found, and shown to be little
    (0.2, True, "increased"),
  ],
)
def test_nothing_to_remove_is_shown(frame, case, exact, share, leaks, word):
  """Also where no test finds it: the upper end says that it is little."""
  for found in (True, False):
    plain = sure(case("no_penalty", 0.01, leaks=found), 0.01, 0.01)
    point = sure(case("p", 0.0, leaks=leaks), share, 0.01)
    rows, _ = concluded(frame, plain, point)
    assert of(rows, "p", "share_beyond_task").verdict == word
    said = "leaks" if found else "no evidence"
    assert of(rows, "no_penalty", "share_beyond_task").verdict == said


def test_what_is_not_found_is_not_shown_to_be_little(frame, case, monkeypatch):
  """The leak test would have missed a fifth of what there is."""
  monkeypatch.setattr(cells, "detectable", lambda *_: 0.2)
  plain = sure(case("no_penalty", 0.0, leaks=False), 0.0, 0.01)
  rows, _ = concluded(frame, plain, case("p", 0.0, leaks=False))
  for subject in ("no_penalty", "p"):
    assert of(rows, subject, "share_beyond_task").verdict == "no evidence"


@pytest.mark.parametrize("leaks", [True, False])
@pytest.mark.parametrize("leaked", [True, False])
@pytest.mark.parametrize("little", [True, False])
@pytest.mark.parametrize("high", [0.01, 0.2, np.nan])
def test_words_claim_what_is_shown(leaks, leaked, little, high):
  """Every combination, without a sure difference."""
  word = Left(leaks, leaked, little, high, (0.0, 0.5, -0.01, 0.01)).word
  assert (word == "removed") == (high < 0.05 and leaked and not little)
  if word == "nothing to remove":
    assert little
  if word == "no evidence":
    assert not leaked
    assert not leaks
    assert not little
  if word == "not found":
    assert leaked
    assert not leaks


# ---- flags, and what is certain ------------------------------------------------------


def test_every_point_has_the_flag_an_audit_would_give(frame, case):
  plain = case("no_penalty", 0.5 + SPREAD)
  points = [
    case("wide", 0.5 + 20 * SPREAD),
    case("top", 0.99 + 0.1 * SPREAD),
    case("nothing", SPREAD, leaks=False),
    case("untrained", 0.4 + SPREAD, control=True),
  ]
  slow = case("slow", 0.4 + SPREAD)
  slow = slow._replace(best=slow.best._replace(converged=0.4))
  rows, _ = concluded(frame, plain, *points, slow)
  for subject, flag in (
    ("no_penalty", "reliable"), ("wide", "unreliable"), ("top", "at_ceiling"),
    ("nothing", "below_resolution"), ("untrained", "reliable"), ("slow", "unreliable"),
  ):  # fmt: skip
    row, missed = (
      of(rows, subject, "share_beyond_task"),
      of(rows, subject, "detectable_share"),
    )
    assert row.flag == flag
    done = 0.4 if subject == "slow" else 1.0
    assert verdict.flag(row, missed.value, done) == flag


def test_certified_bounds_are_of_the_models_that_live(frame, case, column):
  alive = np.array([1, 0, 1, 1, 0], bool)
  point = case("p", 0.5 + SPREAD, alive=alive, setting='{"weight": 1.0}')
  rows, _ = concluded(frame, case("no_penalty", 0.5 + SPREAD), point)
  mine = [r for r in rows if (r.subject, r.metric) == ("p", "certified_low")]
  assert {r.setting for r in mine} == {'{"weight": 1.0}'}
  assert [r.seed for r in mine] == [7, 9, 10, None]
  joint = []
  for s in np.flatnonzero(alive):
    log_q = np.log(point.best.guess[s].q_N)
    s_N = column.s_SN[s, 2 * N :]
    joint.append(bounds.lower(log_q, s_N, np.full(2, 0.5), 1 - 0.05 / 3, None).low)
  assert mine[-1].num_seeds == 3
  assert mine[-1].value == pytest.approx(np.mean(joint))
  assert 0 < mine[-1].value < 0.5 * LN2
  silent, _ = concluded(frame, case("no_penalty"), case("p", 0.0, leaks=False))
  assert of(silent, "p", "certified_low").value == 0


def test_unknown_values_of_the_attribute_cost_no_row_of_the_task(frame, column, case):
  """Task accuracy is of all test rows, what is read of those whose value is known."""
  mask = np.random.default_rng(2).random((S, 3 * N)) < 0.7
  some = column._replace(mask_SN=mask)

  def partly(one):
    known = [m[2 * N :] for m in mask]
    guess = [
      g._replace(q_N=g.q_N[k], base_N=g.base_N[k])
      for g, k in zip(one.best.guess, known, strict=True)
    ]
    beyond = [(v, psi[k]) for (v, psi), k in zip(one.best.beyond, known, strict=True)]
    metrics = [
      {name: (v, psi[k]) for name, (v, psi) in of_one.items()}
      for of_one, k in zip(one.best.metrics, known, strict=True)
    ]
    best = one.best._replace(
      column=some, guess=guess, beyond_guess=guess, beyond=beyond, metrics=metrics
    )
    return one._replace(best=best, by_attacker={"linear": best})

  rows, _ = concluded(
    frame, partly(case("no_penalty", 0.5 + SPREAD)), partly(case("p", 0.2 + SPREAD))
  )
  task = [r for r in rows if (r.subject, r.metric) == ("p", "task_accuracy")]
  read = [r for r in rows if (r.subject, r.metric) == ("p", "share") and not r.setting]
  assert {r.n_eval for r in task} == {N}
  assert max(r.n_eval for r in read) < 0.8 * N


# ---- controls ------------------------------------------------------------------------


def control(case, share=0.0, leaks=False, eraser=""):
  setting = f'{{"eraser": "{eraser}"}}' if eraser else ""
  return case("permuted", share, leaks=leaks, setting=setting).best


@pytest.mark.parametrize(("share", "flag"), [(0.0, "reliable"), (0.04, "unreliable")])
def test_a_shuffled_attribute_that_is_read_makes_its_tap_unreliable(
  frame, case, share, flag
):
  both = case("no_penalty", 0.5 + SPREAD), case("p", 0.2 + SPREAD)
  rows, loud = concluded(frame, *both, controls=[control(case, share + 0.1 * SPREAD)])
  for subject in ("no_penalty", "p"):
    assert of(rows, subject, "share_beyond_task").flag == flag
  head = of(rows, "permuted", "share_beyond_task")
  assert verdict.above_zero(head) == bool(share)
  assert head.p == 1.0
  assert not loud
  assert ("unreliable" in table(rows)) == bool(share)


def test_a_critic_that_is_fooled_is_worse_than_unreliable(frame, case):
  tried = case("p", 0.5 + SPREAD, read={"irene": 0.0})
  broken = control(case, 0.04 + 0.1 * SPREAD)
  rows, _ = concluded(frame, case("no_penalty", 0.6 + SPREAD), tried, controls=[broken])
  assert of(rows, "p", "share_beyond_task").flag == "critic_fooled"


@pytest.mark.parametrize(
  ("share", "found", "tells"),
  [
    (0.3, True, True),
    (0.3, False, True),  # its interval is above 0
    (0.0, True, True),  # the leak test finds it
    (0.0, False, False),
  ],
)
def test_an_eraser_that_writes_what_it_is_told_is_said_aloud(
  frame, case, share, found, tells
):
  cases_ = [case("no_penalty", 0.6 + SPREAD), case("told", 0.3 + SPREAD)]
  cases_.append(case("deaf", 0.3))
  one = control(case, share + SPREAD, found, "told")
  rows, loud = concluded(frame, *cases_, controls=[control(case), one])
  flags = {s: of(rows, s, "share_beyond_task").flag for s in ("no_penalty", "told", "deaf")}
  assert flags == {
    "no_penalty": "reliable", "told": "eraser_leaks" if tells else "reliable",
    "deaf": "reliable",
  }  # fmt: skip
  assert len(loud) == tells
  if tells:
    assert loud[0].startswith("told at fc writes the attribute into rows")
    assert f"reads {100 * share:.0f} %" in loud[0]
  mine = [r for r in rows if r.subject == "permuted" and r.setting == '{"eraser": "told"}']
  assert {"share", "share_beyond_task"} <= {r.metric for r in mine}
  assert not {"on_front", "task_cost", "removed_share"} & {r.metric for r in mine}
  assert not any(r.verdict or r.flag for r in mine)
  (head,) = (r for r in mine if r.metric == "share_beyond_task" and r.seed is None)
  p_S = [r.p for r in mine if r.metric == "share_beyond_task" and r.seed is not None]
  assert head.p == pytest.approx(min(1, 2 * np.median(p_S)))
  text = table(rows)
  assert ("eraser leaks" in text) == tells
  assert "after told" in text
  namesake = case("told", 0.3, setting='{"weight": 1.0}')  # a penalty of that name
  more, loud = concluded(frame, *cases_, namesake, controls=[control(case), one])
  assert len(loud) == tells
  (own,) = (
    r
    for r in more
    if (r.subject, r.setting, r.metric, r.seed)
    == ("told", '{"weight": 1.0}', "share_beyond_task", None)
  )
  assert own.flag == "reliable"
  # It is in no family, and on no front.
  without, _ = concluded(frame, *cases_)
  for subject in ("no_penalty", "told", "deaf"):
    for metric in ("share_beyond_task", "on_front", "detectable_share"):
      a, b = of(rows, subject, metric), of(without, subject, metric)
      assert (a.p, a.value, a.verdict) == (b.p, b.value, b.verdict)


# ---- differences ---------------------------------------------------------------------


def test_removed_share_and_cost_are_paired_by_seed(frame, case):
  gen = np.random.default_rng(3)
  before, after = 0.5 + 0.1 * gen.normal(size=S), 0.2 + 0.3 * gen.normal(size=S)
  right = np.round(N * gen.uniform(0.7, 0.95, (2, S))) / N
  after[2] = -0.3  # what is read below nothing is nothing
  rows, _ = concluded(
    frame,
    case("no_penalty", before, accuracy=right[0]),
    case("p", after, accuracy=right[1]),
  )
  removed = np.maximum(before, 0) - np.maximum(after, 0)
  cost = of(rows, "p", "task_cost")
  for row, difference in (
    (of(rows, "p", "removed_share"), removed),
    (cost, right[0] - right[1]),
  ):
    error = difference.std(ddof=1) / np.sqrt(S)
    half = scipy_stats.t.ppf(0.975, S - 1) * error
    assert row.value == pytest.approx(difference.mean())
    if row is not cost:  # these cases have shares without influence values
      assert row.low == pytest.approx(difference.mean() - half)
      assert row.high == pytest.approx(difference.mean() + half)
      theirs = scipy_stats.ttest_1samp(difference, 0, alternative="greater")
      assert row.p == pytest.approx(theirs.pvalue)
    assert (row.chance, row.num_seeds, row.level) == (0.0, S, 0.95)
  # The same rows in all models: what their choice adds, by a naive loop over pairs.
  said = [np.arange(N) < np.round(right[i, :, None] * N) for i in (0, 1)]
  psi = said[0].astype(float) - said[1].astype(float)
  rows_SN = frame.rows_SN[:, 2 * N :]
  shared = 0.0
  for a in range(S):
    for b in range(S):
      if a == b:
        continue
      _, at_a, at_b = np.intersect1d(rows_SN[a], rows_SN[b], return_indices=True)
      away = (psi[a] - psi[a].mean())[at_a] * (psi[b] - psi[b].mean())[at_b]
      shared += away.sum() / N**2 / (S * (S - 1))
  G = len(np.unique(rows_SN))
  shared = max(shared * G / (G - 1), 0)
  spread = (right[0] - right[1]).var(ddof=1) / S
  freedom = (spread + shared) ** 2 / (spread**2 / (S - 1) + shared**2 / (G - 1))
  half = scipy_stats.t.ppf(0.975, freedom) * np.sqrt(spread + shared)
  assert cost.high - cost.value == pytest.approx(half, rel=1e-3)
  narrow, _ = concluded(frame, case("no_penalty", before), case("p", after), level=0.6)
  one, other = of(rows, "p", "removed_share"), of(narrow, "p", "removed_share")
  assert other.high - other.low < 0.5 * (one.high - one.low)
  assert not [r for r in rows if r.subject == "no_penalty" and r.metric == "task_cost"]


def test_one_seed_has_no_interval_and_no_sure_reduction(frame, column, case):
  """One network can leak no more, and still nobody can say that this is the penalty."""

  def first(c):
    best = c.best._replace(
      lane=c.best.lane._replace(z_SND=c.best.lane.z_SND[:1]),
      column=one_column,
      **{
        name: getattr(c.best, name)[:1]
        for name in (
          "metrics",
          "method",
          "beyond",
          "beyond_method",
          "guess",
          "beyond_guess",
        )
      },
    )
    return c._replace(
      best=best, by_attacker={"linear": best}, correct_SN=c.correct_SN[:1],
      alive_S=c.alive_S[:1],
    )  # fmt: skip

  one_frame = frame._replace(rows_SN=frame.rows_SN[:1], y_SN=frame.y_SN[:1])
  one_column = column._replace(
    **{name: getattr(column, name)[:1] for name in ("s_SN", "mask_SN", "values_SN")}
  )
  both = [first(case("no_penalty", 0.5)), first(case("p", 0.0, leaks=False))]
  base = Row(kind="unlearn")
  rows, _ = removal.conclude(both, one_frame, base, SEEDS[:1], level=0.95, seed=0)
  row = of(rows, "p", "removed_share")
  assert row.value == pytest.approx(0.5)
  assert np.isnan([row.low, row.high, row.p]).all()
  assert of(rows, "p", "share_beyond_task").verdict == "not found"
  assert "nan" not in table(rows)


# ---- what diverged -------------------------------------------------------------------


def test_dead_models_are_in_no_number(frame, case):
  share, alive = np.array([0.2, 9.0, 0.3, 9.0, 0.1]), np.array([1, 0, 1, 0, 1], bool)
  right = np.array([0.9, 0.0, 0.8, 0.0, 0.7])
  dead = case(
    "p", share, accuracy=right, alive=alive, read={"c": np.where(alive, 0.5, np.nan)}
  )
  plain = case("no_penalty", 0.5 + SPREAD)
  rows, loud = concluded(frame, plain, dead)
  assert loud == ["p: seeds [8, 10] diverged and are left out"]
  assert of(rows, "p", "diverged").value == 2
  for metric, value in (
    ("share", 0.2),
    ("task_accuracy", 0.8),
    ("critic_information", 0.5),
  ):
    row = of(rows, "p", metric)
    assert row.value == pytest.approx(value)
    assert row.num_seeds == 3
  removed = of(rows, "p", "removed_share")
  kept = (0.5 + SPREAD - share)[alive]
  assert removed.num_seeds == 3
  assert removed.value == pytest.approx(kept.mean())
  for row in rows:
    assert row.subject != "p" or row.seed not in (8, 10)
  assert of(rows, "no_penalty", "share").num_seeds == S
  assert not [r for r in rows if r.metric == "diverged" and r.subject == "no_penalty"]


def test_dead_models_have_no_say_in_the_test(frame, case):
  alive = np.arange(S) > 2
  dead = case(
    "p", 0.0, leaks=~alive, alive=alive
  )  # what is dead leaks, what lives does not
  rows, _ = concluded(frame, case("no_penalty", 0.5 + SPREAD), dead)
  assert of(rows, "p", "share_beyond_task").p == 1.0


def test_dead_models_of_no_penalty_leave_the_pairs(frame, case):
  alive = np.arange(S) > 0
  plain = case("no_penalty", 0.5 + SPREAD, alive=alive)
  rows, loud = concluded(frame, plain, case("p", 0.1))
  assert of(rows, "p", "removed_share").num_seeds == S - 1
  assert of(rows, "p", "share").num_seeds == S
  assert loud == ["no_penalty: seeds [7] diverged and are left out"]


def test_a_case_without_a_living_model_is_a_verdict_alone(frame, case):
  lost = case("p", 9.0, alive=False, setting='{"weight": 3.0}')
  rows, loud = concluded(frame, case("no_penalty", 0.5 + SPREAD), lost)
  (row,) = (r for r in rows if r.subject == "p")
  assert (row.metric, row.verdict, row.value) == ("share_beyond_task", "diverged", None)
  assert len(loud) == 1
  assert loud[0].startswith('p {"weight": 3.0}: every model diverged')
  assert "diverged" in table(rows)


# ---- critics of training -------------------------------------------------------------


@pytest.mark.parametrize(
  ("nats", "floor", "share", "found", "fooled"),
  [
    (0.0, 0.0, 0.5, True, True),
    (0.02, 0.0, 0.5, True, True),
    (0.06, 0.05, 0.5, True, True),  # of independent data it would read as much
    (0.06, 0.0, 0.5, True, False),
    (0.5 * LN2, 0.05, 0.5, True, False),
    (0.0, 0.0, 0.0, False, False),  # nothing is there to be missed
    (0.0, 0.0, 0.5, False, False),
    (0.0, 0.0, 0.06, True, False),  # too little to blame it
  ],
)
def test_a_critic_that_is_fooled_is_said_aloud(
  frame, case, nats, floor, share, found, fooled
):
  tried = case(
    "p", share + SPREAD, found, setting='{"weight": 1.0}', read={"irene": nats}, floor=floor
  )
  rows, loud = concluded(frame, case("no_penalty", 0.6 + SPREAD), tried)
  assert (of(rows, "p", "share_beyond_task").flag == "critic_fooled") is fooled
  assert ("critic fooled" in table(rows)) is fooled
  assert len(loud) == fooled
  if fooled:
    assert loud[0].startswith(f'p {{"weight": 1.0}}: its irene at fc reads {nats:.3f} nats')
    assert "a fresh attacker 50 %" in loud[0]
  read = of(rows, "p", "critic_information")
  assert (read.method, read.unit, read.chance) == ("irene", "nats", floor)
  assert read.value == pytest.approx(nats)


def test_one_of_two_critics_is_named(frame, case):
  tried = case("p", 0.5 + SPREAD, read={"good": 0.4, "bad": 0.001})
  rows, loud = concluded(frame, case("no_penalty", 0.6 + SPREAD), tried)
  assert len(loud) == 1
  assert "its bad at fc reads 0.001 nats" in loud[0]
  found = {r.method for r in rows if r.metric == "critic_information"}
  assert found == {"good", "bad"}


def test_a_monitor_of_nobodys_attempt_fools_no_one(frame, case):
  slow = {"linear monitor": 0.0}
  plain = case("no_penalty", 0.5 + SPREAD, read=slow)
  twin = case("untrained", 0.4 + SPREAD, read=slow, control=True)
  rows, loud = concluded(frame, plain, twin)
  assert not loud
  assert not any(r.flag == "critic_fooled" for r in rows)


# ---- the front -----------------------------------------------------------------------


def test_the_front_is_what_nothing_beats(case):
  def at(leak, accuracy, **more):
    return case("p", leak, accuracy=accuracy, **more)

  some = [
    at(0.5, 0.95),
    at(0.2, 0.90),
    at(0.3, 0.90),  # leaks more for the same accuracy
    at(0.2, 0.80),  # the same leak, worse
    at(0.1, 0.50),
    at(0.6, 0.40),
    at(0.0, 0.99, control=True),  # a control is never on it and beats nobody
    at(0.0, 0.99, alive=False),
  ]
  assert measures.front(some) == [True, True, False, False, True, False, False, False]


def test_ties_are_all_on_the_front(case):
  one, twin = case("p", 0.2, accuracy=0.9), case("q", 0.2, accuracy=0.9)
  assert measures.front([one, twin, case("r", 0.2, accuracy=0.8)]) == [True, True, False]
  assert measures.front([one]) == [True]


def test_the_front_does_not_depend_on_order(case):
  gen = np.random.default_rng(5)
  places = gen.uniform(0, 1, (12, 2))
  some = [case("p", x, accuracy=y) for x, y in places]
  there = measures.front(some)
  assert 0 < sum(there) < 12
  order = gen.permutation(12)
  assert measures.front([some[i] for i in order]) == [there[i] for i in order]
  for i, (x, y) in enumerate([c.place for c in some]):
    beaten = any(a <= x and b >= y and (a, b) != (x, y) for a, b in (c.place for c in some))
    assert there[i] is not beaten


# ---- what labels alone say -----------------------------------------------------------


def test_labels_and_attackers_have_rows(frame, column, case):
  rows, _ = concluded(frame, case("no_penalty", 0.5 + SPREAD))
  trial = Trial(frame, Row(kind="unlearn"), SEEDS, 0.95)
  rows += removal.grounds(trial, case("raw", 0.7).best)
  assert of(rows, "raw", "share").value == pytest.approx(0.7)
  assert of(rows, "raw", "certified_low").value > 0
  label = reference.by_labels(column, frame, use_task=True)
  value = np.mean([one["share"][0] for one in label])
  assert of(rows, "label", "share").value == pytest.approx(value)
  assert of(rows, "majority", "information").value == 0
  alone = {r.metric for r in rows if r.setting == '{"attacker": "linear"}'}
  assert alone == {"share", "accuracy", "information"}
  top = np.mean([np.bincount(y).max() / N for y in frame.y_SN[:, 2 * N :]])
  assert of(rows, "no_penalty", "task_accuracy").chance == pytest.approx(top)
