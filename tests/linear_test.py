"""The linear probe against a naive twin, scikit-learn, closed forms and hard cases."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, roc_auc_score

from ovl import load, nn
from ovl.critics import _conjugate, linear
from ovl.types import View

KEY = jax.random.key(0)
BY_LABEL = View(None, 0, 0, None, 0)


def view(z, s, K, mask=None):
  mask = np.ones(len(z)) if mask is None else mask
  s = np.asarray(s, np.float32 if np.asarray(s).dtype.kind == "f" else np.int32)
  return View(
    jnp.asarray(z, jnp.float32),
    jnp.asarray(s),
    jnp.asarray(mask, jnp.float32),
    jnp.ones(z.shape[1], bool),
    jnp.ones(K, bool),
  )


def draw(N=240, D=6, K=4, signal=1.0, seed=0):
  """Correlated columns, standardised, shifted by the class."""
  gen = np.random.default_rng(seed)
  s = gen.integers(0, K, N)
  mixed = gen.normal(size=(N, D)) @ gen.normal(size=(D, D))
  z = mixed + signal * gen.normal(size=(K, D))[s]
  return (z - z.mean(0)) / z.std(0), s


@functools.cache
def solver(attribute="discrete", l2=1.0, tol=1e-6):
  critic = load("critics", "linear", attribute=attribute, l2=l2, tol=tol)
  return critic, jax.jit(critic.fit)


def solve(train, stop=None, **settings):
  return solver(**settings)[1](KEY, train, train if stop is None else stop)


def twin(z, s, K, l2=1.0, mask=None):
  """Newton's method in float64 on all K (D + 1) weights at once; halves bad steps."""
  x, hot = np.c_[z, np.ones(len(z))], np.eye(K)[s]
  m = np.ones(len(z)) if mask is None else mask
  ridge = np.kron(np.eye(K), np.diag([l2] * z.shape[1] + [0]))

  def at(w):
    p = np.exp(x @ w.reshape(K, -1).T)
    p /= p.sum(1, keepdims=True)
    return -(m * np.log((p * hot).sum(1))).sum() + w @ ridge @ w / 2, p

  w = np.zeros(K * x.shape[1])
  for _ in range(60):
    f, p = at(w)
    gradient = np.einsum("n,nk,nd->kd", m, p - hot, x).ravel() + ridge @ w
    bend = np.einsum("nk,kj->nkj", p, np.eye(K)) - np.einsum("nk,nj->nkj", p, p)
    hessian = np.einsum("n,nkj,nd,ne->kdje", m, bend, x, x).reshape(len(w), -1) + ridge
    step = np.linalg.pinv(hessian) @ gradient
    t = next(t for t in 0.5 ** np.arange(40) if t < 1e-11 or at(w - t * step)[0] <= f)
    w = w - t * step
  return w.reshape(K, -1)[:, :-1].T, w.reshape(K, -1)[:, -1], at(w)[0]


def centred(b):
  return np.asarray(b) - np.mean(b)


def objective(params, v, l2=1.0):
  logits_NK = nn.mask_logits(v.z_ND @ params[0] + params[1], v.classes_K)
  return (
    nn.cross_entropy(logits_NK, v, "discrete") * v.mask_N.sum()
    + l2 * jnp.square(params[0]).sum() / 2
  )


@pytest.mark.parametrize("l2", [1.0, 30.0])
def test_reaches_the_minimum_of_the_naive_twin(l2):
  z, s = draw()
  mask = np.arange(len(z)) % 3 > 0
  w, b = solve(view(z, s, 4, mask), l2=l2)
  twin_w, twin_b, _ = twin(z, s, 4, l2, mask)
  np.testing.assert_allclose(w, twin_w, atol=5e-3)
  np.testing.assert_allclose(centred(b), centred(twin_b), atol=5e-3)


@pytest.mark.parametrize("K", [2, 10])
def test_equals_scikit_learn_on_held_out_rows(K):
  z, s = draw(1500, 32, K, 2.0)
  train, test = view(z[:1000], s[:1000], K), view(z[1000:], s[1000:], K)
  # Of two classes scikit-learn's one vector is the difference of ours.
  peer = LogisticRegression(C=2.0 if K == 2 else 1.0, tol=1e-8, max_iter=5000)
  peer.fit(z[:1000], s[:1000])
  theirs = -peer.predict_log_proba(z[1000:])[np.arange(500), s[1000:]].mean()
  critic, _ = solver()
  for tol in (1e-4, 1e-6):
    params = solve(train, tol=tol)
    ours = nn.cross_entropy(critic.logits(params, test), test, "discrete")
    assert float(ours) == pytest.approx(theirs, rel=5e-3)
  w = np.asarray(params[0])
  w = w if K > 2 else w[:, 1:] - w[:, :1]
  np.testing.assert_allclose(w, peer.coef_.T, atol=0.02)


def test_padding_changes_nothing():
  z, s = draw()
  plain = view(z, s, 4)
  rows = jnp.pad(plain.mask_N, (0, 60))
  padded = View(
    jnp.pad(plain.z_ND, ((0, 60), (0, 3))),
    jnp.pad(plain.s_N, (0, 60), constant_values=5),
    rows,
    jnp.arange(9) < 6,
    jnp.arange(7) < 4,
  )
  (w, b), (padded_w, padded_b) = solve(plain), solve(padded)
  np.testing.assert_allclose(padded_w[:6, :4], w, atol=1e-3)
  np.testing.assert_allclose(centred(padded_b[:4]), centred(b), atol=1e-3)
  assert not padded_w[6:].any()
  assert not padded_w[:, 4:].any()
  assert not padded_b[4:].any()
  logits_NK = solver()[0].logits((padded_w, padded_b), padded)
  assert (logits_NK[:, 4:] == nn.NEG).all()


def test_masked_rows_are_not_read():
  z, s = draw()
  mask = np.arange(len(z)) % 4 > 0
  other = np.where(mask, s, (s + 1) % 4)
  params, same = solve(view(z, s, 4, mask)), solve(view(z, other, 4, mask))
  np.testing.assert_array_equal(params[0], same[0])
  alone = solve(view(z[mask], s[mask], 4))
  np.testing.assert_allclose(params[0], alone[0], atol=2e-3)


def many(labels=5):
  """Label vectors from noise to easy, which takes longest; masks and classes differ."""
  z, s = draw(signal=3.0)
  gen = np.random.default_rng(1)
  s_AN = np.stack(
    [np.where(gen.random(len(s)) > a / 4, gen.permutation(s), s) for a in range(labels)]
  )
  v = view(z, s, 4)
  return v._replace(
    s_N=jnp.asarray(s_AN),
    mask_N=jnp.asarray(gen.random(s_AN.shape) < 0.9, jnp.float32),
    classes_K=jnp.arange(4) < jnp.array([[4]] * (labels - 1) + [[3]]),
  )


def one(v, a):
  return v._replace(s_N=v.s_N[a], mask_N=v.mask_N[a], classes_K=v.classes_K[a])


def test_vmap_over_labels_is_a_loop():
  v = many()
  fit = solver()[0].fit
  together = jax.jit(jax.vmap(fit, (None, BY_LABEL, BY_LABEL)))(KEY, v, v)
  # And inside a vmap over representations.
  twice = jax.tree.map(lambda x: jnp.stack([x, x]), v)
  lanes = jax.jit(jax.vmap(jax.vmap(fit, (None, BY_LABEL, BY_LABEL)), (None, 0, 0)))
  nested = lanes(KEY, twice, twice)
  for a in range(len(v.s_N)):
    alone = solve(one(v, a))
    for x, y, both in zip(together, alone, nested, strict=True):
      np.testing.assert_allclose(x[a], y, atol=2e-3)
      np.testing.assert_allclose(both[1, a], y, atol=2e-3)


def test_vmap_over_representations_alone_is_a_loop():
  views = [view(*draw(seed=i), 4) for i in range(2)]
  stacked = jax.tree.map(lambda *x: jnp.stack(x), *views)
  together = jax.jit(jax.vmap(solver()[0].fit, (None, 0, 0)))(KEY, stacked, stacked)
  for i, v in enumerate(views):
    np.testing.assert_allclose(together[0][i], solve(v)[0], atol=2e-3)


def equations(jaxpr):
  for eqn in jaxpr.eqns:
    yield eqn
    for inner in jaxprs_in_params(eqn.params):
      yield from equations(inner)


def test_what_depends_on_z_alone_is_not_batched_over_labels():
  v = many()
  fit = jax.vmap(solver()[0].fit, (None, BY_LABEL, BY_LABEL))
  eqns = list(equations(jax.make_jaxpr(fit)(KEY, v, v).jaxpr))
  factors = [e for e in eqns if e.primitive.name == "eigh"]
  assert [e.invars[0].aval.shape for e in factors] == [(6, 6)]
  products = [e for e in eqns if e.primitive.name == "dot_general"]
  wide = [e for e in products if e.outvars[0].aval.size >= 5 * 4 * 6]
  assert wide
  assert all(e.params["dimension_numbers"][1] == ((), ()) for e in wide)


def test_jit_is_no_jit_and_the_second_call_compiles_nothing():
  critic, _ = solver()
  fit = jax.jit(lambda *args: critic.fit(*args))
  v, other = view(*draw(), 4), view(*draw(seed=3), 4)
  params = fit(KEY, v, v)
  fit(jax.random.key(1), other, other)
  assert fit._cache_size() == 1
  for a, b in zip(params, critic.fit(KEY, v, v), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-4)


def test_keeps_the_strength_that_is_best_on_stop():
  path = (300.0, 10.0, 0.1)
  chosen = []
  for signal in (0.0, 0.3, 4.0):
    z, s = draw(160, 24, 3, signal)
    train, stop = view(z[:80], s[:80], 3), view(z[80:], s[80:], 3)
    critic, _ = solver(l2=path)
    each = [solve(train, stop, l2=l2) for l2 in path]
    error = [nn.cross_entropy(critic.logits(p, stop), stop, "discrete") for p in each]
    best = int(np.argmin(error))
    np.testing.assert_allclose(solve(train, stop, l2=path)[0], each[best][0], atol=5e-3)
    chosen.append(best)
  assert len(set(chosen)) > 1


# ---- hard cases ----------------------------------------------------------------------

Z, S = draw()
CASES = {
  "wider than long": (*draw(60, 512, 4, 0.2), 4),
  "wider than all eigenvectors are sought for": (*draw(60, 600, 4, 0.2), 4),
  "separable": (*draw(K=3, signal=40.0), 3),
  "absent class": (Z, S, 5),
  "one class": (Z, 0 * S, 4),
  "constant columns": (Z * [1, 0, 1, 1, 0, 1], S, 4),
  "equal columns": (Z[:, [0, 1, 1, 1, 2, 0]], S, 4),
  "unlike scales": (Z * 10.0 ** np.arange(-3, 3), S, 4),
  "gaps in the codes": (Z, 2 * S, 7),
  "only intercept": (0 * Z, S, 4),
}


@pytest.mark.parametrize("case", CASES)
def test_hard_cases_are_finite_and_no_worse_than_scikit_learn(case):
  z, s, K = CASES[case]
  v = view(z, s, K)._replace(classes_K=jnp.arange(7) < K)
  params = solve(v)
  assert all(jnp.isfinite(x).all() for x in params)
  if len(np.unique(s)) == 1:
    assert float(objective(params, v)) < 0.01 * len(s)
    return
  peer = LogisticRegression(solver="newton-cg", tol=1e-6, max_iter=500).fit(z, s)
  theirs = peer.predict_log_proba(z)[np.arange(len(s)), np.searchsorted(peer.classes_, s)]
  least = -theirs.sum() + np.square(peer.coef_).sum() / 2
  # An absent class keeps about half a row of probability, in all.
  slack = 0.5 * (K - len(peer.classes_))
  assert float(objective(params, v)) <= least * 1.002 + slack + 1e-3


@pytest.mark.parametrize("leading", [1, 4, 24])
def test_the_minimum_does_not_depend_on_how_much_of_the_spectrum_is_known(
  leading, monkeypatch
):
  z, s = draw(D=24, signal=2.0)
  v = view(z * np.arange(1, 25) ** -0.6, s, 4)
  exact = solve(v)
  monkeypatch.setattr(_conjugate, "EXACT", 8)
  monkeypatch.setattr(_conjugate, "LEADING", leading)
  w, b = jax.jit(linear.critic(l2=1.0, tol=1e-6).fit)(KEY, v, v)
  np.testing.assert_allclose(w, exact[0], atol=1e-2)
  np.testing.assert_allclose(centred(b), centred(exact[1]), atol=1e-2)


@pytest.mark.parametrize("units", [4, 600])
def test_wide_rows_read_as_scikit_learn_reads_them(units):
  """600 columns, 300 rows; the ridge is chosen on the stop part by both."""
  gen = np.random.default_rng(0)
  s = gen.integers(0, 2, 2400)
  z = gen.normal(size=(2400, 600)) * np.arange(1, 601) ** -0.5
  z[:, -units:] += np.where(s, 1, -1)[:, None] * z.std(0)[-units:] * 1.6 / units**0.5
  z = (z - z[:300].mean(0)) / z[:300].std(0)
  train, stop, test = slice(300), slice(300, 400), slice(400, 2400)
  peers = [
    LogisticRegression(C=2 / l2, max_iter=1000).fit(z[train], s[train])
    for l2 in (1e4, 1e3, 100, 10, 1)
  ]
  best = min(peers, key=lambda m: log_loss(s[stop], m.predict_proba(z[stop])))
  theirs = roc_auc_score(s[test], best.decision_function(z[test]))
  critic = load("critics", "linear")
  v = [view(z[part], s[part], 2) for part in (train, stop, test)]
  logits_NK = critic.logits(jax.jit(critic.fit)(KEY, *v[:2]), v[2])
  assert 0.7 < theirs < 0.98
  error = float(nn.cross_entropy(logits_NK, v[2], "discrete"))
  peer_error = log_loss(s[test], best.predict_proba(z[test]))
  assert error == pytest.approx(peer_error, abs=0.01)
  ours = roc_auc_score(s[test], logits_NK[:, 1] - logits_NK[:, 0])
  assert ours == pytest.approx(theirs, abs=0.01)


def test_no_known_row_gives_the_uniform_answer():
  z, s = draw()
  w, b = solve(view(z, s, 4, np.zeros(240)))
  assert not w.any()
  np.testing.assert_allclose(b, 0, atol=1e-6)


def test_a_step_that_goes_too_far_comes_back():
  """Rare classes and sparse rows: a bare Newton step along a line diverges here."""
  gen = np.random.default_rng(1)
  views = []
  for _ in range(24):
    z = (gen.random((100, 3)) < 0.05) * gen.exponential(size=(100, 3))
    s = 5 * z @ gen.normal(size=3) / z.std(0).mean() + gen.logistic(size=100) > 8
    views.append(view(z / z.std(0), s.astype(int), 2))
  stacked = jax.tree.map(lambda *x: jnp.stack(x), *views)
  fit = jax.jit(jax.vmap(solver(l2=0.01)[0].fit, (None, 0, 0)))
  params = fit(KEY, stacked, stacked)
  for i, v in enumerate(views):
    least = twin(np.asarray(v.z_ND, float), v.s_N, 2, 0.01)[2]
    assert float(objective((params[0][i], params[1][i]), v, 0.01)) < 1.001 * least + 0.01


# ---- continuous ----------------------------------------------------------------------


def regression(seed=0, N=200, D=5):
  gen = np.random.default_rng(seed)
  z = gen.normal(size=(N, D))
  return z, z @ gen.normal(size=D) / 2 + 0.3 + 0.5 * gen.normal(size=N)


@pytest.mark.parametrize("l2", [1.0, 50.0])
def test_continuous_head_is_ridge_regression(l2):
  z, s = regression()
  mask = np.arange(200) % 5 > 0
  s = np.where(mask, s, 1e4)
  w, b = solve(view(z, s, 2, mask), attribute="continuous", l2=l2)
  peer = Ridge(alpha=l2).fit(z[mask], s[mask])
  np.testing.assert_allclose(w[:, 0], peer.coef_, atol=2e-3)
  np.testing.assert_allclose(b[0], peer.intercept_, atol=2e-3)
  scale = (s[mask] - peer.predict(z[mask])).std()
  np.testing.assert_allclose(b[1], np.log(scale), atol=2e-3)
  assert not w[:, 1].any()


def test_continuous_scale_is_that_of_the_worse_part():
  (z, s), (fresh_z, fresh_s) = regression(N=30, D=25), regression(1, 100, 25)
  train, stop = view(z, s, 2), view(fresh_z, fresh_s, 2)
  w, b = solve(train, stop, attribute="continuous", l2=0.1)
  miss = fresh_s - fresh_z @ np.asarray(w[:, 0]) - float(b[0])
  np.testing.assert_allclose(b[1], 0.5 * np.log(np.square(miss).mean()), atol=1e-3)


# ---- controls ------------------------------------------------------------------------


@pytest.mark.parametrize("attribute", ["discrete", "continuous"])
def test_an_independent_attribute_gives_nothing(attribute):
  values = []
  for seed in range(6):
    gen = np.random.default_rng(seed)
    z = gen.normal(size=(900, 20))
    s = gen.integers(0, 4, 900) if attribute == "discrete" else gen.normal(size=900)
    K = 4 if attribute == "discrete" else 2
    train, stop, test = (view(z[i::3], s[i::3], K) for i in range(3))
    settings = {"attribute": attribute, "l2": (100.0, 10.0, 1.0), "tol": 1e-4}
    params = solve(train, stop, **settings)
    values.append(float(solver(**settings)[0].value(params, test, KEY)))
  assert max(values) < 0.02
  assert np.mean(values) <= 0


def test_a_planted_attribute_gives_its_information():
  gen = np.random.default_rng(0)
  s = gen.integers(0, 4, 3000)
  z = 1.5 * np.eye(4)[s] + gen.normal(size=(3000, 4))
  posterior = np.exp(1.5 * z)
  posterior /= posterior.sum(1, keepdims=True)
  bayes = np.log(4) + np.log(posterior[np.arange(3000), s])[1000:].mean()
  params = solve(view(z[:1000], s[:1000], 4))
  test = view(z[1000:], s[1000:], 4)
  assert float(solver()[0].value(params, test, KEY)) == pytest.approx(bayes, abs=0.02)


def test_its_loss_is_least_at_its_solution():
  z, s = draw()
  v, (critic, _) = view(z, s, 4), solver()
  params = solve(v)
  gradient = jax.grad(critic.loss)(params, v, KEY)
  assert all(jnp.abs(g).max() < 1e-3 for g in jax.tree.leaves(gradient))
  nothing = critic.init(KEY, v)
  assert float(critic.loss(nothing, v, KEY)) == pytest.approx(np.log(4), rel=1e-5)
  assert critic.loss(params, v, KEY) < critic.loss(nothing, v, KEY)
