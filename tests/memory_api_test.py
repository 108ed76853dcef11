"""`ovl.memorise` on plain arrays: planted found, nothing in the null, what is refused."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from ovl.memorise import memorise
from ovl.types import BadInput

S, R, N, K = 12, 19, 40, 4


def softmax(z):
  e = np.exp(z - z.max(-1, keepdims=True))
  return e / e.sum(-1, keepdims=True)


def models(seed=0, effect=0.0, s=S):
  """Every feature moves every network at random; the planted one by `effect` more."""
  gen = np.random.default_rng(seed)
  z = gen.normal(size=(s, 1, N, K))
  moved = (
    z + 0.5 * gen.normal(size=(s, R + 1, 1, K)) + 0.1 * gen.normal(size=(s, R + 1, N, K))
  )
  moved[:, 0, :, 1] += effect
  p = softmax(moved)
  return {"clean": softmax(z[:, 0]), "feature": p[:, 0], "references": p[:, 1:]}


def pick(result, metric, seed=None):
  return next(r for r in result.rows if r.metric == metric and r.seed == seed)


def test_a_planted_feature_is_found_against_twins_and_among_references():
  found = memorise(models(0, 1.0), models(1), label=1)
  for metric in ("excess_m_shift", "excess_spurious_score", "exposure_bits"):
    row = pick(found, metric)
    assert row.verdict == "memorised", row
    assert row.p < 0.01
  assert pick(found, "exposure_bits").value > pick(found, "exposure_bits").chance
  assert pick(found, "m_shift", 3).subject == "planted"
  assert "exposure bits" in found.table()


def test_of_nothing_one_in_twenty_is_found():
  trials, hits = 200, {"excess_m_shift": 0, "exposure_bits": 0}
  for seed in range(trials):
    found = memorise(models(2 * seed + 10), models(2 * seed + 11), label=1)
    for metric in hits:
      hits[metric] += pick(found, metric).p <= 0.05
  low, high = scipy_stats.binom.interval(0.999, trials, 0.05)
  for metric, count in hits.items():
    assert low <= count <= high, (metric, count)


def test_the_label_known_scores_look_at_their_own_class():
  given, y = models(3, 1.0), np.arange(N) % K
  found = memorise(given, label=1, y=y)
  twin = (given["feature"] - given["clean"])[5, y == 1, 1].mean()
  assert pick(found, "m_shift", 5).value == pytest.approx(twin)


def test_torch_tensors_and_one_model_among_references():
  torch = pytest.importorskip("torch")
  given = {k: torch.tensor(v) for k, v in models(4, 2.0, s=1).items()}
  found = memorise(given, label=1, null="exchangeable")
  assert pick(found, "exposure_bits").p == pytest.approx(1 / (R + 1))
  assert pick(found, "exposure_bits").low is None


def test_without_a_null_there_is_no_verdict():
  given = {k: v for k, v in models().items() if k != "references"}
  with pytest.raises(BadInput, match="without a null"):
    memorise(given, label=1)
  found = memorise(given, label=1, null="none")
  assert not any(row.verdict for row in found.rows)
  assert "no null" in found.about.warnings[0]


@pytest.mark.parametrize(
  ("call", "said"),
  [
    (lambda: memorise({"clean": models()["clean"]}, label=1), "no 'feature'"),
    (lambda: memorise(models() | {"x": 1}, label=1), "unknown"),
    (lambda: memorise(models(), label=7), "label=7"),
    (lambda: memorise(models(), models(s=5), label=1), "expected twins"),
    (lambda: memorise(models(), label=1, null="paired"), "needs outputs_out"),
    (lambda: memorise(models(), label=1, null="pairs"), "expected paired"),
    (lambda: memorise(models(), label=1, y=np.zeros(3)), "classes of 40 images"),
    (lambda: memorise(models(s=1), models(s=1), label=1), "at least 2"),
    (lambda: memorise({k: 2 * v for k, v in models().items()}, label=1), "sums to 1"),
  ],
)
def test_what_cannot_be_scored_is_refused_in_one_line(call, said):
  with pytest.raises(BadInput, match=said) as refused:
    call()
  assert "\n" not in str(refused.value)
