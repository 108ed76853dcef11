"""`View.of`: what it makes of plain arrays, and a critic in somebody's own loop."""

import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

import ovl
from ovl.types import BadInput, View

README = (pathlib.Path(__file__).parent.parent / "README.md").read_text()
KEY = jax.random.key(0)
Z = np.random.default_rng(0).normal(size=(6, 3))


def test_classes():
  v = View.of(Z, np.array([0, 2, -1, 1, 0, 2]))
  assert (v.z_ND.dtype, v.s_N.dtype, v.mask_N.dtype) == ("float32", "int32", "float32")
  np.testing.assert_array_equal(v.mask_N, [1, 1, 0, 1, 1, 1])
  assert (v.features_D.shape, v.classes_K.shape) == ((3,), (3,))
  assert v.features_D.all()
  assert v.classes_K.all()
  assert v.task_N is None
  assert View.of(Z, np.zeros(6, bool)).classes_K.shape == (2,)
  assert View.of(Z, np.zeros(6, int), classes=5).classes_K.shape == (5,)


def test_quantities_vectors_and_what_a_step_adds():
  s = np.array([0.5, np.nan, 1, 2, 3, 4])
  v = View.of(Z, s, mask=np.arange(6) < 4, task=np.arange(6), input=Z.reshape(6, 3, 1))
  np.testing.assert_array_equal(v.mask_N, [1, 0, 1, 1, 0, 0])
  np.testing.assert_array_equal(v.s_N, [0.5, 0, 1, 2, 3, 4])
  assert v.classes_K.shape == (2,)
  assert (v.task_N.dtype, v.input_ND.shape) == ("int32", (6, 3))
  both = View.of(Z, np.stack([s, s * 0, s], 1))
  assert (both.s_N.shape, both.classes_K.shape) == ((6, 3), (3,))
  np.testing.assert_array_equal(both.mask_N, [1, 0, 1, 1, 1, 1])


@pytest.mark.parametrize("name", ["hsic", "linear"])
@pytest.mark.parametrize("kind", ["discrete", "continuous"])
def test_a_critic_reads_it_as_a_view_built_by_hand(name, kind):
  critic = ovl.load("critics", name, attribute=kind)
  gen = np.random.default_rng(1)
  z = gen.normal(size=(200, 3)).astype(np.float32)
  s = (z[:, 0] > 0).astype(np.int32) if kind == "discrete" else z[:, 0]
  by_hand = View(
    *map(jnp.asarray, (z, s, np.ones(200, np.float32), [True] * 3, [True] * 2))
  )
  values = []
  for v in (by_hand, View.of(z, s), jax.jit(lambda z, s: View.of(z, s, classes=2))(z, s)):
    params = critic.init(KEY, v) if critic.fit is None else critic.fit(KEY, v, v)
    values.append(float(critic.value(params, v, KEY)))
  assert values[0] > 0.01
  np.testing.assert_allclose(values, values[0], rtol=1e-5)


@pytest.mark.parametrize(
  ("z", "s", "given", "said"),
  [
    (Z[:, 0], [0] * 6, {}, "z has shape [6], expected [N, D]"),
    (Z, [0] * 5, {}, "s has shape [5] and z [6, 3]"),
    (Z, [[0]] * 6, {}, "s has shape [6, 1]"),
    (Z, list("aabbcc"), {}, "s holds no numbers"),
    (Z, [0, 1, 2, 0, 1, -2], {}, "codes -2..2, expected 0..2, or -1: unknown"),
    (Z, [0, 1, 2, 0, 1, 2], {"classes": 2}, "codes 0..2, expected 0..1"),
  ],
)
def test_bad_input_is_one_readable_line(z, s, given, said):
  with pytest.raises(BadInput) as error:
    View.of(z, s, **given)
  assert said in str(error.value)
  assert "\n" not in str(error.value)


def test_traced_classes_must_be_counted_by_the_caller():
  with pytest.raises(BadInput, match="give classes="):
    jax.jit(View.of)(Z, np.zeros(6, int))
  codes = np.arange(6) % 3
  assert jax.jit(lambda z: View.of(z, codes))(Z).classes_K.shape == (3,)  # not traced
  wide = jax.jit(lambda z, s: View.of(z, s))(Z, np.zeros(6))  # of a quantity none are
  assert wide.classes_K.shape == (2,)


# ---- a loop of one's own ----------------------------------------------------------------


def planted(rows, seed):
  """Task and attribute are independent bits of columns of their own; the input has both."""
  gen = np.random.default_rng(seed)
  y, s = gen.integers(0, 2, rows), gen.integers(0, 2, rows)
  x = gen.normal(size=(rows, 8)).astype(np.float32)
  x[:, 0] += 2.5 * y
  x[:, 1] += 2.5 * s
  return x, y, s


X, Y, S = planted(1200, 0)
START = {
  "in": 0.5 * jax.random.normal(jax.random.key(1), (8, 16)),
  "out": 0.3 * jax.random.normal(jax.random.key(2), (16, 2)),
}


def attacked(params):
  """Accuracy of the task, and of fresh scikit-learn attackers on rows of their own."""
  x, y, s = planted(2000, 1)
  z = np.maximum(x @ np.asarray(params["in"]), 0)
  task = ((z @ np.asarray(params["out"])).argmax(1) == y).mean()
  z = z / z.std()
  readers = (
    LogisticRegression(max_iter=2000),
    MLPClassifier((32,), max_iter=60, early_stopping=True, random_state=0),
  )
  read = max(one.fit(z[:1000], s[:1000]).score(z[1000:], s[1000:]) for one in readers)
  return task, read


def readme(weight):
  """The lines of the README, with a weight."""
  (code,) = (b for b in re.findall(r"```python\n(.*?)```", README, re.S) if "View.of" in b)
  assert "+ 10 * hsic" in code
  scope = {"jax": jax, "optax": optax, "ovl": ovl, "tx": optax.adam(1e-2)}
  exec(code.replace("10 * hsic", f"{weight} * hsic"), scope)
  params, opt = START, scope["tx"].init(START)
  gen = np.random.default_rng(0)
  for i in range(400):
    rows = gen.choice(len(X), 256, replace=False)
    params, opt = scope["step"](params, opt, X[rows], Y[rows], S[rows], jax.random.key(i))
  return attacked(params)


def test_the_loop_of_the_readme_makes_it_forget():
  task, read = readme(0)
  assert task > 0.85
  assert read > 0.8
  task, left = readme(10)
  assert task > 0.85
  assert left < read - 0.15


def test_a_critic_with_parameters_learns_beside_the_network():
  club = ovl.load("critics", "club", hidden=(16,))
  tx = optax.adam(1e-2)

  def loss(params, of_critic, x, y, s, weight):
    z = jax.nn.relu(x @ params["in"])
    task = optax.softmax_cross_entropy_with_integer_labels(z @ params["out"], y).mean()
    view = View.of(z, s, classes=2)
    return task + weight * club.value(jax.lax.stop_gradient(of_critic), view, KEY), view

  @jax.jit
  def step(params, of_critic, opts, *batch):
    grads, view = jax.grad(loss, has_aux=True)(params, of_critic, *batch)
    updates, opt = tx.update(grads, opts[0])
    learnt = jax.grad(club.loss)(of_critic, jax.lax.stop_gradient(view), KEY)
    learnt, of_opt = tx.update(learnt, opts[1])
    new = optax.apply_updates(params, updates), optax.apply_updates(of_critic, learnt)
    return *new, (opt, of_opt)

  def trained(weight):
    params = START
    of_critic = club.init(KEY, View.of(np.zeros((2, 16)), [0, 1]))
    opts = tx.init(params), tx.init(of_critic)
    gen = np.random.default_rng(0)
    for _ in range(400):
      rows = gen.choice(len(X), 256, replace=False)
      batch = X[rows], Y[rows], S[rows], weight
      params, of_critic, opts = step(params, of_critic, opts, *batch)
    return attacked(params)

  task, read = trained(0.0)
  weaker, left = trained(1.0)
  assert min(task, weaker) > 0.85
  assert left < read - 0.1
