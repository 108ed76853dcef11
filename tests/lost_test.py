"""One network that goes to infinity never costs the others."""

import numpy as np
import pytest
from whole import NETWORKS

from ovl import cli, fit, run

CONFIG = NETWORKS | {"seeds": 3, "audit": {"critics": ["linear"]}}


@pytest.fixture
def exploding(monkeypatch):
  """Networks of these places have a learning rate beyond all bounds."""

  def explode(*places):
    train = fit.Setup.train

    def strained(self, directory=None, report=None, objective=fit.TASK_ALONE, copies=1):
      rate = np.ones(len(self.seeds), np.float32)
      rate[list(places)] = np.inf
      strained = objective._replace(weights={"learning_rate": rate})
      return train(self, directory, report, strained, copies)

    monkeypatch.setattr(fit.Setup, "train", strained)

  return explode


def test_the_others_are_trained_as_ever_and_judged(exploding):
  whole = run.run("audit", CONFIG, None)[0]
  exploding(1)
  result = run.run("audit", CONFIG, None)[0]
  (said,) = result.about.lost
  assert said == "the network of seed 4 went to infinity and is left out"
  assert said in result.about.warnings
  assert result.about.num_models == 2

  judged = [{row.seed for row in each.rows} - {None} for each in (result, whole)]
  assert judged == [{3, 5}, {3, 4, 5}]
  task = {(r.seed, r.value) for r in result.rows if r.metric == "task_accuracy" and r.seed}
  assert task
  assert task <= {(r.seed, r.value) for r in whole.rows if r.metric == "task_accuracy"}


@pytest.mark.parametrize(("words", "status"), [([], 0), (["--strict"], 1)])
def test_strict_makes_it_a_failure(exploding, tmp_path, monkeypatch, capsys, words, status):
  monkeypatch.chdir(tmp_path)
  exploding(0)
  lines = [f"--config.{key}" for key in ("seeds=3", "fit.epochs=1")]
  asked = ["ovl", "audit", "--config=digits:smoke", *lines, *words]
  assert cli.main(asked) == status
  out = capsys.readouterr().out
  assert "went to infinity and is left out" in out
  assert out.count("--strict:") == len(words)
  assert cli.main(asked) == status  # also where it is complete


@pytest.mark.parametrize("verb", ["audit"])
def test_all_lost_is_an_error(exploding, verb):
  exploding(0, 1, 2)
  with pytest.raises(FloatingPointError, match="no network has a finite loss"):
    run.run(verb, CONFIG, None)
