"""Curvature on quadratics where everything is exact; gradients and TRAK against loops."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ovl.load import load
from ovl.memorise import curvature, influence
from ovl.types import BadInput, Model

GEN = np.random.default_rng(0)
_ROOT = GEN.normal(size=(5, 5))
H = (_ROOT @ _ROOT.T / 5).astype(np.float32)
G = GEN.normal(size=5).astype(np.float32)
DAMPING = 0.05
EXACT = np.linalg.solve(H + DAMPING * np.eye(5), G)


def product(v):
  return jnp.asarray(H) @ v


def test_both_solvers_end_at_the_inverse_and_say_how_near():
  top = float(np.linalg.eigvalsh(H).max()) + DAMPING
  for found in (
    curvature.cg(product, jnp.asarray(G), DAMPING),
    curvature.lissa(product, jnp.asarray(G), DAMPING, 1.5 * top),
    curvature.lissa(product, jnp.asarray(G), DAMPING, 10 * top, steps=20000),
  ):
    np.testing.assert_allclose(found.direction, EXACT, rtol=2e-3, atol=2e-3)
    left = (H + DAMPING * np.eye(5)) @ np.asarray(found.direction) - G
    twin = np.linalg.norm(left) / np.linalg.norm(G)
    assert float(found.residual) == pytest.approx(twin, abs=1e-4)
    assert bool(found.converged)


def test_without_the_division_the_answer_is_scale_times_as_long():
  """The published step: its fixed point is scale (H + damping scale I)^-1 g."""
  scale, damp, h = 25.0, 0.01, G.copy()
  for _ in range(20000):
    h = G + (1 - damp) * h - H @ h / scale
  np.testing.assert_allclose(
    h, scale * np.linalg.solve(H + damp * scale * np.eye(5), G), rtol=1e-3
  )
  ours = curvature.lissa(product, jnp.asarray(G), damp * scale, scale, steps=20000)
  np.testing.assert_allclose(scale * np.asarray(ours.direction), h, rtol=1e-2)


def test_a_series_that_is_too_short_or_diverges_says_so():
  short = curvature.lissa(product, jnp.asarray(G), DAMPING, 100.0, steps=5)
  assert not bool(short.converged)
  assert float(short.residual) > 0.1
  wild = curvature.lissa(product, jnp.asarray(G), DAMPING, 0.1, steps=50)
  assert not bool(wild.converged)
  assert not bool(curvature.cg(product, jnp.asarray(G), 0.0, steps=1).converged)


def test_products_are_those_of_the_matrices():
  x, y = GEN.normal(size=(30, 4)).astype(np.float32), GEN.integers(0, 3, 30)

  def outputs(theta):
    return x @ theta.reshape(4, 3)

  def loss(out):
    return optax.softmax_cross_entropy_with_integer_labels(out, y).mean()

  at, v = jnp.asarray(GEN.normal(size=12), jnp.float32), jnp.arange(12.0)
  whole = jax.hessian(lambda theta: loss(outputs(theta)))(at)
  np.testing.assert_allclose(
    curvature.hessian(lambda theta: loss(outputs(theta)), at)(v), whole @ v, atol=1e-4
  )
  # Linear outputs: Gauss and Newton agree.
  np.testing.assert_allclose(
    curvature.gauss_newton(outputs, at, loss)(v), whole @ v, atol=1e-4
  )


def linear_model():
  def init(key, x_B):
    return {"w": 0.1 * jax.random.normal(key, (4, 3))}, ()

  def apply(params, state, x_B, *, key=None, train=False):
    return x_B @ params["w"], {}, state

  return Model(init, apply)


def trained(x, y, weight, l2, model):
  """The minimiser of the weighted mean loss with a penalty, by Newton's method."""
  theta = jnp.zeros(12)

  def loss(theta):
    each = optax.softmax_cross_entropy_with_integer_labels(x @ theta.reshape(4, 3), y)
    return (each * weight).sum() / weight.sum() + 0.5 * l2 * (theta**2).sum()

  for _ in range(30):
    theta = theta - jnp.linalg.solve(jax.hessian(loss)(theta), jax.grad(loss)(theta))
  return theta


@pytest.mark.parametrize("way", ["cg", "lissa"])
def test_removal_leads_to_the_retrained_parameters(way):
  model, l2 = linear_model(), 0.05
  gen = np.random.default_rng(1)
  x = gen.normal(size=(200, 4)).astype(np.float32)
  y = (x @ gen.normal(size=(4, 3)) + gen.gumbel(size=(200, 3))).argmax(1)
  group = np.arange(200) < 10
  whole = trained(x, y, jnp.ones(200), l2, model)
  without = trained(x, y, jnp.asarray(1.0 - group), l2, model)
  found = curvature.remove(
    model, {"w": whole.reshape(4, 3)}, (), (x, y), group, damping=0.0, l2=l2, way=way,
    scale=2.0, steps=2000,
  )  # fmt: skip
  assert found.converged
  mine = np.asarray(found.params["w"]).ravel() - np.asarray(whole)
  truth = np.asarray(without - whole)
  # First order in the group's share.
  assert np.corrcoef(mine, truth)[0, 1] > 0.98
  assert np.linalg.norm(mine) / np.linalg.norm(truth) == pytest.approx(1, abs=0.15)


def test_whoever_is_nobody_or_everybody_is_refused():
  x, y = np.zeros((3, 4), np.float32), np.zeros(3, int)
  for group in (np.zeros(3, bool), np.ones(3, bool)):
    with pytest.raises(BadInput, match="some, not all"):
      curvature.remove(linear_model(), {"w": np.zeros((4, 3))}, (), (x, y), group)


# ---- gradients along training, TRAK ------------------------------------------------------

MODEL = load("models", "mlp", classes=3, hidden=(5,))
X = GEN.normal(size=(20, 4)).astype(np.float32)
Y = GEN.integers(0, 3, 20).astype(np.int32)


def nets(S):
  keys = jax.vmap(jax.random.key)(jnp.arange(S))
  return jax.vmap(lambda key: MODEL.init(key, X))(keys)


def flat_gradient(params, x, y, odds=False):
  def one(params):
    out = MODEL.apply(params, (), x[None])[0][0]
    p = jax.nn.softmax(out)[y]
    return jnp.log(p) - jnp.log(1 - p) if odds else -jnp.log(p)

  grads = jax.grad(one)(params)
  return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(grads)])


def test_tracin_equals_a_loop_with_and_without_step_sizes():
  snapshots, rates = nets(3), np.array([0.1, 0.01, 0.001])
  each = [
    np.stack(
      [
        flat_gradient(jax.tree.map(lambda leaf, t=t: leaf[t], snapshots[0]), x, y)
        for x, y in zip(X, Y, strict=True)
      ]
    )
    for t in range(3)
  ]
  weighted = sum(r * (g**2).sum(1) for r, g in zip(rates, each, strict=True))
  plain = sum((g**2).sum(1) for g in each)
  found = influence.self_influence(MODEL, snapshots, X, Y, rates, chunk=7)
  np.testing.assert_allclose(found, weighted, rtol=1e-4)
  np.testing.assert_allclose(
    influence.self_influence(MODEL, snapshots, X, Y), plain, rtol=1e-4
  )
  twin = sum(r * g @ g[:6].T for r, g in zip(rates, each, strict=True))
  cross = influence.tracin(MODEL, snapshots, (X, Y), (X[:6], Y[:6]), rates, chunk=7)
  np.testing.assert_allclose(cross, twin, rtol=1e-3, atol=1e-4)
  np.testing.assert_allclose(np.diag(cross), found[:6], rtol=1e-3)


def test_trak_equals_a_loop():
  S, W = 2, 8
  stacked = nets(S)
  tau, q = np.zeros((5, 20)), np.zeros(20)
  for s in range(S):
    params = jax.tree.map(lambda leaf, s=s: leaf[s], stacked[0])
    g = np.stack([flat_gradient(params, x, y, True) for x, y in zip(X, Y, strict=True)])
    key = jax.random.fold_in(jax.random.key(3), s)
    phi = np.asarray(influence.project(jnp.asarray(g), key, W), np.float64)
    tau += phi[:5] @ np.linalg.inv(phi.T @ phi) @ phi.T / S
    p = np.asarray(jax.nn.softmax(MODEL.apply(params, (), X)[0]))
    q += (1 - p[np.arange(20), Y]) / S
  found = influence.trak(MODEL, stacked, (X, Y), (X[:5], Y[:5]), W, seed=3, chunk=9)
  np.testing.assert_allclose(found, tau * q, rtol=1e-2, atol=1e-4)
  other = influence.trak(MODEL, stacked, (X, Y), (X[:5], Y[:5]), W, seed=4)
  assert not np.allclose(found, other)
  one = jax.tree.map(lambda leaf: leaf[:1], stacked)
  alone = influence.trak_self(MODEL, jax.tree.map(lambda leaf: leaf[0], one), X, Y, W, 3, 9)
  whole = influence.trak(MODEL, one, (X, Y), (X, Y), W, seed=3)
  np.testing.assert_allclose(alone, np.diag(whole), rtol=1e-4, atol=1e-6)
  with pytest.raises(BadInput, match="width=64"):
    influence.trak(MODEL, stacked, (X, Y), (X[:5], Y[:5]), 64)


def test_projections_keep_lengths_whatever_the_block():
  v = GEN.normal(size=(6, 9000)).astype(np.float32)
  small = influence.project(jnp.asarray(v), jax.random.key(0), 2000)
  ratio = np.linalg.norm(small, axis=1) / np.linalg.norm(v, axis=1)
  np.testing.assert_allclose(ratio, 1, atol=0.08)
