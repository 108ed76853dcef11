"""`ovl audit` and `ovl unlearn` say the same of the same cell of the same networks."""

import pathlib

import numpy as np
import pytest

from ovl.run import run
from ovl.types import Row

TINY = str(pathlib.Path(__file__).parent / "tiny.py")
TAP = "fc1"
NAMES = {  # of a subject in an audit -> in a study
  "trained": "no_penalty", "untrained": "untrained", "raw": "raw", "label": "label",
  "majority": "majority", "permuted": "permuted",
}  # fmt: skip
METRICS = (
  "accuracy", "balanced_accuracy", "auc", "information", "share", "share_beyond_task",
  "certified_low", "detectable_share", "task_accuracy",
)  # fmt: skip
# What is concluded of a cell, where it is: a study asks it of all its points.
CONCLUDED = {"p", "verdict", "flag"}


@pytest.fixture(scope="module")
def config():
  # As many cells as points: three taps, and three held against no_penalty.
  return {
    "seed": 3,
    "seeds": 3,
    "dataset": {"name": TINY, "only": ("hidden",)},
    "model": {"name": "mlp", "hidden": (6,)},
    "fit": {"epochs": 3, "batch_size": 100},
    "audit": {"critics": ("linear",)},
    "unlearn": {
      "attribute": "hidden",
      "taps": (TAP,),
      "attackers": ("linear",),
      "penalties": {"l2": {"weights": (0.01, 0.1)}},
    },
  }


def numbers(rows, subject):
  """(metric, seed) -> the row of a subject at the tap, or of no tap."""
  found = {}
  for row in rows:
    plain = "attacker" not in row.setting and "class" not in row.setting
    here = row.subject == subject and row.layer in (TAP, "input", "")
    if here and row.metric in METRICS and plain:
      assert (row.metric, row.seed) not in found, row
      found[row.metric, row.seed] = row
  return found


def filled(row):
  def empty(value):
    return value is None or value == "" or (isinstance(value, float) and np.isnan(value))

  return {name for name, value in row._asdict().items() if not empty(value)}


@pytest.fixture(scope="module")
def both(config):
  audited, _ = run("audit", {k: v for k, v in config.items() if k != "unlearn"}, None)
  studied, _ = run("unlearn", {k: v for k, v in config.items() if k != "audit"}, None)
  return audited, studied


@pytest.mark.parametrize("name", NAMES)
def test_the_rows_of_a_subject_are_the_same(both, name):
  ours, theirs = (
    numbers(found.rows, subject)
    for found, subject in zip(both, (name, NAMES[name]), strict=True)
  )
  common = ours.keys() & theirs.keys()
  # A study also asks of untrained networks what it asks of all its points.
  only = {metric for metric, _ in ours.keys() ^ theirs.keys()}
  assert only <= ({"task_accuracy", "detectable_share"} if name == "untrained" else set())
  metrics = {metric for metric, _ in common}
  assert {"accuracy", "information", "share"} <= metrics
  if name == "trained":
    assert metrics == set(METRICS)
  for key in common:
    one, other = ours[key], theirs[key]
    concluded = set() if name == "trained" else CONCLUDED
    # An erased tap changes the task's accuracy: in a study it is of a tap.
    tapped = {"layer", "layer_index", "width"} if key[0] == "task_accuracy" else set()
    passed = concluded | tapped
    assert filled(one) - passed == filled(other) - passed, key
    for column in (
      "dataset", "task", "model", "layer", "layer_index", "width", "attribute", "classes",
      "method", "bound", "num_seeds", "unit", "level", "n_train", "n_eval",
    ):  # fmt: skip
      if column not in tapped:
        assert getattr(one, column) == getattr(other, column), (key, column)
    for column in ("value", "low", "high", "chance"):
      if getattr(one, column) is not None:
        wanted = pytest.approx(getattr(one, column), rel=1e-3, abs=2e-4)
        assert getattr(other, column) == wanted, (key, column)
    if name == "trained":
      assert one.flag == other.flag, key


def test_trees_read_in_an_audit_too(config):
  asked = {k: v for k, v in config.items() if k != "unlearn"}
  asked |= {"seeds": 2, "audit": {"critics": ("linear", "trees")}}
  result, _ = run("audit", asked, None)
  said = {row.method for row in result.rows if row.metric == "share" and row.seed}
  assert said >= {"trees"}
  assert said <= {"", "linear", "trees"}
  assert isinstance(result.rows[0], Row)
  assert result.about.readers == ("linear", "trees")
