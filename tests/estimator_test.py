"""Erasers as scikit-learn transformers, and the one public name of each door."""

import copy
import pathlib
import pickle
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import ovl
from ovl.load import load, names
from ovl.types import BadInput

FREE = [name for name in names("erasers") if not load("erasers", name).oracle]
ORACLES = [name for name in names("erasers") if name not in FREE]


def planted(rows=400, width=6, seed=0):
  """Two independent bits, each read from columns of its own."""
  gen = np.random.default_rng(seed)
  s_N, y_N = gen.integers(0, 2, rows), gen.integers(0, 2, rows)
  z_ND = gen.normal(size=(rows, width))
  z_ND[:, 0] += 3 * s_N
  z_ND[:, 1] += 3 * y_N
  return z_ND @ (np.eye(width) + 0.2 * gen.normal(size=(width, width))), s_N, y_N


def test_the_door_is_a_function_whatever_is_imported():
  code = (
    "import ovl, ovl.cli, ovl.unlearn, ovl.erasure, ovl.eraser.estimator\n"
    "from ovl import erase, audit, load\n"
    "assert all(map(callable, (ovl.erase, ovl.audit, ovl.load, erase, audit, load)))\n"
    "assert erase is ovl.erase\n"
    "import importlib.util\n"
    "assert importlib.util.find_spec('ovl.erase') is None"
  )
  done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
  assert done.returncode == 0, done.stderr


def test_scikit_learn_is_imported_when_it_is_asked_for():
  code = "import sys, ovl; assert 'sklearn' not in sys.modules; ovl.ConceptEraser"
  done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  assert "ConceptEraser" in dir(ovl)
  with pytest.raises(AttributeError, match="no attribute 'ConceptErazer'"):
    _ = ovl.ConceptErazer


def unmet(estimator):
  if estimator.method == "kernel":
    return {"check_methods_subset_invariance": "float32 steps: a batch's rounding shows"}
  return {}


@parametrize_with_checks([ovl.ConceptEraser()])
def test_conventions_of_scikit_learn(estimator, check):
  check(estimator)


@pytest.mark.slow
@parametrize_with_checks(
  [ovl.ConceptEraser(name) for name in FREE if name != "leace"],
  expected_failed_checks=unmet,
)
def test_conventions_of_scikit_learn_by_every_method(estimator, check):
  check(estimator)


def test_it_is_ovl_erase():
  z_ND, s_N, _ = planted()
  one = ovl.ConceptEraser("sal", rank=1).fit(z_ND, s_N)
  np.testing.assert_array_equal(
    one.transform(z_ND), ovl.erase(z_ND, s_N, "sal", rank=1)(z_ND)
  )
  assert one.transform(z_ND).dtype == np.float64
  assert one.eraser_.method == "sal"


def test_a_fresh_attacker_under_cross_validation_reads_nothing():
  """The null and the positive control, by scikit-learn alone."""
  z_ND, s_N, _ = planted()
  folds = StratifiedKFold(4, shuffle=True, random_state=0)

  def accuracy(*steps):
    return cross_val_score(
      make_pipeline(StandardScaler(), *steps, LogisticRegression()), z_ND, s_N, cv=folds
    ).mean()

  assert accuracy() > 0.9
  assert accuracy(ovl.ConceptEraser()) < 0.57


def test_the_lines_of_the_readme():
  text = (pathlib.Path(__file__).parent.parent / "README.md").read_text()
  blocks = re.findall(r"```python\n(.*?)```", text, re.S)
  (code,) = (block for block in blocks if "ConceptEraser" in block)
  *setup, last = code.strip().splitlines()
  z_ND, s_N, _ = planted()
  scope = dict(globals(), z=z_ND, s=s_N)
  exec("\n".join(setup), scope)
  assert eval(last, scope).mean() < 0.57


def test_one_thing_is_erased_and_another_predicted():
  z_ND, s_N, y_N = planted()
  with sklearn.config_context(enable_metadata_routing=True):
    eraser = ovl.ConceptEraser().set_fit_request(s=True)
    pipe = make_pipeline(eraser, LogisticRegression()).fit(z_ND, y_N, s=s_N)
  assert pipe.score(z_ND, y_N) > 0.9
  erased = pipe[0].transform(z_ND)
  assert LogisticRegression().fit(erased, s_N).score(erased, s_N) < 0.57


def test_settings_are_parameters():
  one = ovl.ConceptEraser("sal", seed=3, rank=2)
  assert one.get_params() == {"method": "sal", "kind": None, "seed": 3, "rank": 2}
  assert clone(one).get_params() == one.get_params()
  assert repr(one) == "ConceptEraser(method='sal', rank=2, seed=3)"
  assert one.set_params(rank=1, seed=0) is one
  assert one.get_params() == {"method": "sal", "kind": None, "seed": 0, "rank": 1}
  z_ND, s_N, _ = planted(rows=100)
  pipe = make_pipeline(ovl.ConceptEraser(), LogisticRegression())
  grid = {"concepteraser__shrinkage": ["none", "linear"]}
  found = GridSearchCV(pipe, grid, cv=2).fit(z_ND, s_N)
  assert found.best_estimator_[0].eraser_.settings["shrinkage"] in ("none", "linear")
  with pytest.raises(BadInput, match="has no setting 'rnk': did you mean 'rank'"):
    ovl.ConceptEraser(rnk=2).fit(z_ND, s_N)


def test_names_of_columns_and_frames():
  z_ND, s_N, _ = planted(rows=100)
  columns = [f"unit{i}" for i in range(6)]
  frame = pd.DataFrame(z_ND, columns=columns)
  one = ovl.ConceptEraser().set_output(transform="pandas").fit(frame, s_N)
  assert list(one.get_feature_names_out()) == columns
  assert list(one.transform(frame).columns) == columns
  text = np.where(s_N, "f", None).astype(object)
  text[s_N == 0] = "m"
  np.testing.assert_array_equal(one.fit_transform(frame, text), one.transform(frame))
  with pytest.raises(ValueError, match="missing:\n- unit5"):
    one.transform(frame[columns[:5]])


@pytest.mark.parametrize("name", ORACLES)
def test_what_needs_the_attribute_at_every_edit_is_refused(name):
  z_ND, s_N, _ = planted(rows=100)
  with pytest.raises(BadInput, match="needs the attribute of every row") as error:
    ovl.ConceptEraser(name).fit(z_ND, s_N)
  assert "\n" not in str(error.value)
  with pytest.raises(BadInput, match="requires y to be passed"):
    ovl.ConceptEraser().fit(z_ND)


def test_a_fitted_eraser_is_copied_and_sent_by_its_name():
  z_ND, s_N, _ = planted(rows=100)
  one = ovl.erase(z_ND, s_N)
  for other in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
    np.testing.assert_array_equal(other(z_ND), one(z_ND))
    assert other.concepts == one.concepts
  nameless = ovl.erase(z_ND, s_N, load("erasers", "leace"))
  with pytest.raises(BadInput, match="without a name"):
    pickle.dumps(nameless)
