"""Networks on random halves: members are found where there is over-fitting, by rows."""

import numpy as np
import pytest

from ovl.memorise import member, page, settings
from ovl.memorise.study import study
from ovl.run import Run
from ovl.types import BadInput, Row


def config(seeds=10, **memorise):
  return {
    "seed": 0, "seeds": seeds, "dataset": {"name": "digits", "task": "digit"},
    "model": {"name": "mlp", "hidden": (32,)},
    "fit": {"epochs": 40, "batch_size": 128, "learning_rate": 0.01},
    "memorise": {"question": "member", "patterns": ()} | memorise,
  }  # fmt: skip


@pytest.fixture(scope="module")
def result():
  return study(Run(config()))


def test_members_of_over_fitted_networks_are_found(result):
  found = {(row.method, row.metric): row for row in result.rows if row.seed is None}
  for name in ("lira_online", "rmia"):
    assert found[name, "auc"].value > 0.53
    point = found[name, "tpr_at_fpr_0.01"]
    assert point.low <= point.value <= point.high
    assert point.value > point.chance
  assert found["", "memorisation"].value > 0
  assert found["", "task_accuracy"].value > 0.9
  assert "rmia" in result.table()


def test_curves_images_and_gradients_are_on_the_page(result):
  whole = [row for row in result.rows if row.seed is None]
  for name in ("lira_online", "rmia"):
    curve = [row for row in whole if row.method == name and row.metric == "tpr"]
    at = [(row.chance, row.value) for row in curve]
    assert at == sorted(at)
    assert at[-1] == (1.0, 1.0)
    same = next(value for fpr, value in at if fpr == pytest.approx(0.01))
    found = {row.metric: row for row in whole if row.method == name}
    assert same == pytest.approx(found["tpr_at_fpr_0.01"].value, abs=0.01)
    point = found["tpr_at_fpr_0.001"]
    assert point.low <= point.value <= point.high, "also where a network has too few others"
  most = [row for row in whole if row.metric == "memorised_example"]
  assert [row.value for row in most] == sorted((row.value for row in most), reverse=True)
  assert {row.attribute for row in most} == set(result.about.attributes)
  gradients = {row.method: row for row in whole if row.metric == "rank_correlation"}
  assert set(gradients) == set(member.INFLUENCES)
  assert gradients["tracin"].low > 0, "what is memorised has long gradients"
  titles = [section.title for section in page.sections(result.rows, result.about)]
  assert {"Who was there", "What is remembered"} <= set(titles)


def test_names_of_classes_are_text_on_the_page(result):
  """A label is what somebody wrote: it stays text."""
  about, wild = result.about, "<script>$x$</script>"
  some = {name: one | {"label": wild} for name, one in about.attributes.items()}
  about = about._replace(attributes=some)
  shown = {
    s.picture.name: s.picture for s in page.sections(result.rows, about) if s.picture
  }
  assert "<script" not in shown["memorised"].svg
  assert "&lt;script&gt;$x$" in shown["memorised"].svg


def test_where_members_are_drawn_by_a_coin_nothing_is_found():
  """The same table, with members that training knew nothing of."""
  asked = config(seeds=16)
  made = settings.Settings(**asked["memorise"])
  world = settings.world(asked, made)[1]
  table = member.cells(Run(asked), world, made, range(16))
  assert (table.member.sum(1) == len(world.x_N) // 2).all()
  gen = np.random.default_rng(0)
  fake = np.stack([gen.permutation(row) for row in table.member])
  for row in member.rows(table._replace(member=fake), Row(), range(16), made):
    if row.seed is None and row.metric == "tpr_at_fpr_0.01":
      assert row.low < 0.015, row
    if row.metric == "auc":
      assert row.value == pytest.approx(0.5, abs=0.03)
    if row.metric == "memorisation":
      assert row.value == pytest.approx(0, abs=0.01)


def test_the_interval_of_one_example_covers_and_is_never_empty():
  gen, inside = np.random.default_rng(0), np.arange(40) % 2 == 0
  p = np.where(inside, 0.95, 0.4)
  each = [member.difference(gen.random(40) < p, inside, 0.95) for _ in range(400)]
  covered = np.mean([low <= 0.55 <= high for low, high in each])
  assert 0.92 <= covered <= 0.99
  low, high = member.difference(inside, inside, 0.95)
  assert 0.7 < low < 1
  assert high == 1


def test_networks_are_chunked_and_few_are_refused(result):
  parts = study(Run(config(lanes=5)))
  for mine, its in zip(parts.rows, result.rows, strict=True):
    if mine.metric == "auc":
      assert mine.value == pytest.approx(its.value, abs=0.02)
  with pytest.raises(BadInput, match="at least 8"):
    study(Run(config(seeds=4)))
