"""Many patches in one training: coins, scores by hand, a leak found, privacy respected."""

import jax
import numpy as np
import pytest

from ovl import plant
from ovl.memorise import audit, leak, settings
from ovl.memorise.study import study
from ovl.run import Run
from ovl.types import BadInput


def config(**memorise):
  return {
    "seed": 0, "seeds": 2, "dataset": {"name": "digits", "task": "digit"},
    "model": {"name": "mlp", "hidden": (16,)},
    "fit": {"epochs": 4, "batch_size": 128, "learning_rate": 0.01},
    "memorise": {"question": "leak", "patches": 40} | memorise,
  }  # fmt: skip


def world(asked):
  made = settings.Settings(**asked["memorise"])
  return made, settings.world(asked, made)[1]


def test_coins_are_fair_and_everything_is_drawn_anew():
  _, here = world(config())
  found = leak.draw(here, 300, 3, range(4))
  assert 0.45 < found.inside.mean() < 0.55
  assert all(len(set(row)) == 300 for row in found.carrier)
  assert not np.array_equal(found.carrier[0], found.carrier[1])
  covered = (found.patterns.keep == 0).sum((2, 3, 4))
  assert (covered == 9).all()
  places = {tuple(np.argwhere(keep[..., 0] == 0)[0]) for keep in found.patterns.keep[0]}
  assert len(places) > 25, "all over the image"


def test_a_score_is_that_of_a_loop(monkeypatch):
  asked = config()
  made, here = world(asked)
  nets = []
  fitted = leak.fit.fit
  monkeypatch.setattr(
    leak.fit, "fit", lambda *a, **k: nets.append(fitted(*a, **k)) or nets[0]
  )
  found = leak.cells(Run(asked), here, made, (0, 1))
  patches = leak.draw(here, 40, 3, (0, 1))
  np.testing.assert_array_equal(found.inside, patches.inside)
  for s, j in ((0, 0), (1, 17)):
    params = jax.tree.map(lambda leaf, s=s: leaf[s], nets[0].params)
    pattern = jax.tree.map(lambda leaf, s=s, j=j: leaf[s, j], patches.patterns)
    log_p = [
      jax.nn.log_softmax(here.model.apply(params, (), x)[0])[
        :, here.y_N[patches.carrier[s, j]]
      ]
      for x in (plant.paint(pattern, here.x_M), here.x_M)
    ]
    assert found.score[s, j] == pytest.approx(float((log_p[0] - log_p[1]).mean()), abs=1e-5)


def test_rows_and_table():
  result = study(Run(config()))
  assert {row.metric for row in result.rows} == {
    "epsilon_low", "epsilon", "auc", "exposure_bits", "task_accuracy",
  }  # fmt: skip
  whole = [row for row in result.rows if row.num_seeds == 2]
  assert next(row for row in whole if row.metric == "auc").n_eval == 80
  assert "all together" in result.table()


@pytest.mark.parametrize(
  ("change", "said"),
  [
    ({"patches": 5}, "at least 8"),
    ({"patches": 5000}, "1437 examples"),
    ({"side": 9}, "8x8"),
    ({"clip": "norm"}, "value, example"),
    ({"noise": 1.0}, "only with clip"),
  ],
)
def test_what_cannot_be_planted_is_refused_in_one_line(change, said):
  with pytest.raises(BadInput, match=said) as refused:
    study(Run(config(**change)))
  assert "\n" not in str(refused.value)


@pytest.mark.slow
def test_the_bound_stays_below_a_known_epsilon():
  """Full-batch DP-SGD is Gaussian: T noised sums, a carrier moves each by at most 2 C.

  So the pair is N(0, 1) and N(2 sqrt(T) / noise, 1), whatever is done with the sums.
  """
  T, noise, S = 40, 8.0, 20
  asked = config(patches=200, clip="example", clip_at=1.0, noise=noise)
  asked["fit"] = {
    "epochs": T, "batch_size": 1437, "learning_rate": 0.5, "optimiser": "sgd",
    "milestones": (T,),
  }  # fmt: skip
  made, here = world(asked)
  found = leak.cells(Run(asked), here, made, range(S))
  epsilon = audit.epsilon_of_shift(2 * T**0.5 / noise, made.delta)
  bounds = [
    audit.one_run(score[inside], score[~inside], 0.05, made.delta).epsilon
    for score, inside in zip(found.score, found.inside, strict=True)
  ]
  assert found.accuracy.mean() > 0.5, "it learns something"
  assert np.sum(np.array(bounds) > epsilon) <= 1
