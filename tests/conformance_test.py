"""The battery every model and critic must pass; new files are found by themselves."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ovl import load, nn
from ovl.load import names
from ovl.types import View

KEY = jax.random.key(0)
CRITICS = list(itertools.product(names("critics"), ("discrete", "continuous")))
MODELS = names("models")


def traces_once(fun, *args):
  """A second call with other numbers of the same shapes compiles nothing."""
  count = 0

  def counted(*args):
    nonlocal count
    count += 1
    return fun(*args)

  jitted = jax.jit(counted)
  out = jitted(*args)
  jitted(*jax.tree.map(lambda x: x, args))
  assert count == 1
  return out


def close(a, b, tol=2e-5):
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=tol, atol=tol), a, b)


# ---- models --------------------------------------------------------------------------


@pytest.fixture(params=MODELS)
def model(request):
  return load("models", request.param, classes=3)


@pytest.fixture
def images():
  return jax.random.uniform(KEY, (6, 8, 8, 1))


def test_model_returns_logits_and_taps_in_depth_order(model, images):
  params, state = model.init(KEY, images)
  logits, taps, _ = model.apply(params, state, images)
  assert logits.shape == (6, 3)
  assert list(taps)[-2:] == ["logits", "softmax"]
  np.testing.assert_allclose(taps["softmax"].sum(-1), 1, rtol=1e-5)
  for name, z in taps.items():
    assert z.shape[0] == 6
    assert z.dtype == jnp.float32
    if name not in ("logits", "softmax"):
      assert z.min() >= 0, f"{name} is not after its non-linearity"
  close(taps["logits"], logits)


def test_model_jit_is_no_jit_and_traces_once(model, images):
  params, state = model.init(KEY, images)
  plain = model.apply(params, state, images)[:2]
  # A dictionary comes back sorted from jit: compare by name.
  close(traces_once(lambda p, s, x: model.apply(p, s, x)[:2], params, state, images), plain)


def test_model_vmap_over_seeds_is_a_loop_also_for_gradients(model, images):
  keys = jax.random.split(KEY, 3)
  params, state = jax.vmap(lambda k: model.init(k, images))(keys)
  x_SB = jax.random.uniform(KEY, (3, *images.shape))

  def loss(p, s, x):
    return jnp.square(model.apply(p, s, x, train=True, key=KEY)[0]).sum()

  value = jax.jit(jax.vmap(jax.value_and_grad(loss)))(params, state, x_SB)
  for i in range(3):
    one = jax.tree.map(lambda leaf, i=i: leaf[i], (params, state))
    alone = jax.value_and_grad(loss)(*one, x_SB[i])
    close(jax.tree.map(lambda leaf, i=i: leaf[i], value), alone, 1e-4)
  assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(value))


def test_model_rows_do_not_see_one_another(model, images):
  params, state = model.init(KEY, images)
  flipped = model.apply(params, state, images[::-1])[0][::-1]
  close(flipped, model.apply(params, state, images)[0])


def test_model_starts_from_shapes_alone(model):
  shape = jax.ShapeDtypeStruct((2, 8, 8, 1), jnp.float32)
  params, state = jax.eval_shape(model.init, KEY, shape)
  logits, _, _ = jax.eval_shape(model.apply, params, state, shape)
  assert logits.shape == (2, 3)


def test_model_seeds_differ(model, images):
  one, two = (model.init(jax.random.key(i), images)[0] for i in (0, 1))
  assert any(
    not jnp.array_equal(a, b)
    for a, b in zip(*map(jax.tree.leaves, (one, two)), strict=True)
  )


# ---- critics -------------------------------------------------------------------------


def view(kind, N=80, D=5, K=3, seed=0, pad_rows=0, pad_columns=0, pad_classes=0):
  """A view that says something of its attribute; padded as asked."""
  gen = np.random.default_rng(seed)
  z = gen.normal(size=(N, D)).astype(np.float32)
  score = z[:, 0] + 0.5 * gen.normal(size=N)
  if kind == "discrete":
    s = np.digitize(score, np.linspace(-0.5, 0.5, K - 1)).astype(np.int32)
  else:
    s, K, pad_classes = score.astype(np.float32), 2, 0
  junk = gen.integers(0, 2, pad_rows)
  return View(
    jnp.asarray(np.pad(z, ((0, pad_rows), (0, pad_columns)))),
    jnp.asarray(np.concatenate([s, junk]).astype(s.dtype)),
    jnp.asarray(np.r_[np.ones(N), np.zeros(pad_rows)].astype(np.float32)),
    jnp.arange(D + pad_columns) < D,
    jnp.arange(K + pad_classes) < K,
  )


def fitted(critic, v, steps=25):
  """Parameters by its own solver, or by Adam on its loss."""
  if critic.fit is not None:
    return critic.fit(KEY, v, v)
  params = critic.init(KEY, v)
  tx = optax.adam(3e-3)

  def step(_, carry):
    params, opt = carry
    updates, opt = tx.update(jax.grad(critic.loss)(params, v, KEY), opt)
    return optax.apply_updates(params, updates), opt

  return jax.lax.fori_loop(0, steps, step, (params, tx.init(params)))[0]


@pytest.fixture(params=CRITICS, ids=lambda p: "-".join(p))
def named(request):
  name, kind = request.param
  return load("critics", name, attribute=kind), kind


def test_critic_declares_what_it_is(named):
  critic, kind = named
  assert critic.attribute == kind
  assert critic.uses <= {"monitor", "penalty", "audit"}
  assert critic.unit in ("nats", None)
  assert critic.bound in ("lower", "upper", "estimate", None)
  if "audit" in critic.uses:
    assert critic.logits is not None


def test_critic_value_is_entropy_minus_cross_entropy(named):
  """The naive twin, in NumPy, of a Barber-Agakov bound."""
  critic, kind = named
  v = view(kind, pad_rows=7)
  params = fitted(critic, v)
  out, s = np.asarray(critic.logits(params, v), float)[:80], np.asarray(v.s_N)[:80]
  if kind == "discrete":
    log_q = out - np.log(np.exp(out).sum(1, keepdims=True))
    p = np.bincount(s, minlength=3) / 80
    twin = -(p[p > 0] * np.log(p[p > 0])).sum() + log_q[np.arange(80), s].mean()
  else:
    scale = np.exp(np.clip(out[:, 1], -5, 3))
    log_q = -0.5 * ((s - out[:, 0]) / scale) ** 2 - np.log(scale * np.sqrt(2 * np.pi))
    twin = 0.5 * np.log(2 * np.pi * np.e * s.var()) + log_q.mean()
  assert float(critic.value(params, v, KEY)) == pytest.approx(twin, abs=1e-4)


def test_critic_learns_what_is_there_and_not_what_is_not(named):
  critic, kind = named
  train, fresh = view(kind, N=400), view(kind, N=400, seed=1)
  assert float(critic.value(fitted(critic, train), fresh, KEY)) > 0.2
  none = fresh._replace(s_N=jax.random.permutation(KEY, fresh.s_N))
  shuffled = train._replace(s_N=jax.random.permutation(jax.random.key(1), train.s_N))
  assert float(critic.value(fitted(critic, shuffled), none, KEY)) < 0.05


def test_critic_padding_changes_nothing(named):
  critic, kind = named
  plain, padded = view(kind), view(kind, pad_columns=4, pad_classes=2)
  a, b = fitted(critic, plain), fitted(critic, padded)
  K = len(plain.classes_K)
  close(critic.logits(a, plain), critic.logits(b, padded)[:, :K], 2e-3)
  if kind == "discrete":
    assert (critic.logits(b, padded)[:, K:] <= nn.NEG).all()


def test_critic_masked_rows_change_nothing(named):
  critic, kind = named
  v = view(kind, pad_rows=20)
  other = v._replace(s_N=jnp.where(v.mask_N > 0, v.s_N, 1 - v.s_N))
  a, b = fitted(critic, v), fitted(critic, other)
  close(critic.logits(a, v), critic.logits(b, other))
  assert float(critic.loss(a, v, KEY)) == pytest.approx(float(critic.loss(a, other, KEY)))


def test_critic_vmap_over_attributes_is_a_loop(named):
  critic, kind = named
  many = [view(kind, seed=0), view(kind, seed=0)._replace(s_N=view(kind, seed=5).s_N)]
  axes = View(None, 0, None, None, None)
  v = many[0]._replace(s_N=jnp.stack([one.s_N for one in many]))

  def value(v):
    return critic.loss(fitted(critic, v), v, KEY)

  close(jax.vmap(value, (axes,))(v), jnp.stack([value(one) for one in many]), 1e-3)


def test_critic_jit_is_no_jit_traces_once_and_gradients_are_finite(named):
  critic, kind = named
  v = view(kind, pad_rows=3, pad_columns=2)
  params = critic.init(KEY, v)
  plain = jax.value_and_grad(critic.loss)(params, v, KEY)
  close(traces_once(jax.value_and_grad(critic.loss), params, v, KEY), plain)
  assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(plain))
  constant = v._replace(z_ND=jnp.zeros_like(v.z_ND), s_N=jnp.zeros_like(v.s_N))
  assert jnp.isfinite(critic.value(fitted(critic, constant), constant, KEY))


def test_critic_starts_from_shapes_alone(named):
  critic, kind = named
  shapes = jax.eval_shape(critic.init, KEY, view(kind))
  real = critic.init(KEY, view(kind))
  assert jax.tree.map(lambda x: x.shape, shapes) == jax.tree.map(lambda x: x.shape, real)
