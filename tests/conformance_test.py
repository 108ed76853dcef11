"""The battery every model and critic must pass; new files are found by themselves."""

import functools
import importlib
import inspect
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ovl import load, nn
from ovl.load import names
from ovl.types import BadInput, View

KEY = jax.random.key(0)
MODELS = [(name, {}) for name in names("models")]
MODELS += [("mlp", {"norm": True}), ("cnn", {"norm": True})]


WHOLE = {  # the compiler, of which tests otherwise use little
  "xla_backend_optimization_level": 3,
  "xla_cpu_use_fusion_emitters": True,
  "xla_llvm_disable_expensive_passes": False,
}


def traces_once(fun, carried, *args):
  """Fed what it returned, and other numbers, it compiles nothing: no type drifts.

  Args:
    fun: `(carried, *args) -> (out, carried)`.
    carried: what it starts from.
    args: arrays.

  Returns:
    The first `out`, and `carried` after three calls.
  """
  jitted, outs = jax.jit(fun), []
  for call in range(3):
    # Keys stay as they are; other numbers of the same types.
    moved = jax.tree.map(lambda x, by=call: x if _is_key(x) else x * (1 + by), args)
    out, carried = jitted(carried, *moved)
    outs.append(out)
  assert jitted._cache_size() == 1
  return outs[0], carried


def _is_key(x):
  return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def close(a, b, tol=2e-5):
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=tol, atol=tol), a, b)


# ---- models --------------------------------------------------------------------------


# A ReLU comes last everywhere but here: a tanh and its mean, a mean and log scale.
SIGNED = {"logits", "softmax", "conv4", "z", "posterior"}


@pytest.fixture(params=MODELS, scope="module", ids=lambda p: "-".join([p[0], *p[1]]))
def model(request):
  name, settings = request.param
  return load("models", name, classes=3, **settings)


@pytest.fixture(scope="module")
def images():
  return jax.random.uniform(KEY, (6, 8, 8, 1))


@pytest.fixture(scope="module")
def started(model, images):
  """Parameters and state, by one program and not by one of each operation."""
  return jax.jit(model.init)(KEY, images)


def test_model_returns_logits_and_taps_in_depth_order(model, images, started):
  logits, taps, _ = model.apply(*started, images)  # also outside jit
  assert logits.shape == (6, 3)
  assert list(taps)[-2:] == ["logits", "softmax"]
  np.testing.assert_allclose(taps["softmax"].sum(-1), 1, rtol=1e-5)
  for name, z in taps.items():
    assert z.shape[0] == 6
    assert z.dtype == jnp.float32
    if name not in SIGNED:
      assert z.min() >= 0, f"{name} is not after its non-linearity"
  close(taps["logits"], logits)
  close(jax.jit(model.apply)(*started, images)[0], logits)


def test_model_is_the_chain_of_its_stages(model, images, started):
  def both(params, state, x, train):
    _, taps, new = model.apply(params, state, x, train=train)
    assert [stage.name for stage in model.stages] == list(taps)
    chain = {}
    for stage in model.stages:
      x, state = stage.apply(params, state, x, train=train)
      chain[stage.name] = x
    return (taps, new), (chain, state)

  for train in (False, True):
    close(*jax.jit(both, static_argnums=3)(*started, images, train))


def test_model_jit_is_no_jit_and_traces_once(model, images, started):
  params, state = started

  def run(state, params, x):
    logits, taps, state = model.apply(params, state, x, train=True, key=KEY)
    return (logits, taps), state

  (logits, taps), last = traces_once(run, state, params, images)
  plain = run(state, params, images)[0]
  close((logits, taps), plain, 1e-4)  # a dictionary comes back sorted from jit
  for a, b in zip(*map(jax.tree.leaves, (state, last)), strict=True):
    assert (a.dtype, a.shape) == (b.dtype, b.shape)


def test_model_vmap_over_seeds_is_a_loop_also_for_gradients(model, images):
  keys = jax.random.split(KEY, 3)
  params, state = jax.jit(jax.vmap(lambda k: model.init(k, images)))(keys)
  x_SB = jax.random.uniform(KEY, (3, *images.shape))

  def loss(p, s, x):
    return jnp.square(model.apply(p, s, x, train=True, key=KEY)[0]).sum()

  one = jax.value_and_grad(loss)
  many, loop = jax.jit(jax.vmap(one)), jax.jit(one)
  value = many(params, state, x_SB)
  for i in range(3):
    mine = jax.tree.map(lambda leaf, i=i: np.asarray(leaf)[i], (value, params, state))
    close(mine[0], loop(*mine[1:], x_SB[i]), 1e-4)
  assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(value))


def test_model_rows_do_not_see_one_another(model, images, started):
  run = jax.jit(lambda x: model.apply(*started, x)[0])
  close(run(images[::-1])[::-1], run(images))


def test_model_starts_from_shapes_alone(model):
  shape = jax.ShapeDtypeStruct((2, 8, 8, 1), jnp.float32)
  params, state = jax.eval_shape(model.init, KEY, shape)
  logits, _, _ = jax.eval_shape(model.apply, params, state, shape)
  assert logits.shape == (2, 3)


def test_model_seeds_differ(model, images):
  start = jax.jit(model.init)
  one, two = (start(jax.random.key(i), images)[0] for i in (0, 1))
  assert any(
    not jnp.array_equal(a, b)
    for a, b in zip(*map(jax.tree.leaves, (one, two)), strict=True)
  )


# ---- critics -------------------------------------------------------------------------

ROWS, HIDDEN = 300, 4  # the first rows are masked, as many as a row has counterparts
SMALL = {"hidden": (16, 16), "negatives": HIDDEN, "slices": 8, "dof": (3.0, float("inf"))}
BARBER_AGAKOV = {"linear", "mlp", "residual", "quadratic"}


class Case(NamedTuple):
  name: str
  kind: str


def built(case):
  """A critic, small where its factory has such a setting; None where it refuses."""
  factory = importlib.import_module(f"ovl.critics.{case.name}").critic
  takes = inspect.signature(factory).parameters
  settings = {k: v for k, v in SMALL.items() if k in takes}
  try:
    return load("critics", case.name, attribute=case.kind, **settings)
  except BadInput:
    return None


KINDS = ("discrete", "continuous", "vector")
ALL = [Case(name, kind) for name in names("critics") for kind in KINDS]
CASES = [case for case in ALL if built(case) is not None]
ONE_OF_EACH_MAKE = ("bayes_error", "cca", "club", "copula", "dv", "hsic", "ksg", "mlp")
QUICK = {case.name: case for case in reversed(CASES)}.values()  # a kind of each critic


def slow_unless(quick):
  """The cases as parameters, all but the quick ones for long studies only."""
  return [
    pytest.param(c, id="-".join(c), marks=() if quick(c) else pytest.mark.slow)
    for c in CASES
  ]


def view(case, seed=0, pad_rows=0, pad_columns=0, pad_classes=0):
  """A view that says something of its attribute; padded as asked, junk where masked."""
  gen = np.random.default_rng(seed)
  width = 6 if case.name == "variational" else 5  # means beside log scales
  z = gen.normal(size=(ROWS, width)).astype(np.float32)
  if case.name == "plugin":
    z = np.round(z) * (np.arange(width) == 0)  # few distinct rows
  s = z[:, :2] + 0.5 * gen.normal(size=(ROWS, 2))
  exists = 2
  if case.kind == "discrete":
    s, exists = np.digitize(s[:, 0], [-0.5, 0.5]), 3
  elif case.kind == "continuous":
    s, pad_classes = s[:, 0], 0
  s = s.astype(np.int32 if case.kind == "discrete" else np.float32)
  s = np.pad(s, ((0, pad_rows), (0, pad_classes))[: s.ndim])
  seen = {}  # what a train step adds
  if "task" in built(case).needs:
    seen["task_N"] = jnp.asarray(np.pad((z[:, 1] > 0).astype(np.int32), (0, pad_rows)))
  if "input" in built(case).needs:
    pixels = 1 / (1 + np.exp(-z @ gen.normal(size=(width, 7)).astype(np.float32)))
    seen["input_ND"] = jnp.asarray(np.pad(pixels, ((0, pad_rows), (0, 0))))
  return View(
    jnp.asarray(np.pad(z, ((0, pad_rows), (0, pad_columns)))),
    jnp.asarray(s),
    jnp.asarray(np.pad(np.arange(ROWS) >= HIDDEN, (0, pad_rows)), jnp.float32),
    jnp.arange(width + pad_columns) < width,
    jnp.arange(exists + pad_classes) < exists,
    **seen,
  )


def fitted(critic, v, steps=30):
  """Parameters by its own solver, or by Adam on its loss."""
  if critic.fit is not None:
    return critic.fit(KEY, v, v)
  params = critic.init(KEY, v)
  tx = optax.adam(1e-2, eps=1e-3)  # or rounding of zero gradients is amplified

  def step(_, carry):
    params, opt = carry
    updates, opt = tx.update(jax.grad(critic.loss)(params, v, KEY), opt)
    params = optax.apply_updates(params, updates)
    return params if critic.refresh is None else critic.refresh(params, v, KEY), opt

  return jax.lax.fori_loop(0, steps, step, (params, tx.init(params)))[0]


def outputs(critic, params, v):
  """What it says of every row, and of all."""
  said = {"value": critic.value(params, v, KEY), "loss": critic.loss(params, v, KEY)}
  if critic.logits is not None:
    said["logits"] = critic.logits(params, v)
  if critic.score is not None:
    said["score"] = critic.score(params, v)
  return said


@functools.cache
def study(case, over_attributes=False):
  """One program: trains on a view and is asked of a fresh one."""
  critic = built(case)

  def run(train, fresh):
    params = fitted(critic, train)
    said = {"params": params, **outputs(critic, params, fresh)}
    if "penalty" in critic.uses:
      said["slope"] = jax.grad(
        lambda z_ND: critic.value(params, fresh._replace(z_ND=z_ND), KEY)
      )(fresh.z_ND)
    return said

  axes = View(None, 0, None, None, None)
  many = jax.vmap(run, (axes, axes))
  # Of `ross` two ways to one distance must round alike, which takes the whole compiler.
  options = WHOLE if case.name == "ross" else None
  return jax.jit(many if over_attributes else run, compiler_options=options)


def attributes(v, seed):
  """Four attributes of the same rows: as it is, other junk, shuffled, constant."""
  junk = v._replace(s_N=jnp.where(_wide(v.mask_N, v.s_N) > 0, v.s_N, 1))
  shuffled = v._replace(s_N=jax.random.permutation(jax.random.key(seed), v.s_N))
  return [v, junk, shuffled, v._replace(s_N=jnp.zeros_like(v.s_N))]


def _wide(mask_N, s_N):
  return mask_N.reshape(-1, *[1] * (s_N.ndim - 1))


@functools.cache
def lanes(case, change="none"):
  """What a critic says after training on each of the four attributes, in one batch."""
  views = [view(case), view(case, seed=1)]
  if change == "hidden rows":
    views = [v._replace(z_ND=jnp.where(v.mask_N[:, None] > 0, v.z_ND, 3)) for v in views]
  if change == "constant":
    views = [v._replace(z_ND=jnp.full_like(v.z_ND, 0.3)) for v in views]
  many = [attributes(v, seed) for seed, v in enumerate(views)]
  train, fresh = (one[0]._replace(s_N=jnp.stack([v.s_N for v in one])) for one in many)
  return study(case, True)(train, fresh)


def lane(said, i):
  return jax.tree.map(lambda x: x[i], said)


@pytest.fixture(
  params=slow_unless(lambda c: c in QUICK or c == ("dv", "vector")), scope="module"
)
def case(request):
  return request.param


@pytest.mark.parametrize("name", names("critics"))
def test_critic_reads_something(name):
  assert any(case.name == name for case in CASES)


def test_critic_declares_what_it_is(case):
  critic = built(case)
  assert critic.attribute == case.kind
  assert critic.needs <= {"task", "input"}
  assert not critic.needs or critic.uses == {"penalty"}  # only a train step has them
  assert critic.uses
  assert critic.uses <= {"monitor", "penalty", "audit"}
  assert critic.unit in ("nats", None)
  assert critic.bound in ("lower", "upper", "estimate", None)
  if "audit" in critic.uses:
    params = jax.eval_shape(critic.init, KEY, view(case))
    assert critic.logits or critic.score or not jax.tree.leaves(params)


def test_critic_starts_from_shapes_alone(case):
  critic, v = built(case), view(case)
  shapes = jax.eval_shape(critic.init, KEY, v)
  kept = lane(lanes(case)["params"], 0)
  assert jax.tree.map(lambda x: x.shape, shapes) == jax.tree.map(lambda x: x.shape, kept)


@pytest.mark.parametrize(
  "case",
  [c for c in CASES if c.name in BARBER_AGAKOV],
  ids="-".join,
)
def test_critic_value_is_entropy_minus_cross_entropy(case):
  """The naive twin, in NumPy, of a Barber-Agakov bound."""
  said, fresh = lane(lanes(case), 0), view(case, seed=1)
  out, s = (np.asarray(x)[HIDDEN:] for x in (said["logits"], fresh.s_N))
  if case.kind == "discrete":
    log_q = out - np.log(np.exp(out).sum(1, keepdims=True))
    p = np.bincount(s, minlength=3) / len(s)
    twin = -(p[p > 0] * np.log(p[p > 0])).sum() + log_q[np.arange(len(s)), s].mean()
  else:
    scale = np.exp(np.clip(out[:, 1], -5, 3))
    log_q = -0.5 * ((s - out[:, 0]) / scale) ** 2 - np.log(scale * np.sqrt(2 * np.pi))
    twin = 0.5 * np.log(2 * np.pi * np.e * s.var()) + log_q.mean()
  assert float(said["value"]) == pytest.approx(twin, abs=1e-4)


def test_critic_learns_what_is_there_and_not_what_is_not(case):
  critic, said = built(case), lanes(case)
  if critic.needs:
    pytest.skip("its value has no origin; tests/penalties_test.py has its controls")
  found, _, none, _ = (float(x) for x in said["value"])
  if critic.unit == "nats" and jax.tree.leaves(said["params"]):
    assert found > 0.2
    assert none < 0.05
  else:
    assert found > 0
    assert none < 0.5 * found


@pytest.mark.parametrize(
  "case", slow_unless(lambda c: c in QUICK and c.name in ONE_OF_EACH_MAKE)
)
def test_critic_vmap_is_a_loop_and_padding_changes_nothing(case):
  """Rows, columns and classes that do not exist; attributes in one batch or alone."""
  more = {"pad_rows": 11, "pad_columns": 4, "pad_classes": 2}
  views = [attributes(view(case, seed=seed, **more), seed) for seed in (0, 1)]
  plain = attributes(view(case), 0), attributes(view(case, seed=1), 1)
  rows, classes = len(plain[0][0].mask_N), len(plain[0][0].classes_K)
  for i in (0, 3):
    alone = study(case)(*(many[i] for many in views))
    many = lane(lanes(case), i)
    for name in ("value", "loss"):
      np.testing.assert_allclose(alone[name], many[name], 1e-2, 2e-3, err_msg=name)
    if "logits" in many and i == 0:  # a constant attribute has no finite optimum
      np.testing.assert_allclose(
        alone["logits"][:rows, :classes], many["logits"], 1e-2, 0.01
      )
      if case.kind == "discrete":
        assert (alone["logits"][:, classes:] <= nn.NEG).all()
    if "score" in many and i == 0:
      np.testing.assert_allclose(alone["score"][:rows], many["score"], 0.03, 0.03)
    if "slope" in many:
      kept = alone["slope"][:rows, : many["slope"].shape[1]]
      # Of a row at the kink of a ReLU rounding decides.
      assert np.isclose(kept, many["slope"], atol=2e-3).mean() > 0.99
  assert study(case)._cache_size() == 1


def test_critic_masked_rows_change_nothing(case):
  """Neither their attribute nor what the representation is there."""
  said, other = lanes(case), lanes(case, "hidden rows")
  for name in ("value", "loss"):
    np.testing.assert_allclose(said[name][0], said[name][1], atol=1e-5, err_msg=name)
    np.testing.assert_allclose(said[name], other[name], atol=2e-3, err_msg=name)


def test_critic_jit_is_no_jit_and_traces_once(case):
  critic, said = built(case), lane(lanes(case), 0)
  plain = outputs(critic, said["params"], view(case, seed=1))
  close(plain, {name: said[name] for name in plain}, 1e-4)
  lanes(case, "constant")
  assert study(case, True)._cache_size() == 1


def test_critic_is_finite_also_where_nothing_varies(case):
  for said in (lanes(case), lanes(case, "constant")):
    for name, x in jax.tree_util.tree_leaves_with_path(said):
      fitted_reference = "ordered" in jax.tree_util.keystr(name)
      assert fitted_reference or jnp.isfinite(x).all(), jax.tree_util.keystr(name)


# ---- mitigations ---------------------------------------------------------------------

RATE_G = jnp.array([0.45, 0.03, 0.0, 0.31, 0.17])  # a group that is not there; not all
GROUP_B = jnp.array([0, 0, 3, 1, 4, -1, 3, 0])
LOSS_B = jnp.linspace(0.1, 2.0, 8)
IMAGES_B = jax.random.uniform(KEY, (8, 5, 4, 2))


@pytest.fixture(params=names("mitigations"))
def mitigation(request):
  return load("mitigations", request.param)


def mitigated(mitigation, weight, steps=7):
  """What it makes of inputs, of the losses of some steps, and of parameters."""
  said = {}
  if mitigation.inputs is not None:
    said["inputs"] = mitigation.inputs(IMAGES_B, weight, KEY)
  carried = mitigation.init(RATE_G)
  for step in range(steps if mitigation.weigh is not None else 0):
    loss_B = LOSS_B * (1 + step % 3)
    said["weights"], carried = mitigation.weigh(carried, loss_B, GROUP_B, RATE_G, weight)
  if mitigation.penalty is not None:
    params = {"w": LOSS_B, "b": (jnp.ones((2, 3)),)}
    said["penalty"] = jax.value_and_grad(mitigation.penalty)(params, weight)
  return said


def test_mitigation_of_weight_0_is_none_to_the_last_bit(mitigation):
  for run in (mitigated, jax.jit(mitigated, static_argnums=0)):
    said = run(mitigation, jnp.float32(0))
    assert said
    assert (said.get("inputs", IMAGES_B) == IMAGES_B).all()
    assert (said.get("weights", jnp.ones(8)) == 1).all()
    assert all((x == 0).all() for x in jax.tree.leaves(said.get("penalty", ())))


def test_mitigation_sweeps_its_weight_in_one_program(mitigation):
  weights = jnp.array([0.0, 0.3, 1.0, 40.0])

  def after(carried, weight):
    return mitigation.weigh(carried, LOSS_B, GROUP_B, RATE_G, weight)[1]

  def run(carried, weights):
    said = jax.vmap(functools.partial(mitigated, mitigation))(weights)
    return said, carried if mitigation.weigh is None else jax.vmap(after)(carried, weights)

  many, _ = traces_once(run, jax.vmap(lambda _: mitigation.init(RATE_G))(weights), weights)
  for i, weight in enumerate(weights):
    alone = mitigated(mitigation, weight)
    close(lane(many, i), alone, 1e-4)
    assert all(jnp.isfinite(x).all() for x in jax.tree.leaves(alone))
  changed = jax.tree.map(lambda x: (x[0] != x[2]).any(), many)
  assert all(jax.tree.leaves(changed))


def test_mitigation_weights_have_mean_1_and_leave_unknown_groups_alone(mitigation):
  if mitigation.weigh is None:
    return
  weight_B = mitigated(mitigation, jnp.float32(0.6))["weights"]
  assert weight_B[5] == 1
  of_G = jnp.array([weight_B[0], weight_B[3], 0, weight_B[2], weight_B[4]])
  assert float((RATE_G * of_G).sum()) == pytest.approx(float(RATE_G.sum()), rel=1e-5)
  slope = jax.grad(
    lambda loss_B: mitigation.weigh(mitigation.init(RATE_G), loss_B, GROUP_B, RATE_G, 0.6)[
      0
    ].sum()
  )(LOSS_B)
  assert (slope == 0).all(), "the weights are numbers, not a path for the gradient"
