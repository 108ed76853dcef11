"""The fused step: what is computed together equals what is computed apart."""

import functools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ovl import load, rng, step
from ovl.types import BadInput

KEY = jax.random.key(0)
B, K = 64, 3


def planted(seed=0, rows=B, attribute=None):
  """Inputs that know the task and the attribute."""
  gen = np.random.default_rng(seed)
  y, s = gen.integers(0, 2, rows), gen.integers(0, K, rows)
  x = gen.normal(size=(rows, 8)).astype(np.float32)
  x[:, 0] += 2 * y
  x[:, 1:4] += 2 * np.eye(K)[s]
  s = s if attribute is None else attribute
  mask = np.ones(rows, np.float32)
  return step.Batch(
    jnp.asarray(x),
    jnp.asarray(y, jnp.int32),
    {"s": (jnp.asarray(s, jnp.int32), jnp.asarray(mask))},
    {"s": jnp.full(2 * K, 1 / (2 * K))},
  )


MODEL = load("models", "mlp", classes=2, hidden=(16, 8))
ADAM = optax.adam(1e-2)
SGD = optax.sgd(1.0)  # with rate 1 the gradient is the difference


@functools.cache
def term(name="irene", taps=("fc2",), penalty=True, **settings):
  unit = {"normalise": "nats"} if name == "irene" else {}
  critic = load("critics", name, attribute="discrete", **unit)
  return step.Term(name, critic, "s", "discrete", K, taps, penalty, **settings)


# One program each, shared by tests: compiling is most of what they cost.
started = jax.jit(step.init, static_argnums=(0, 1, 4))


@functools.cache
def program(plan, tx=SGD, active=None, lanes=None):
  one = step.make_step(MODEL, tx, plan, active)
  return jax.jit(one if lanes is None else jax.vmap(one, lanes))


def gradient(fun, *args):
  """In the first argument, by one program, on the host."""
  return jax.device_get(_gradient(fun)(*args))


@functools.cache
def _gradient(fun):
  return jax.jit(jax.grad(fun))


def one_step(plan, weights, batch=None, tx=SGD, active=None, steps=1):
  batch = planted() if batch is None else batch
  plan = plan._replace(steps=max(plan.steps, 1))
  state = started(MODEL, tx, KEY, batch, plan)
  run = program(plan, tx, active)
  weights = {k: jnp.float32(v) for k, v in weights.items()}
  for _ in range(steps):
    before = state
    state, metrics = run(state, batch, weights, KEY)
  return jax.device_get((before, state, metrics))


def difference(a, b):
  return max(
    float(np.abs(np.asarray(x) - np.asarray(y)).max())
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
  )


# ---- IRENE: one backward pass, or two ---------------------------------------------------


def test_fused_irene_equals_two_backward_passes():
  """Task and MI through the network; the head by its cross-entropy alone."""
  batch, weight = planted(), 0.7
  plan = step.Plan((term(learning_rate=0.1, optimiser="sgd"),))
  before, after, metrics = one_step(plan, {"irene": weight}, batch)
  head, _ = before.critics["irene/fc2"]
  s, _ = batch.attributes["s"]

  def logits(head, params):
    _, taps, _ = MODEL.apply(params, (), batch.x_B, train=True)
    ((w, b),) = head
    return taps["fc2"] @ w + b

  def information(params, head):
    q = jax.nn.softmax(logits(head, params))
    p = q.T @ jax.nn.one_hot(s, K) / B
    ratio = p / (p.sum(0) * p.sum(1)[:, None])
    return (p * jnp.log(ratio)).sum()

  def task(params):
    out, _, _ = MODEL.apply(params, (), batch.x_B, train=True)
    return optax.softmax_cross_entropy_with_integer_labels(out, batch.y_B).mean()

  def private(head, params):
    return optax.softmax_cross_entropy_with_integer_labels(logits(head, params), s).mean()

  first = gradient(task, before.params)
  second = gradient(information, before.params, head)
  twin = jax.tree.map(lambda p, a, b: p - a - weight * b, before.params, first, second)
  assert difference(after.params, twin) < 1e-6
  # SGD's first step: decay 1e-4, no momentum yet.
  slope = gradient(private, head, before.params)
  twin = jax.tree.map(lambda p, g: p - 0.1 * (g + 1e-4 * p), head, slope)
  assert difference(after.critics["irene/fc2"][0], twin) < 1e-6
  read, loss = jax.jit(lambda p: (information(p, head), task(p)))(before.params)
  assert float(metrics["irene/fc2"]) == pytest.approx(float(read), abs=1e-6)
  assert float(metrics["loss"]) == pytest.approx(float(loss), abs=1e-6)


def test_critic_first_meets_the_updated_critic():
  batch = planted()
  settings = {"learning_rate": 0.1, "optimiser": "sgd", "inner_steps": 3}
  plan = step.Plan((term("reversal", order="critic_first", **settings),))
  before, after, _ = one_step(plan, {"reversal": 1.0}, batch)
  new = after.critics["reversal/fc2"][0]
  critic = plan.terms[0].critic

  def total(params, critic_params):
    out, taps, _ = MODEL.apply(params, (), batch.x_B, train=True)
    site = step.Site(plan.terms[0], "fc2", 1.0)
    seen, _ = step.critics.view(site, taps["fc2"], batch)
    task = optax.softmax_cross_entropy_with_integer_labels(out, batch.y_B).mean()
    key = rng.at(rng.stream(KEY, "reversal/fc2"), 0)
    return task + critic.value(critic_params, seen, key)

  twin = jax.tree.map(
    lambda p, g: p - g, before.params, gradient(total, before.params, new)
  )
  assert difference(after.params, twin) < 1e-6
  old = jax.tree.map(
    lambda p, g: p - g,
    before.params,
    gradient(total, before.params, before.critics["reversal/fc2"][0]),
  )
  simultaneous = step.Plan((term("reversal", **settings),))
  _, other, _ = one_step(simultaneous, {"reversal": 1.0}, batch)
  assert difference(other.params, old) < 1e-6


# ---- weights, schedules, monitors -------------------------------------------------------


def lanes(plan, weights, steps=5):
  """Several weights in one program."""
  tx = ADAM
  plan = plan._replace(steps=steps)
  batch = planted()
  state = started(MODEL, tx, KEY, batch, plan)
  names = [t.name for t in plan.terms if t.penalty]
  W = {n: jnp.asarray(weights, jnp.float32) for n in names}
  state = jax.tree.map(lambda x: jnp.broadcast_to(x, (len(weights), *x.shape)), state)
  run = jax.jit(jax.vmap(step.make_step(MODEL, tx, plan), (0, None, 0, None)))
  for _ in range(steps):
    state, metrics = run(state, batch, W, KEY)
  assert run._cache_size() == 1, "what a step returns has the types of what it takes"
  return jax.device_get((state, metrics))


@pytest.mark.parametrize("name", ["irene", "hsic", "reversal", "club"])
def test_weight_0_is_no_penalty_and_a_sweep_is_one_program(name):
  swept, _ = lanes(step.Plan((term(name),)), [0.0, 1.0, 3.0])
  plain, _ = lanes(step.Plan(), [0.0])
  first = jax.tree.map(lambda x: x[0], swept.params)
  assert difference(first, jax.tree.map(lambda x: x[0], plain.params)) < 1e-6
  for lane, weight in ((1, 1.0), (2, 3.0)):
    alone, _ = lanes(step.Plan((term(name),)), [weight])
    mine = jax.tree.map(lambda x, i=lane: x[i], swept.params)
    assert difference(mine, jax.tree.map(lambda x: x[0], alone.params)) < 2e-5
    assert difference(mine, first) > 1e-4, "a weight that moves nothing"


def test_monitors_change_nothing_and_read_before_their_own_update():
  watch = tuple(
    step.Term(f"m{i}", load("critics", n), "s", "discrete", K, ("fc1", "fc2"))
    for i, n in enumerate(("linear", "mlp"))
  )
  watched, metrics = lanes(step.Plan(watch), [0.0], steps=3)
  plain, _ = lanes(step.Plan(), [0.0], steps=3)
  assert difference(watched.params, plain.params) < 1e-6
  assert set(metrics) >= {"m0/fc1", "m0/fc2", "m1/fc1", "m1/fc2", "m0/skipped"}
  # At the first step a critic still says nothing: its last layer starts at 0.
  _, _, first = one_step(step.Plan(watch), {}, tx=optax.adam(1e-2))
  s = np.asarray(planted().attributes["s"][0])
  p = np.bincount(s) / len(s)
  assert float(first["m0/fc1"]) == pytest.approx(
    -(p * np.log(p)).sum() - np.log(K), abs=1e-5
  )


def test_several_penalties_at_once_add_up():
  both = step.Plan((term("irene"), term("hsic", taps=("fc1", "fc2"), depth=(1.0, 0.5))))
  before, after, _ = one_step(both, {"irene": 0.5, "hsic": 2.0})
  one = one_step(step.Plan((both.terms[0],)), {"irene": 0.5})[1]
  other = one_step(step.Plan((both.terms[1],)), {"hsic": 2.0})[1]
  none = one_step(step.Plan(), {})[1]
  twin = jax.tree.map(lambda a, b, c: a + b - c, one.params, other.params, none.params)
  assert difference(after.params, twin) < 1e-6
  assert difference(before.params, after.params) > 1e-3


@pytest.mark.parametrize(
  ("ramp", "at", "factor"),
  [
    ("constant", 0.0, 1.0),
    ("linear", 0.25, 0.25),
    ("dann", 0.5, 2 / (1 + np.exp(-5)) - 1),
    (((0.1, 0.5), (0.6, 1.0)), 0.0, 0.0),
    (((0.1, 0.5), (0.6, 1.0)), 0.3, 0.5),
    (((0.1, 0.5), (0.6, 1.0)), 0.7, 1.0),
  ],
)
def test_ramps(ramp, at, factor):
  assert float(term(ramp=ramp).factor(jnp.float32(at))) == pytest.approx(factor, abs=1e-6)


def test_a_term_that_rests_changes_nothing_of_the_network():
  plan = step.Plan((term(every=2),), steps=4)
  assert step.active(plan, 0) == {"irene"}
  assert step.active(plan, 1) == frozenset()
  before, after, metrics = one_step(plan, {"irene": 5.0}, active=frozenset())
  _, plain, _ = one_step(step.Plan(), {})
  assert difference(after.params, plain.params) < 1e-7
  assert difference(after.critics, before.critics) == 0.0
  assert "irene/fc2" not in metrics


# ---- what can go wrong in a batch ------------------------------------------------------


@pytest.mark.parametrize(
  "name", ["irene", "hsic", "club", "reversal", "cka", "mmd", "dcor"]
)
def test_an_attribute_constant_in_a_batch_is_skipped_and_counted(name):
  batch = planted(attribute=np.full(B, 2))
  before, after, metrics = one_step(step.Plan((term(name),)), {name: 10.0}, batch)
  _, plain, _ = one_step(step.Plan(), {}, batch)
  assert difference(after.params, plain.params) < 1e-6
  assert float(metrics[f"{name}/skipped"]) == 1.0
  assert float(metrics[f"{name}/fc2"]) == 0.0
  assert difference(after.critics, before.critics) == 0.0
  _, _, metrics = one_step(step.Plan((term(name),)), {name: 10.0})
  assert float(metrics[f"{name}/skipped"]) == 0.0


def test_unknown_attributes_have_no_say():
  batch = planted()
  s, mask = batch.attributes["s"]
  half = batch._replace(attributes={"s": (s, mask.at[: B // 2].set(0.0))})
  junk = half._replace(attributes={"s": (s.at[: B // 2].set(0), half.attributes["s"][1])})
  one, other = (one_step(step.Plan((term(),)), {"irene": 1.0}, b)[1] for b in (half, junk))
  assert difference(one.params, other.params) == 0.0


def test_a_lane_that_diverges_freezes_and_the_others_go_on():
  plan, tx = step.Plan((term(),), steps=4), optax.sgd(0.1)
  batch = planted()
  state = started(MODEL, tx, KEY, batch, plan)
  state = jax.tree.map(lambda x: jnp.stack([x, x]), state)
  run = program(plan, tx, None, (0, None, 0, None))
  start, weights = state, {"irene": jnp.array([1.0, jnp.inf])}
  for _ in range(3):
    state, metrics = run(state, batch, weights, KEY)
  assert state.alive.tolist() == [True, False]
  assert metrics["alive"].tolist() == [True, False]
  assert state.step.tolist() == [3, 3]
  second = jax.tree.map(lambda a, b: a[1] - b[1], state.params, start.params)
  assert all((x == 0).all() for x in jax.tree.leaves(second))
  alone, _, _ = one_step(plan, {"irene": 1.0}, tx=tx, steps=4)
  assert difference(alone.params, jax.tree.map(lambda x: x[0], state.params)) < 1e-6


@pytest.mark.parametrize(
  ("make", "said"),
  [
    (lambda: one_step(step.Plan((term(taps=("fc9",)),)), {"irene": 1.0}), "did you mean"),
    (lambda: term("linear"), "no penalty"),
    (lambda: term(every=0), "every"),
    (lambda: term(order="later"), "order"),
    (lambda: term(taps=()), "taps"),
    (lambda: term(learning_rate=0.0), "learning_rate"),
    (lambda: one_step(step.Plan((term(),), cuts=("fc7",)), {"irene": 1.0}), "did you mean"),
    (lambda: one_step(step.Plan(cuts=("fc1",)), {}), "nothing trains"),
  ],
)
def test_bad_plans_are_refused_in_one_line(make, said):
  with pytest.raises(BadInput, match=said) as refused:
    make()
  assert "\n" not in str(refused.value)


# ---- local modules ---------------------------------------------------------------------


def test_local_modules_equal_the_summed_loss_with_stopped_gradients():
  both = step.Plan((term("irene", taps=("fc1", "fc2"), depth=(2.0, 1.0)),), cuts=("fc1",))
  batch, weight = planted(), 0.7
  before, after, _ = one_step(both, {"irene": weight}, batch)

  def summed(params):
    """One graph, cut by hand after fc1."""
    h, _ = MODEL.stages[0].apply(params, (), batch.x_B, train=True)
    site = step.Site(both.terms[0], "fc1", 2.0)
    total = 0.0
    for tap, factor in (("fc1", 2.0), ("fc2", 1.0)):
      site = step.Site(both.terms[0], tap, factor)
      if tap == "fc2":
        h, _ = MODEL.stages[1].apply(params, (), jax.lax.stop_gradient(h), train=True)
      seen, _ = step.critics.view(site, h, batch)
      head = before.critics[f"irene/{tap}"][0]
      total += weight * factor * both.terms[0].critic.value(head, seen, KEY)
    out, _ = MODEL.stages[2].apply(params, (), h, train=True)
    return total + optax.softmax_cross_entropy_with_integer_labels(out, batch.y_B).mean()

  twin = jax.tree.map(lambda p, g: p - g, before.params, gradient(summed, before.params))
  assert difference(after.params, twin) < 1e-6
  joint = one_step(both._replace(cuts=()), {"irene": weight}, batch)[1]
  assert difference(joint.params, after.params) > 1e-4, "the cut changes something"


def test_local_modules_hold_the_activations_of_one_module():
  """Four modules need at most .6 of the memory of one."""
  deep = load("models", "mlp", classes=2, hidden=(64,) * 12)
  tx, rows = optax.sgd(0.1), 4096
  shape = jax.ShapeDtypeStruct
  batch = step.Batch(
    shape((rows, 64), jnp.float32),
    shape((rows,), jnp.int32),
    {"s": (shape((rows,), jnp.int32), shape((rows,), jnp.float32))},
  )
  taps = ("fc3", "fc6", "fc9")
  sizes = {}
  for cuts in ((), taps):
    plan = step.Plan((term("irene", taps=taps),), steps=4, cuts=cuts)
    state = jax.eval_shape(lambda b, p=plan: step.init(deep, tx, KEY, b, p), batch)
    run = jax.jit(step.make_step(deep, tx, plan))
    made = run.lower(state, batch, {"irene": shape((), jnp.float32)}, KEY).compile()
    sizes[len(cuts) + 1] = made.memory_analysis().temp_size_in_bytes
  assert sizes[4] <= 0.6 * sizes[1], sizes


# ---- several devices --------------------------------------------------------------------

SHARDED = """
import jax, jax.numpy as jnp, numpy as np, optax
jax.config.update("jax_num_cpu_devices", 8)
from ovl import fit, load, mesh, rng, step
model, tx = load("models", "mlp", classes=2, hidden=(16, 8)), optax.sgd(1.0)
gen = np.random.default_rng(0)
x = gen.normal(size=(64, 8)).astype(np.float32)
y, s = gen.integers(0, 2, 64).astype(np.int32), gen.integers(0, 3, 64).astype(np.int32)
x[:, :3] += 3 * np.eye(3)[s]
K = 3
for name in ("irene", "hsic", "club"):
  critic = load("critics", name, attribute="discrete")
  plan = step.Plan((step.Term(name, critic, "s", "discrete", K, ("fc2",), True),), steps=1)
  data = step.Batch(jnp.asarray(x), jnp.asarray(y), {"s": (jnp.asarray(s), jnp.ones(64))})
  order = jnp.stack([jax.random.permutation(jax.random.key(i), 64) for i in range(2)])
  out = {}
  for label, devices in (("eight", jax.devices()), ("one", jax.devices()[:1])):
    grid = mesh.make(2, devices=devices)
    key = mesh.put(rng.per_seed(0, 2), grid, "seed")
    state = jax.vmap(lambda k: step.init(model, tx, k, data, plan))(key)
    # Heads that know something: an untrained one reads 0 of everything.
    state = state._replace(critics=jax.tree.map(
      lambda p: p + .5 * jax.random.normal(jax.random.key(1), p.shape)
      if jnp.issubdtype(p.dtype, jnp.floating) else p, state.critics))
    state = mesh.put(state, grid, "seed")
    run = jax.jit(fit.make_program(model, tx, 64, plan, None, grid))
    args = (state, mesh.put(data, grid), mesh.put(order, grid, "seed"),
      fit.Own({name: mesh.put(jnp.ones(2), grid, "seed")}), key)
    if label == "eight":
      assert dict(grid.shape) == {"seed": 2, "data": 4}
      text = run.lower(*args).compile().as_text()
      assert "all-reduce" in text, "rows are spread over devices"
    after, metrics = run(*args)
    out[label] = after.params, metrics
  for p, q in zip(jax.tree.leaves(out["eight"]), jax.tree.leaves(out["one"]), strict=True):
    np.testing.assert_allclose(p, q, rtol=1e-5, atol=1e-5)
  # A mean over shards of a statistic of each is another number.
  if name == "irene":
    after, metrics = out["one"]
    state = jax.vmap(lambda k: step.init(model, tx, k, data, plan))(rng.per_seed(0, 2))
    head = jax.tree.map(
      lambda p: p + .5 * jax.random.normal(jax.random.key(1), p.shape)
      if jnp.issubdtype(p.dtype, jnp.floating) else p, state.critics)["irene/fc2"][0]
    params = jax.tree.map(lambda p: p[0], state.params)
    head = jax.tree.map(lambda p: p[0], head)
    _, taps, _ = model.apply(params, (), data.x_B[order[0]])
    site = step.Site(plan.terms[0], "fc2", 1.0)
    def read(rows):
      b = step.Batch(data.x_B[rows], data.y_B[rows],
        {"s": (data.attributes["s"][0][rows], jnp.ones(len(rows)))})
      z = model.apply(params, (), b.x_B)[1]["fc2"]
      return float(critic.value(head, step.critics.view(site, z, b)[0], None))
    whole = read(order[0])
    shards = np.mean([read(part) for part in np.split(np.asarray(order[0]), 4)])
    assert abs(whole - float(metrics["irene/fc2"][0])) < 1e-5
    assert abs(shards - whole) > 1e-2, (shards, whole)
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


# ---- rows without a part, clipping, privacy ----------------------------------------------


def cut_to(batch, rows):
  s, mask = batch.attributes["s"]
  return batch._replace(
    x_B=batch.x_B[rows], y_B=batch.y_B[rows], attributes={"s": (s[rows], mask[rows])}
  )


def test_rows_of_weight_0_have_no_part_in_the_task():
  batch, half = planted(), np.arange(B) < B // 2
  weighted = batch._replace(weight_B=jnp.asarray(half, jnp.float32))
  _, one, said = one_step(step.Plan(), {}, weighted)
  _, other, twin = one_step(step.Plan(), {}, cut_to(batch, np.flatnonzero(half)))
  assert difference(one.params, other.params) < 1e-6
  assert float(said["loss"]) == pytest.approx(float(twin["loss"]), abs=1e-6)
  assert float(said["accuracy"]) == pytest.approx(float(twin["accuracy"]), abs=1e-6)
  nobody = batch._replace(weight_B=jnp.zeros(B))
  before, after, _ = one_step(step.Plan(), {}, nobody)
  assert difference(before.params, after.params) == 0


def example_gradients(params, batch):
  """One by one."""

  def loss(params, x, y):
    logits, _, _ = MODEL.apply(params, (), x[None], train=True)
    return optax.softmax_cross_entropy_with_integer_labels(logits[0], y)

  one = functools.partial(gradient, loss, params)
  return [one(x, y) for x, y in zip(batch.x_B, batch.y_B, strict=True)]


def test_clipping_per_example_is_that_of_a_loop_and_of_optax():
  batch, most = cut_to(planted(), np.arange(8)), 3.5
  plan = step.Plan(clip="example")
  before, after, _ = one_step(plan, {"clip": most}, batch)
  grads = example_gradients(before.params, batch)
  lengths = [float(optax.tree.norm(g)) for g in grads]
  assert min(lengths) < most < max(lengths), "some are cut, some are not"
  cut = [jax.tree.map(lambda g, n=n: g * min(1, most / n), g) for g, n in
         zip(grads, lengths, strict=True)]  # fmt: skip
  mean = jax.tree.map(lambda *g: sum(g) / 8, *cut)
  twin = jax.tree.map(lambda p, g: p - g, before.params, mean)
  assert difference(after.params, twin) < 1e-6
  peer = optax.contrib.differentially_private_aggregate(most, 0.0, key=KEY)
  stacked = jax.tree.map(lambda *g: jnp.stack(g), *grads)
  theirs, _ = peer.update(stacked, peer.init(before.params))
  assert difference(mean, theirs) < 1e-6
  huge = one_step(plan, {"clip": 1e9}, batch)
  assert difference(huge[1].params, one_step(step.Plan(), {}, batch)[1].params) < 1e-6


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # its own, of optax
def test_clipping_per_example_is_that_of_jax_privacy():
  private = pytest.importorskip("jax_privacy")
  batch, most = cut_to(planted(), np.arange(8)), 3.5
  before, after, _ = one_step(step.Plan(clip="example"), {"clip": most}, batch)

  def loss(params, x, y):
    logits, _, _ = MODEL.apply(params, (), x, train=True)
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

  grad = private.clipped_grad(
    loss, l2_clip_norm=most, batch_argnums=(1, 2), keep_batch_dim=True
  )
  summed = grad(before.params, batch.x_B, batch.y_B)
  twin = jax.tree.map(lambda p, g: p - g / 8, before.params, summed)
  assert difference(after.params, twin) < 1e-6


def test_noise_has_its_stated_size_and_no_two_lanes_share_it():
  batch, most, noise = cut_to(planted(), np.arange(8)), 0.5, 2.0
  plan, tx = step.Plan(clip="example", steps=1), SGD
  state = started(MODEL, tx, KEY, batch, plan)
  S = 300
  states = jax.tree.map(lambda x: jnp.broadcast_to(x, (S, *x.shape)), state)
  run = program(plan, tx, None, (0, None, None, 0))
  weights = {"clip": jnp.float32(most), "noise": jnp.float32(noise)}
  after, _ = run(states, batch, weights, rng.per_seed(0, S))
  quiet, _ = run(states, batch, {"clip": jnp.float32(most)}, rng.per_seed(0, S))
  moved = jax.tree.map(lambda a, b: np.asarray(a - b), after.params, quiet.params)
  drawn = np.concatenate([leaf.reshape(S, -1) for leaf in jax.tree.leaves(moved)], 1)
  assert drawn.std() == pytest.approx(noise * most / 8, rel=0.01)
  together = np.corrcoef(drawn[:50])
  assert np.abs(together[~np.eye(50, dtype=bool)]).max() < 0.35, "two lanes share noise"


def test_clipping_by_value():
  before, after, _ = one_step(step.Plan(clip="value"), {"clip": 0.01})
  _, plain, _ = one_step(step.Plan(), {})
  slope = jax.tree.map(lambda p, q: p - q, before.params, plain.params)
  twin = jax.tree.map(lambda p, g: p - np.clip(g, -0.01, 0.01), before.params, slope)
  assert difference(after.params, twin) < 1e-6
  assert difference(after.params, plain.params) > 1e-3


@pytest.mark.parametrize(
  ("plan", "said"),
  [
    (lambda: step.Plan(clip="norm"), "clip='norm'"),
    (lambda: step.Plan((term(),), clip="example"), "leave them out"),
  ],
)
def test_bad_clipping_is_refused(plan, said):
  with pytest.raises(BadInput, match=said):
    step.make_step(MODEL, SGD, plan())
