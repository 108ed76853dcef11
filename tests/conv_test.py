"""The seed-aware convolution against a naive twin, under vmap, grad and jit."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ovl.models import _conv, cnn

DIMS = ("NHWC", "HWIO", "NHWC")
SEEDS = 3


def naive(x, w, strides, pads):
  """Loops over the kernel; each tap of it is one matmul of a shifted image."""
  x = np.pad(np.asarray(x, np.float64), ((0, 0), *pads, (0, 0)))
  p = (x.shape[1] - w.shape[0]) // strides[0] + 1
  q = (x.shape[2] - w.shape[1]) // strides[1] + 1
  out = 0.0
  for i in range(w.shape[0]):
    for j in range(w.shape[1]):
      rows = slice(i, i + strides[0] * p, strides[0])
      columns = slice(j, j + strides[1] * q, strides[1])
      out = out + x[:, rows, columns][:, :p, :q] @ np.asarray(w[i, j], np.float64)
  return out


def arrays(*shapes):
  draw = np.random.default_rng(0)
  return [jnp.asarray(draw.normal(size=shape), jnp.float32) for shape in shapes]


def separate(program):
  """Whether no convolution of a compiled program is a grouped one."""
  return not re.search(r"group_count=([2-9]|1\d)", program)


def close(ours, theirs):
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5, 1e-5), ours, theirs)


@pytest.mark.parametrize(
  ("strides", "padding", "pads"),
  [
    ((1, 1), "SAME", ((1, 1), (1, 1))),
    ((1, 1), "VALID", ((0, 0), (0, 0))),
    ((2, 1), ((0, 2), (1, 0)), ((0, 2), (1, 0))),
  ],
)
def test_equals_the_naive_twin(strides, padding, pads):
  x, w = arrays((2, 7, 6, 3), (3, 3, 3, 4))
  close(_conv.conv(x, w, strides, padding), naive(x, w, strides, pads))


@pytest.mark.parametrize("strides", [(1, 1), (2, 1)])
def test_gradients_equal_those_of_lax(strides):
  x, w = arrays((2, 7, 6, 3), (3, 3, 3, 4))

  def ours(x, w):
    return jnp.sin(_conv.conv(x, w, strides)).sum()

  def theirs(x, w):
    out = jax.lax.conv_general_dilated(x, w, strides, "SAME", dimension_numbers=DIMS)
    return jnp.sin(out).sum()

  close(jax.jit(jax.grad(ours, (0, 1)))(x, w), jax.grad(theirs, (0, 1))(x, w))

  # A gradient penalty: reverse mode over reverse mode.
  def steepness(fun):
    return lambda x, w: jnp.square(jax.grad(fun)(x, w)).sum()

  close(jax.grad(steepness(ours), 1)(x, w), jax.grad(steepness(theirs), 1)(x, w))


@pytest.mark.parametrize("backend", ["cpu", "gpu"])  # which batching rule is taken
@pytest.mark.parametrize("axes", [(0, 0), (None, 0), (0, None), (2, 1)])
def test_vmap_equals_a_loop(monkeypatch, backend, axes):
  monkeypatch.setattr(jax, "default_backend", lambda: backend)
  lanes = arrays((SEEDS, 2, 7, 6, 3), (SEEDS, 3, 3, 3, 4))
  args = [
    a[0] if axis is None else jnp.moveaxis(a, 0, axis)
    for a, axis in zip(lanes, axes, strict=True)
  ]

  def loss(x, w):
    return jnp.sin(_conv.conv(x, w)).sum()

  grad = jax.grad(loss, (0, 1))
  each = [
    [a[0] if axis is None else a[i] for a, axis in zip(lanes, axes, strict=True)]
    for i in range(SEEDS)
  ]
  loop = jax.tree.map(lambda *g: jnp.stack(g), *[grad(*pair) for pair in each])
  close(jax.jit(jax.vmap(grad, axes))(*args), loop)

  total = jax.grad(lambda *a: jax.vmap(loss, axes)(*a).sum(), (0, 1))(*args)
  wanted = [
    g.sum(0) if axis is None else jnp.moveaxis(g, 0, axis)
    for g, axis in zip(loop, axes, strict=True)
  ]
  close(total, tuple(wanted))


def test_nested_vmap_equals_a_loop():
  x, w = arrays((SEEDS, 2, 5, 4, 1), (2, SEEDS, 3, 3, 1, 2))

  def loss(w, x):
    return jnp.sin(_conv.conv(x, w)).sum()

  grad = jax.grad(loss, (0, 1))
  nested = jax.jit(jax.vmap(jax.vmap(grad), (0, None))).lower(w, x).compile()
  assert separate(nested.as_text())
  sweep = nested(w, x)
  for k in range(2):
    for i in range(SEEDS):
      close(jax.tree.map(lambda g, k=k, i=i: g[k, i], sweep), grad(w[k, i], x[i]))


def test_max_pool_equals_reduce_window():
  (x,) = arrays((2, 5, 6, 3))

  def theirs(x):
    window = (1, 2, 2, 1)
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")

  close(_conv.max_pool(x), theirs(x))
  ours = jax.grad(lambda x: jnp.sin(_conv.max_pool(x)).sum())(x)
  close(ours, jax.grad(lambda x: jnp.sin(theirs(x)).sum())(x))


def test_a_vmapped_train_step_is_separate_convolutions_compiled_once():
  model, tx = cnn.model(channels=(2, 3), hidden=(4,)), optax.sgd(0.1)

  def step(params, x, y):
    def loss(params):
      logits, _, _ = model.apply(params, (), x, train=True)
      return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    updates, _ = tx.update(jax.grad(loss)(params), tx.init(params))
    return optax.apply_updates(params, updates)

  (x,) = arrays((SEEDS, 5, 8, 8, 1))
  y = jnp.arange(5) % 2
  keys = jax.random.split(jax.random.key(0), SEEDS)
  params, _ = jax.vmap(model.init)(keys, x)
  many = jax.jit(jax.vmap(step, (0, 0, None)))
  program = many.lower(params, x, y).compile().as_text()
  assert separate(program)
  # Two forward, two for the kernels, one for the inner input: the backward pass runs
  # none again, and none is spent on the gradient of the images.
  assert program.count(" convolution(") == 5 * SEEDS

  single, after = jax.jit(step), many(params, x, y)
  for i in range(SEEDS):
    one = single(jax.tree.map(lambda p, i=i: p[i], params), x[i], y)
    close(jax.tree.map(lambda p, i=i: p[i], after), one)
  many(after, x, y)
  assert many._cache_size() == 1
