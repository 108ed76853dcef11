"""The grid: lanes are separate fits, padding is nothing, probes match scikit-learn."""

import jax
import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from ovl import fit, grid, load, mesh, rng
from ovl.audit import make_settings
from ovl.audit.material import from_config
from ovl.judge import cells
from ovl.readings.critics import _program
from ovl.run import Run
from ovl.types import Lane

SIZES = (200, 60, 100)
N = sum(SIZES)


def material(widths=(5, 9, 40), S=2, seed=0):
  """Lanes of several widths that know two attributes of different class counts."""
  gen = np.random.default_rng(seed)
  s = np.stack([gen.integers(0, 2, (S, N)), gen.integers(0, 4, (S, N))], 1)
  lanes = []
  for depth, width in enumerate(widths):
    z = gen.normal(size=(S, N, width)).astype(np.float32)
    z[..., 0] += s[:, 0]
    z[..., 1] += s[:, 1]
    lanes.append(Lane("trained", f"fc{depth}", depth, z))
  classes = np.arange(4) < np.array([[2], [4]])
  mask = np.ones((S, 2, N), np.float32)
  return lanes, grid.Labels(s.astype(np.int32), mask, classes)


SHORT = grid.Schedule(epochs=20)


def sweep(critic, lanes, labels, task=None, program=_program, schedule=SHORT):
  S = labels.s_SAN.shape[0]
  task = np.ones((S, N, 1), np.float32) if task is None else task
  return grid.sweep(
    program, critic, lanes, labels, task, rng.per_seed(0, S), SIZES, schedule, mesh.make(S)
  )


@pytest.mark.parametrize("name", ["linear", "mlp"])
def test_together_equals_one_at_a_time(name):
  """Padding of widths and classes, and the company of other lanes, change nothing."""
  critic = load("critics", name)
  lanes, labels = material()
  together = sweep(critic, lanes, labels)
  for lane, found in zip(lanes, together, strict=True):
    for a, K in enumerate((2, 4)):
      alone = grid.Labels(
        labels.s_SAN[:, a : a + 1], labels.mask_SAN[:, a : a + 1], np.ones((1, K), bool)
      )
      (one,) = sweep(critic, [lane], alone)
      np.testing.assert_allclose(
        found.test[:, 0, a, :, :K], one.test[:, 0, 0], rtol=5e-3, atol=5e-3
      )


def test_one_program_a_width_bucket():
  lanes, labels = material((5, 9, 200))  # the first two share a bucket
  traced = []

  def counted(critic, data, key_S, sizes, schedule, mesh):
    traced.append(data.z_LSND.shape)
    return grid.run(critic, data, key_S, sizes, schedule, mesh)

  program = jax.jit(counted, static_argnames=("critic", "sizes", "schedule", "mesh"))
  sweep(load("critics", "linear"), lanes + lanes, labels, program=program)
  assert [shape[-1] for shape in traced] == [9, 200]


def test_second_variant_reads_the_label_and_the_first_does_not():
  lanes, labels = material()
  task = np.eye(4, dtype=np.float32)[labels.s_SAN[:, 1]]
  (found,) = sweep(load("critics", "linear"), lanes[:1], labels, task)
  s_test = labels.s_SAN[:, 1, -SIZES[2] :]
  accuracy = (found.test[:, :, 1].argmax(-1) == s_test[:, None]).mean((0, 2))
  assert accuracy[0] < 0.8
  assert accuracy[1] > 0.98


def test_unknown_rows_do_not_count():
  lanes, labels = material()
  masked = labels._replace(mask_SAN=labels.mask_SAN.copy(), s_SAN=labels.s_SAN.copy())
  masked.mask_SAN[:, 0, :50] = 0
  flipped = masked._replace(s_SAN=masked.s_SAN.copy())
  flipped.s_SAN[:, 0, :50] = 1 - flipped.s_SAN[:, 0, :50]
  for name in ("linear", "mlp"):
    a, b = (sweep(load("critics", name), lanes[:1], x)[0] for x in (masked, flipped))
    np.testing.assert_allclose(a.test, b.test, atol=1e-5)


def test_schedule_changes_what_it_says():
  lanes, labels = material()
  mlp = load("critics", "mlp")
  base = sweep(mlp, lanes[:1], labels, schedule=grid.Schedule(epochs=4))[0].test
  for other in (
    grid.Schedule(epochs=3),
    grid.Schedule(epochs=4, learning_rate=1e-3),
    grid.Schedule(epochs=4, weight_decay=1.0),
    grid.Schedule(epochs=4, batch_size=50),
  ):
    assert not np.allclose(sweep(mlp, lanes[:1], labels, schedule=other)[0].test, base)
  short, long = (
    sweep(mlp, lanes[:1], labels, schedule=grid.Schedule(epochs=60, patience=p))[0]
    for p in (1, 60)
  )
  assert short.converged.all()
  assert not long.converged.any()


@pytest.fixture(scope="module")
def default_taps():
  """The taps of the default experiment, two seeds of it."""
  config = {
    "seed": 0,
    "seeds": 2,
    "dataset": {"name": "digits"},
    "model": {"name": "mlp", "hidden": (64, 32)},
    "fit": {"epochs": 60},
  }
  return from_config(fit.prepare(config), make_settings({}), Run(config))


def lane_of(taps, layer):
  """A tap of the trained networks."""
  (trained,) = (one for one in taps.subjects if one.name == "trained")
  return trained.lane(layer, taps.layers)


def test_probes_reach_scikit_learns_best_on_the_default(default_taps):
  frame = default_taps.frame
  lanes = [lane_of(default_taps, "fc2")]
  names = ("identity", "parity", "ink")
  cols = [
    cells.column(n, default_taps.attributes[n], default_taps.y_N, frame) for n in names
  ]
  labels = grid.Labels(
    np.stack([c.s_SN for c in cols], 1),
    np.stack([c.mask_SN for c in cols], 1).astype(np.float32),
    np.stack([np.arange(10) < c.outputs for c in cols]),
  )
  no_task = np.ones((2, frame.rows_SN.shape[1], 1))
  found = {
    name: grid.sweep(
      _program, load("critics", name), lanes, labels, no_task,
      rng.per_seed(0, 2), frame.sizes, grid.Schedule(), mesh.make(2),
    )[0]
    for name in ("linear", "mlp")
  }  # fmt: skip
  probe, test = frame.part("probe"), frame.part("test")
  ours, best = [], []
  for at, c in enumerate(cols):
    cell = cells.scored(lanes[0], c, at, found, frame)
    ours.append(np.mean([m["accuracy"][0] for m in cell.metrics]))
    peers = []
    for make in (
      lambda: LogisticRegression(max_iter=2000),
      lambda: HistGradientBoostingClassifier(max_iter=60),
    ):
      scores = []
      for s in range(2):
        z = lanes[0].z_SND[s]
        mean, sd = z[probe].mean(0), z[probe].std(0) + 1e-9
        z = (z - mean) / sd
        peer = make().fit(z[probe], c.s_SN[s, probe])
        scores.append(peer.score(z[test], c.s_SN[s, test]))
      peers.append(np.mean(scores))
    best.append(max(peers))
  assert (np.array(ours) >= np.array(best) - 0.02).all(), (ours, best)


def test_linear_probe_has_scikit_learns_cross_entropy_on_the_default(default_taps):
  frame = default_taps.frame
  lane = lane_of(default_taps, "fc1")
  c = cells.column("identity", default_taps.attributes["identity"], default_taps.y_N, frame)
  labels = grid.Labels(
    c.s_SN[:, None], c.mask_SN[:, None].astype(np.float32), np.ones((1, 10), bool)
  )
  (found,) = grid.sweep(
    _program, load("critics", "linear", l2=(1.0,)), [lane], labels,
    np.ones((2, frame.rows_SN.shape[1], 1)), rng.per_seed(0, 2), frame.sizes,
    grid.Schedule(), mesh.make(2),
  )  # fmt: skip
  probe, test = frame.part("probe"), frame.part("test")
  for s in range(2):
    z = lane.z_SND[s]
    sd = z[probe].std(0)
    z = (z - z[probe].mean(0)) / np.where(sd > 0, sd, 1) * (sd > 0)
    peer = LogisticRegression(C=1.0, tol=1e-6, max_iter=5000).fit(
      z[probe], c.s_SN[s, probe]
    )
    rows = np.arange(frame.sizes[2])
    theirs = -peer.predict_log_proba(z[test])[rows, c.s_SN[s, test]].mean()
    out = found.test[s, 0, 0].astype(float)
    log_q = out - np.log(np.exp(out - out.max(1, keepdims=True)).sum(1, keepdims=True))
    log_q -= out.max(1, keepdims=True)
    ours = -log_q[rows, c.s_SN[s, test]].mean()
    assert ours == pytest.approx(theirs, rel=1e-2)  # both stop short of the optimum
