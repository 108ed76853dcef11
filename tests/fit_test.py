"""The train step, and the loop that holds all seeds: golden numbers, program, resume."""

import pathlib
import subprocess
import sys

import flax.linen
import flax.nnx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ovl import checkpoint, fit, load, mesh, rng, step
from ovl.types import BadInput, Model

TINY = str(pathlib.Path(__file__).parent / "tiny.py")
GEN = np.random.default_rng(0)


def data(N=96):
  x = GEN.normal(size=(N, 8)).astype(np.float32)
  return x, (x[:, 0] > 0).astype(np.int32)


def fitted(directory=None, seeds=2, model=None, devices=None, **settings):
  x, y = np.random.default_rng(1).normal(size=(96, 8)).astype(np.float32), None
  y = (x[:, 0] > 0).astype(np.int32)
  rows = np.stack([np.random.default_rng(s).permutation(96)[:64] for s in range(seeds)])
  settings = fit.Settings(**{"epochs": 4, "batch_size": 16, "save_every": 2} | settings)
  return fit.fit(
    model or load("models", "mlp", classes=2, hidden=(8,)),
    x, y, rows, rng.per_seed(0, seeds), settings, devices or mesh.make(seeds), directory,
  )  # fmt: skip


def same(a, b):
  return all(
    np.array_equal(x, y) for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True)
  )


# Loss of each step, and the parameters after the last.
GOLDEN = (0.669659, 0.662675, 0.649876, 0.632666, 11.592590)


def test_golden_numbers_of_several_steps():
  """Four steps of SGD with momentum, a monitor and a penalty beside the task."""
  x = jnp.linspace(-1, 1, 40).reshape(5, 8)
  y, s = jnp.array([0, 1, 0, 1, 1]), jnp.array([1, 1, 0, 0, 1])
  model, tx = load("models", "mlp", classes=2, hidden=(4,)), optax.sgd(0.1, momentum=0.9)
  plan = step.Plan(
    tuple(
      step.Term(name, load("critics", name, attribute="discrete"), "s", "discrete", 2,
                ("fc1",), penalty)
      for name, penalty in (("linear", False), ("irene", True))
    ), steps=4,
  )  # fmt: skip
  key = jax.random.key(0)
  batch = step.Batch(x, y, {"s": (s, jnp.ones(5))}, {"s": jnp.full(4, 0.25)})
  state = jax.jit(step.init, static_argnums=(0, 1, 4))(model, tx, key, batch, plan)
  run, found = jax.jit(step.make_step(model, tx, plan)), []
  for _ in range(4):
    state, metrics = run(state, batch, {"irene": jnp.float32(1)}, key)
    found.append(float(metrics["loss"]))
  found.append(sum(float(jnp.abs(leaf).sum()) for leaf in jax.tree.leaves(state.params)))
  said = (
    "train steps moved: if initialisation, loss or optimiser were meant to change, put "
    f"({', '.join(f'{x:.6f}' for x in found)}) here and say so in the changelog"
  )
  assert found == pytest.approx(GOLDEN, rel=1e-4), said
  assert run._cache_size() == 1, "what a step returns has the types of what it takes"


def test_seeds_together_equal_each_alone():
  """Stacked seeds, own keys, own order: seed 1 of two is seed 1 on its own."""
  both = fitted()
  x, y = np.random.default_rng(1).normal(size=(96, 8)).astype(np.float32), None
  y = (x[:, 0] > 0).astype(np.int32)
  rows = np.random.default_rng(1).permutation(96)[:64][None]
  alone = fit.fit(
    load("models", "mlp", classes=2, hidden=(8,)), x, y, rows, rng.per_seed(1, 1),
    fit.Settings(epochs=4, batch_size=16), mesh.make(1),
  )  # fmt: skip
  for a, b in zip(*map(jax.tree.leaves, (both.params, alone.params)), strict=True):
    np.testing.assert_allclose(a[1], b[0], rtol=1e-4, atol=1e-6)


def test_training_learns_and_twins_stay_untouched():
  nets = fitted(epochs=40, learning_rate=0.02)
  assert not same(nets.params, nets.first_params)
  x, y = np.random.default_rng(1).normal(size=(96, 8)).astype(np.float32), None
  y = x[:, 0] > 0
  model = load("models", "mlp", classes=2, hidden=(8,))
  for params, least, most in ((nets.params, 0.9, 1.0), (nets.first_params, 0.0, 0.9)):
    logits = jax.vmap(lambda p: model.apply(p, (), jnp.asarray(x))[0])(params)
    assert least <= float((logits.argmax(-1) == y).mean()) <= most


@pytest.mark.parametrize(
  "other", [{"epochs": 3}, {"batch_size": 32}, {"learning_rate": 1e-4}]
)
def test_every_setting_changes_the_parameters(other):
  assert not same(fitted().params, fitted(**other).params)


def test_interrupted_equals_uninterrupted(tmp_path):
  whole = fitted(tmp_path / "a")

  class Stop(Exception):
    pass

  def stop(share, said):
    if share >= 0.75:
      raise Stop

  model = load("models", "mlp", classes=2, hidden=(8,))
  x, _ = np.random.default_rng(1).normal(size=(96, 8)).astype(np.float32), None
  y = (x[:, 0] > 0).astype(np.int32)
  rows = np.stack([np.random.default_rng(s).permutation(96)[:64] for s in range(2)])
  args = (model, x, y, rows, rng.per_seed(0, 2))
  settings = fit.Settings(epochs=4, batch_size=16, save_every=2)
  with pytest.raises(Stop):
    fit.fit(*args, settings, mesh.make(2), tmp_path / "b", stop)
  assert checkpoint.latest(tmp_path / "b") == 8
  resumed = fit.fit(*args, settings, mesh.make(2), tmp_path / "b")
  assert same(whole.params, resumed.params)


def test_own_checkpoint_in_place_of_training(tmp_path):
  nets = fitted(epochs=2)
  checkpoint.save(tmp_path, 0, {"params": nets.params, "state": nets.state})
  given = fitted(checkpoint=str(tmp_path))
  assert same(given.params, nets.params)
  assert same(given.first_params, nets.first_params)
  with pytest.raises(BadInput, match="does not fit"):
    fitted(checkpoint=str(tmp_path), model=load("models", "mlp", classes=2, hidden=(9,)))
  with pytest.raises(BadInput, match="no checkpoint"):
    fitted(checkpoint=str(tmp_path / "nowhere"))


def test_a_loss_that_is_not_finite_names_seed_and_step():
  x, y = data()
  x[5] = np.nan
  rows = np.stack([np.arange(6, 70), np.arange(64)])
  model = load("models", "mlp", classes=2, hidden=(8,))
  with pytest.raises(FloatingPointError, match=r"seed \[1\]"):
    fit.fit(
      model, x, y, rows, rng.per_seed(0, 2), fit.Settings(epochs=1, batch_size=16),
      mesh.make(2),
    )  # fmt: skip


def lowered(seeds=2):
  """The very program that `fit` jits, lowered from shapes alone."""
  model = load("models", "mlp", classes=2, hidden=(8,))
  settings = fit.Settings(epochs=4, batch_size=16)
  devices = mesh.make(seeds)
  made = fit.programs(model, settings, 4, devices, step.Plan(steps=16), None)
  key = rng.per_seed(0, seeds)
  shape = jax.ShapeDtypeStruct
  few = step.Batch(shape((2, 8), jnp.float32), shape((2,), jnp.int32))
  state = jax.eval_shape(made.init, key, few)
  rows = jax.ShapeDtypeStruct((seeds, 64), jnp.int32)
  order = jax.eval_shape(made.order, key, rows, jax.ShapeDtypeStruct((), jnp.int32))
  x = jax.ShapeDtypeStruct((96, 8), jnp.float32)
  y = jax.ShapeDtypeStruct((96,), jnp.int32)
  return made.step(frozenset()).lower(state, step.Batch(x, y), order, fit.Own({}), key)


def test_the_step_is_one_executable_without_host_callbacks():
  text = lowered().as_text()
  assert "callback" not in text
  assert "donat" in text or "tf.aliasing_output" in text
  compiled = lowered().compile()
  assert compiled.cost_analysis()["flops"] > 0
  assert compiled.memory_analysis().alias_size_in_bytes > 0  # the state is donated


def test_the_step_compiles_once_for_all_steps():
  model = load("models", "mlp", classes=2, hidden=(7,))
  fitted(model=model)
  settings = fit.Settings(epochs=4, batch_size=16, save_every=2)
  made = fit.programs(
    model, settings, 4, mesh.make(2), step.Plan(steps=16), None, False, ()
  )
  assert made.step(frozenset())._cache_size() == 1


class LinenNet(flax.linen.Module):
  @flax.linen.compact
  def __call__(self, x):
    h = flax.linen.relu(flax.linen.Dense(6)(x))
    return flax.linen.Dense(2)(h), {"h": h}


class NnxNet(flax.nnx.Module):
  def __init__(self, rngs):
    self.one, self.two = flax.nnx.Linear(8, 6, rngs=rngs), flax.nnx.Linear(6, 2, rngs=rngs)

  def __call__(self, x):
    h = flax.nnx.relu(self.one(x))
    return self.two(h), {"h": h}


def linen_pair():
  net = LinenNet()

  def apply(params, state, x, *, key=None, train=False):
    return *net.apply(params, x), state

  return Model(lambda key, x: (net.init(key, x), ()), apply)


def nnx_pair():
  graph = flax.nnx.graphdef(NnxNet(flax.nnx.Rngs(0)))

  def init(key, x):
    return flax.nnx.state(NnxNet(flax.nnx.Rngs(key)), flax.nnx.Param), ()

  def apply(params, state, x, *, key=None, train=False):
    return *flax.nnx.merge(graph, params, copy=True)(x), state

  return Model(init, apply)


@pytest.mark.parametrize("pair", [linen_pair, nnx_pair])
def test_any_init_apply_pair_trains(pair):
  nets = fitted(model=pair(), epochs=1)
  assert not same(nets.params, nets.first_params)


SHARDED = """
import jax, jax.numpy as jnp, numpy as np, optax
jax.config.update("jax_num_cpu_devices", 8)
from ovl import fit, load, mesh, rng, grid
assert jax.device_count() == 8
model = load("models", "cnn", classes=2, channels=(4,), hidden=(8,))
gen = np.random.default_rng(0)
x = gen.random((64, 8, 8, 1)).astype(np.float32)
y = (x.mean((1, 2, 3)) > .5).astype(np.int32)
rows = np.stack([gen.permutation(64)[:32] for _ in range(8)])
settings = fit.Settings(epochs=1, batch_size=16)
many, one = mesh.make(8), mesh.make(8, devices=jax.devices()[:1])
assert dict(many.shape) == {"seed": 8, "data": 1}
assert dict(mesh.make(2).shape) == {"seed": 2, "data": 4}
a, b = (fit.fit(model, x, y, rows, rng.per_seed(0, 8), settings, m) for m in (many, one))
for p, q in zip(jax.tree.leaves(a.params), jax.tree.leaves(b.params), strict=True):
  assert len(p.sharding.device_set) == 8 and len(q.sharding.device_set) == 1
  assert {s.data.shape[0] for s in p.addressable_shards} == {1}, "each holds one seed of 8"
  np.testing.assert_allclose(p, q, rtol=1e-5, atol=1e-5)
z = gen.normal(size=(1, 8, 120, 5)).astype(np.float32)
s = (z[0, :, None, :, 0] > 0).astype(np.int32)
run = jax.jit(grid.run, static_argnames=("critic", "sizes", "schedule", "mesh"))
out = []
for m in (many, one):
  d = grid.Data(mesh.put(z, m, None, "seed"), mesh.put(s, m, "seed"),
    mesh.put(np.ones(s.shape, np.float32), m, "seed"),
    jnp.ones((1, 1, 5), bool), jnp.ones((1, 2), bool))
  key = mesh.put(rng.per_seed(0, 8), m, "seed")
  out.append(run(load("critics", "mlp"), d, key, (60, 20, 40), grid.Schedule(epochs=3), m))
assert {x.data.shape[1] for x in out[0].test.addressable_shards} == {1}
np.testing.assert_allclose(out[0].test, out[1].test, rtol=1e-4, atol=1e-4)
# One step: loss and gradients (SGD with rate 1: the gradient is the difference).
from ovl import step
tx = optax.sgd(1.0)
def one_step(m):
  key = mesh.put(rng.per_seed(0, 8), m, "seed")
  few = step.Batch(jnp.asarray(x[:2]), jnp.asarray(y[:2]))
  state = jax.vmap(lambda k: step.init(model, tx, k, few))(key)
  batch = step.Batch(*mesh.put((x[rows[:, :16]], y[rows[:, :16]]), m, "seed", "data"))
  return jax.jit(jax.vmap(step.make_step(model, tx)))(state, batch, {}, key), state
for m in (many, mesh.make(2)):
  (s1, m1), s0 = one_step(m)
  (r1, n1), r0 = one_step(one)
  np.testing.assert_allclose(m1["loss"], n1["loss"], rtol=1e-5, atol=1e-5)
  for p, q in zip(jax.tree.leaves(s1.params), jax.tree.leaves(r1.params), strict=True):
    np.testing.assert_allclose(p, q, rtol=1e-5, atol=1e-5)
print("sharded equals unsharded")
"""


def test_eight_devices_equal_one():
  """In a process of its own: the number of devices is fixed at its start."""
  done = subprocess.run(
    [sys.executable, "-c", SHARDED],
    capture_output=True,
    text=True,
    timeout=600,
    check=False,
  )
  assert "sharded equals unsharded" in done.stdout, done.stderr[-3000:]


# ---- what differs between lanes ----------------------------------------------------------

X = np.random.default_rng(1).normal(size=(96, 8)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int32)
ROWS = np.stack([np.random.default_rng(3).permutation(96)[:64]] * 4)
SMALL = load("models", "mlp", classes=2, hidden=(8,))


def of_lanes(
  x=X, y=Y, seeds=(0, 0, 0, 0), rate=3e-3, start=None, snapshots=(), **objective
):
  """Four lanes that share data and rows; whatever else is given is a lane's own."""
  lanes = {k: objective.pop(k) for k in ("mask", "targets", "given") if k in objective}
  keys = jax.vmap(jax.random.key)(jnp.array(seeds))
  aim = fit.Objective(
    lanes=fit.Lanes(start=start, **lanes), snapshots=snapshots, **objective
  )
  settings = fit.Settings(epochs=2, batch_size=16, learning_rate=rate, milestones=(9,))
  return fit.fit(SMALL, x, y, ROWS, keys, settings, mesh.make(4), objective=aim)


def lane(tree, s):
  return jax.tree.map(lambda leaf: leaf[s], tree)


def close(a, b, most=1e-6):
  leaves = zip(*map(jax.tree.leaves, (a, b)), strict=True)
  return all(np.allclose(x, y, rtol=0, atol=most) for x, y in leaves)


@pytest.fixture(scope="module")
def plain():
  return of_lanes(seeds=(0, 1, 2, 3), snapshots=(2, 5, 8))


def test_a_lane_sees_the_rows_of_its_mask_alone(plain):
  mask = np.ones((4, 96))
  mask[1, ROWS[0, :20]] = 0
  nets = of_lanes(mask=mask)
  assert close(lane(nets.params, 0), lane(plain.params, 0))
  assert not close(lane(nets.params, 1), lane(nets.params, 0), 1e-4)
  junk = X.copy()
  junk[ROWS[0, :20]] = 7
  other = of_lanes(junk, mask=mask)
  assert close(lane(nets.params, 1), lane(other.params, 1), 0)
  assert not close(lane(nets.params, 0), lane(other.params, 0), 1e-4)


def test_batch_statistics_would_see_what_a_mask_hides():
  """So a network that has some is not asked to overlook rows."""
  norm = load("models", "mlp", classes=2, hidden=(4,), norm=True)
  keys = jax.vmap(jax.random.key)(jnp.arange(4))
  settings, grid = fit.Settings(epochs=1, batch_size=16), mesh.make(4)
  hidden = fit.Objective(lanes=fit.Lanes(mask=np.ones((4, 96))))
  with pytest.raises(BadInput, match="batch statistics"):
    fit.fit(norm, X, Y, ROWS, keys, settings, grid, objective=hidden)


def test_a_lane_has_its_own_targets_and_its_own_transform(plain):
  def moved(given, batch, key):
    assert batch.ids_B.shape == (16,)
    return batch._replace(x_B=batch.x_B + given["shift"] * (batch.ids_B[:, None] < 48))

  shift = np.array([0, 0, 0.5, 0.5], np.float32)
  targets = np.stack([Y, 1 - Y, Y, Y])
  nets = of_lanes(targets=targets, given={"shift": shift}, transform=moved)
  assert close(lane(nets.params, 0), lane(plain.params, 0))
  assert close(lane(nets.params, 1), lane(of_lanes(y=1 - Y).params, 0))
  x = X + 0.5 * (np.arange(96)[:, None] < 48).astype(np.float32)
  assert close(lane(nets.params, 2), lane(of_lanes(x).params, 0))


def test_a_lane_has_its_own_rate(plain):
  factors = np.array([1, 0.1, 10, 0], np.float32)
  nets = of_lanes(weights={"learning_rate": factors})
  assert close(lane(nets.params, 0), lane(plain.params, 0))
  for s in (1, 2):
    alone = of_lanes(rate=3e-3 * float(factors[s]))
    assert close(lane(nets.params, s), lane(alone.params, 0), 1e-5)
  assert close(lane(nets.params, 3), lane(nets.first_params, 3), 0)


def test_lanes_start_where_they_are_told_and_snapshots_lie_on_the_way(plain):
  keep = jax.tree.map(np.asarray, plain.snapshots[0])
  assert {leaf.shape[:2] for leaf in jax.tree.leaves(keep)} == {(3, 4)}
  assert close(lane(keep, 2), plain.params, 0)
  assert not close(lane(keep, 0), lane(keep, 1), 1e-4)
  start = fit.Start(jax.tree.map(lambda p: jnp.flip(p, 0), plain.params))
  again = of_lanes(start=start)
  assert close(again.first_params, start.params, 0)
  assert not close(again.params, start.params, 1e-4)
  # Another optimiser state leads elsewhere.
  warm = of_lanes(start=start._replace(opt=plain.opt))
  assert not close(again.params, warm.params, 1e-5)
  with pytest.raises(BadInput, match="does not fit"):
    of_lanes(start=fit.Start(jax.tree.map(lambda p: p[..., None], plain.params)))


def test_what_is_frozen_stays(plain):
  nets = of_lanes(plan=step.Plan(frozen=("fc1", "logits/bias")))
  for name, part, still in (
    ("fc1", "kernel", True), ("fc1", "bias", True),
    ("logits", "bias", True), ("logits", "kernel", False),
  ):  # fmt: skip
    assert close(nets.params[name][part], nets.first_params[name][part], 0) == still
  with pytest.raises(BadInput, match=r"frozen: no parameters 'fc'.*did you mean"):
    of_lanes(plan=step.Plan(frozen=("fc",)))
  del plain


def test_snapshots_survive_an_interruption(tmp_path):
  class Stop(Exception):
    pass

  def stop(share, said):
    if share >= 0.5:
      raise Stop

  keys = jax.vmap(jax.random.key)(jnp.arange(4))
  settings = fit.Settings(epochs=4, batch_size=16, save_every=1)
  objective = fit.Objective(snapshots=(1, 6, 15))
  args = (SMALL, X, Y, ROWS, keys, settings, mesh.make(4))
  whole = fit.fit(*args, objective=objective)
  with pytest.raises(Stop):
    fit.fit(*args, tmp_path, stop, objective)
  resumed = fit.fit(*args, tmp_path, objective=objective)
  assert close(whole.snapshots, resumed.snapshots, 0)


@pytest.mark.parametrize(
  ("bad", "said"),
  [
    ({"mask": np.ones((4, 5))}, "lanes.mask"),
    ({"targets": np.ones((3, 96))}, "lanes.targets"),
    ({"weights": {"learning_rate": np.ones(3)}}, "learning_rate of the lanes"),
    ({"snapshots": (0,)}, "snapshots"),
    ({"snapshots": (9,)}, "snapshots"),
  ],
)
def test_lanes_of_another_number_are_refused(bad, said):
  with pytest.raises(BadInput, match=said):
    of_lanes(**bad)
