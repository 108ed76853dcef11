"""Critics without training: naive twins, known answers, null and positive controls."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import digamma
from scipy.stats import multivariate_normal as normal
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

from ovl import load, neighbours
from ovl.critics.fano import fano
from ovl.types import BadInput, View

KEY = jax.random.key(0)
DISCRETE = ("ross", "bayes_error", "plugin", "mmd", "hsic", "cka", "dcor")
CONTINUOUS = ("ksg", "sliced", "cca", "hsic", "cka", "dcor")
CASES = [(name, "discrete") for name in DISCRETE] + [
  (name, kind) for name in CONTINUOUS for kind in ("continuous", "vector")
]
PENALTIES = [case for case in CASES if case[0] in ("mmd", "hsic", "cka", "dcor")]
NO_TILES = ("plugin", "cca")
FEW = {"sliced": {"slices": 2}}
COMPILED = {  # little, as each program runs a few times only
  "xla_backend_optimization_level": 0,
  "xla_llvm_disable_expensive_passes": True,
}


def slow_unless(quick, cases):
  """The cases as parameters, all but the quick ones for long studies only."""
  return [
    pytest.param(*c, id="-".join(map(str, c)), marks=() if quick(*c) else pytest.mark.slow)
    for c in cases
  ]


def not_twice(name, kind):
  """One quantity is a vector of one column: the same code."""
  return kind != "continuous"


def build(name, kind, /, **settings):
  return load("critics", name, attribute=kind, **FEW.get(name, {}) | settings)


def value(critic, v, train=None):
  """What a critic says; one that is fitted on `train` is fitted there first."""
  train = v if train is None else train
  return critic.value(critic.fit(KEY, train, train), v, KEY)


@functools.cache
def program(critic):
  return jax.jit(lambda v: value(critic, v))


@functools.cache
def lanes(critic):
  return jax.jit(jax.vmap(lambda v: value(critic, v)))


def said(critic, z, s):
  return float(program(critic)(pack(z, s)))


def draws(kind, **settings):
  """Twenty views in one, padded in every way."""
  views = [
    pack(*data(kind, seed=i, **settings), pad=(17, 3, 2), junk=5.0 - 3e3 * (i % 2))
    for i in range(20)
  ]
  return jax.tree.map(lambda *x: jnp.stack(x), *views)


def pack(z, s, pad=(0, 0, 0), junk=5.0):
  """A view; `pad` adds rows (with junk in them), columns and classes."""
  z, s = np.asarray(z, np.float32), np.asarray(s)
  z = z[:, None] if z.ndim == 1 else z
  s = s.astype(np.int32 if s.dtype.kind == "i" else np.float32)
  rows, wide, more = pad
  K = s.max() + 1 if s.dtype == np.int32 else (s.shape[1] if s.ndim == 2 else 2)
  more = 0 if s.ndim == 1 and s.dtype == np.float32 else more
  mask = np.r_[np.ones(len(z)), np.zeros(rows)].astype(np.float32)
  exists = np.arange(z.shape[1] + wide) < z.shape[1]
  z = np.pad(np.pad(z, ((0, rows), (0, 0)), constant_values=junk), ((0, 0), (0, wide)))
  s = np.pad(s, ((0, rows), (0, more))[: s.ndim], constant_values=0)
  return View(*map(jnp.asarray, (z, s, mask, exists, np.arange(K + more) < K)))


def data(kind, N=60, seed=0, classes=3, dependent=True):
  """`z [N, 3]` and an attribute that hangs on its first column, or on nothing."""
  gen = np.random.default_rng(seed)
  z = gen.normal(size=(N, 3))
  score = z[:, 0] * dependent + 0.7 * gen.normal(size=N)
  if kind == "discrete":
    s = np.digitize(score, np.linspace(-0.6, 0.6, classes - 1))
    s[:classes] = np.arange(classes)
    return z, s
  if kind == "continuous":
    return z, score
  return z, np.stack([score, gen.normal(size=N) + 0.5 * dependent * z[:, 1]], 1)


# ---- naive twins ---------------------------------------------------------------------


def twin_ross(z, s, k=3):
  """Point by point. Ties: all rows within the k-th distance are counted."""
  keep = [i for i in range(len(s)) if (s == s[i]).sum() > 1]
  z, s = z[keep], s[keep]
  terms = []
  for i in range(len(s)):
    d = np.delete(((z - z[i]) ** 2).sum(1), i)
    same = np.delete(s, i) == s[i]
    r = np.sort(d[same])[min(k, same.sum()) - 1]
    own, near = (d[same] <= r).sum() + (r == 0), (d <= r).sum() + (r == 0)
    terms.append(digamma(own) - digamma(same.sum() + 1) - digamma(near))
  return digamma(len(s)) + np.mean(terms)


def twin_ksg(z, s, k=5, variant=1, metric="chebyshev"):
  blocks = [(x - x.mean(0)) / x.std(0) for x in (z, s.reshape(len(s), -1))]
  N, terms = len(z), []
  for i in range(N):
    order = np.inf if metric == "chebyshev" else 2
    d = [np.delete(np.linalg.norm(x - x[i], order, 1), i) for x in blocks]
    near = np.argsort(np.maximum(*d))[:k]
    if variant == 1:
      r = np.maximum(*d)[near].max()
      terms.append(digamma(k) - sum(digamma((x < r).sum() + 1) for x in d))
    else:
      counts = [(x <= x[near].max()).sum() for x in d]
      terms.append(digamma(k) - 1 / k - sum(map(digamma, counts)))
  return digamma(N) + np.mean(terms)


def twin_hsic(k, ell, unbiased=True):
  """Gretton's and Song's closed forms."""
  n = len(k)
  if not unbiased:
    h = np.eye(n) - 1 / n
    return np.trace(k @ h @ ell @ h) / (n - 1) ** 2
  k, ell = k - np.diag(np.diag(k)), ell - np.diag(np.diag(ell))
  one = np.ones(n)
  all_ = one @ k @ one * (one @ ell @ one) / ((n - 1) * (n - 2))
  both = np.trace(k @ ell) + all_ - 2 / (n - 2) * one @ k @ ell @ one
  return both / (n * (n - 3))


def apart(x):
  x = x.reshape(len(x), -1)
  return np.array([[np.sqrt(((a - b) ** 2).sum()) for b in x] for a in x])


def gram(x, sigma=None):
  d = apart(x)
  if sigma is None:
    sigma = np.quantile(d[np.triu_indices(len(d), 1)], 0.5, method="lower")
  return np.exp(-(d**2) / (2 * sigma**2))


def hot(s):
  return np.eye(s.max() + 1)[s] if s.dtype.kind == "i" else s.reshape(len(s), -1)


def ratio(f, k, ell, **settings):
  return f(k, ell, **settings) / np.sqrt(f(k, k, **settings) * f(ell, ell, **settings))


def twin_mmd(z, s):
  k, out = gram(z), []
  for a in range(s.max() + 1):
    for b in range(a):
      x, y = np.flatnonzero(s == a), np.flatnonzero(s == b)
      if min(len(x), len(y)) < 2:
        continue
      within = [np.mean([k[i, j] for i in w for j in w if i != j]) for w in (x, y)]
      out.append(sum(within) - 2 * np.mean([k[i, j] for i in x for j in y]))
  return np.mean(out)


def twin_plugin(z, s, correction="none"):
  def entropy(rows):
    counts = np.array([rows.count(r) for r in set(rows)])
    p = counts / counts.sum()
    bias = (len(p) - 1) / (2 * len(rows)) if correction == "miller-madow" else 0
    return -(p * np.log(p)).sum() + bias

  z, s = [tuple(row) for row in z], list(s)
  return entropy(z) + entropy(s) - entropy(list(zip(z, s, strict=True)))


def twin_bayes(z, s):
  wrong = 0
  for i in range(len(s)):
    d = ((z - z[i]) ** 2).sum(1)
    d[i] = np.inf
    wrong += s[d.argmin()] != s[i]
  e, K, p = wrong / len(s), s.max() + 1, np.bincount(s) / len(s)
  least = (K - 1) / K * (1 - np.sqrt(max(0, 1 - K * e / (K - 1))))
  return -(p * np.log(p)).sum() - 2 * np.log(2) * least


def twin_cca(z, s):
  both = np.cov(np.c_[z, s].T)
  d = z.shape[1]
  logdet = [np.linalg.slogdet(c)[1] for c in (both[:d, :d], both[d:, d:], both)]
  return 0.5 * (logdet[0] + logdet[1] - logdet[2])


def test_ross_is_its_naive_twin_and_that_of_scikit_learn():
  z, s = data("discrete", 90)
  s[7] = 3  # a class of one row
  s[8:10] = 4  # and one with fewer than k neighbours
  assert said(build("ross", "discrete"), z, s) == pytest.approx(twin_ross(z, s), abs=1e-5)
  theirs = mutual_info_classif(z[:, :1], s, n_neighbors=3, random_state=0)[0]
  assert said(build("ross", "discrete"), z[:, 0], s) == pytest.approx(theirs, abs=2e-3)


@pytest.mark.parametrize(
  ("kind", "variant", "metric"),
  slow_unless(
    lambda kind, variant, metric: kind == "vector" and (variant == 1) != (metric[0] == "e"),
    itertools.product(("continuous", "vector"), (1, 2), ("chebyshev", "euclidean")),
  ),
)
def test_ksg_is_its_naive_twin(kind, variant, metric):
  z, s = data(kind)
  twins = [twin_ksg(z, s, k, variant, metric) for k in (3, 5)]
  ours = said(build("ksg", kind, k=(3, 5), variant=variant, metric=metric), z, s)
  assert ours == pytest.approx(np.mean(twins), abs=1e-5)


def test_ksg_is_that_of_scikit_learn():
  z, s = data("continuous", 500)
  theirs = mutual_info_regression(z[:, :1], s, n_neighbors=3, random_state=0)[0]
  ours = said(build("ksg", "continuous", k=3), z[:, 0], s)
  assert ours == pytest.approx(theirs, abs=2e-3)


@pytest.mark.parametrize(
  ("kind", "unbiased"),
  slow_unless(
    lambda kind, unbiased: (kind, unbiased) in (("discrete", True), ("vector", False)),
    itertools.product(("discrete", "continuous", "vector"), (True, False)),
  ),
)
def test_kernel_statistics_are_their_naive_twins(kind, unbiased):
  z, s = data(kind)
  k, ell = gram(z), hot(s) @ hot(s).T if kind == "discrete" else gram(s)
  how = {"unbiased": unbiased}
  ours = said(build("hsic", kind, **how), z, s)
  assert ours == pytest.approx(twin_hsic(k, ell, **how), abs=1e-6)
  ours = said(build("hsic", kind, kernel="linear", **how), z, s)
  flat = z @ z.T, hot(s) @ hot(s).T
  assert ours == pytest.approx(twin_hsic(*flat, **how), abs=1e-5)
  ours = said(build("cka", kind, debiased=unbiased), z, s)
  assert ours == pytest.approx(ratio(twin_hsic, *flat, **how), abs=1e-5)
  ours = said(build("dcor", kind, **how), z, s)
  far = apart(z), apart(hot(s))
  assert ours == pytest.approx(ratio(twin_hsic, *far, **how), abs=1e-5)


def test_kernel_statistics_have_the_published_numbers():
  i, j = np.arange(8)[:, None], np.arange(4)
  z, s = np.cos(0.5 + 1.3 * i + 0.7 * j), np.array([0, 1, 2, 0, 1, 2, 0, 1])
  for unbiased, known in ((True, -0.0531961555289), (False, 0.0378861170952)):
    critic = build("hsic", "discrete", bandwidth=1.0, unbiased=unbiased)
    assert said(critic, z, s) == pytest.approx(known, abs=1e-6)
  ours = said(build("dcor", "discrete", unbiased=False), z, s)
  assert ours == pytest.approx(0.143400253053, abs=1e-6)


def test_mmd_bayes_error_and_plugin_are_their_naive_twins():
  z, s = data("discrete")
  s[7] = 3
  assert said(build("mmd", "discrete"), z, s) == pytest.approx(twin_mmd(z, s), abs=1e-6)
  ours = said(build("bayes_error", "discrete"), z, s)
  assert ours == pytest.approx(twin_bayes(z, s), abs=1e-5)
  z = np.round(z)
  for how in ("none", "miller-madow"):
    ours = said(build("plugin", "discrete", correction=how), z, s)
    assert ours == pytest.approx(twin_plugin(z, s, how), abs=1e-5)


def test_cca_in_its_own_rows_is_the_ratio_of_determinants():
  gen = np.random.default_rng(0)
  z = gen.normal(size=(400, 4)) @ gen.normal(size=(4, 4)) * 9 + 30
  for s in (z[:, :2] + 9 * gen.normal(size=(400, 2)), z[:, 0] + gen.normal(size=400)):
    critic = build("cca", "vector" if s.ndim == 2 else "continuous")
    v = pack(z, s)
    params = jax.jit(critic.fit)(KEY, v, v)
    assert float(critic.value(params, v, KEY)) == pytest.approx(twin_cca(z, s), abs=2e-3)
    blocks = np.c_[z, s], z, s.reshape(400, -1)
    log_p = [normal(x.mean(0), np.cov(x.T, bias=True)).logpdf(x) for x in blocks]
    twin_N = log_p[0] - log_p[1] - log_p[2]
    np.testing.assert_allclose(critic.score(params, v), twin_N, atol=0.02)
    closed = -0.5 * np.log(1 - np.square(params[-1])).sum()
    assert float(critic.score(params, v).mean()) == pytest.approx(closed, rel=1e-4)


def test_cca_survives_a_hundred_columns_of_which_many_are_copies():
  gen = np.random.default_rng(0)
  z = gen.normal(size=(1000, 20)) @ gen.normal(size=(20, 100))
  s = z[:, 0] / z[:, 0].std() + gen.normal(size=1000)
  twin = twin_cca(np.linalg.svd(z, full_matrices=False)[0][:, :20], s)
  assert said(build("cca", "continuous"), z, s) == pytest.approx(twin, abs=2e-3)


# ---- known answers -------------------------------------------------------------------


def normal_pair(N=1000, seed=0, rho=0.75):
  x = np.random.default_rng(seed).normal(size=(2, N))
  return x[0], rho * x[0] + np.sqrt(1 - rho**2) * x[1]


@pytest.mark.parametrize(
  ("name", "settings", "slack"),
  [
    ("ksg", {}, 0.06),
    ("ksg", {"variant": 2}, 0.06),
    ("cca", {}, 0.06),
    ("sliced", {"method": "ksg"}, 0.06),
    ("sliced", {"method": "gaussian"}, 0.06),
  ],
)
def test_normal_pairs_have_the_known_information(name, settings, slack):
  """-log(1 - .75²) / 2 = 0.413 nats; a slice of two numbers is the two numbers."""
  z, s = normal_pair()
  found = said(build(name, "continuous", **settings), z, s)
  assert found == pytest.approx(0.4133, abs=slack)


def test_ross_and_the_upper_bound_surround_two_normal_classes():
  """Two unit normals at ±1: 0.3368 nats by quadrature."""
  gen = np.random.default_rng(0)
  s = gen.integers(0, 2, 1000)
  z = gen.normal(size=1000) + 2 * s - 1
  x = np.linspace(-9, 9, 20001)
  p = np.exp(-0.5 * (x[:, None] - [-1, 1]) ** 2) / np.sqrt(2 * np.pi) / 2
  joint = p * np.log(p / p.sum(1, keepdims=True) / 0.5)
  truth = joint.sum() * (x[1] - x[0])
  assert said(build("ross", "discrete"), z, s) == pytest.approx(truth, abs=0.06)
  assert truth - 0.02 < said(build("bayes_error", "discrete"), z, s) < np.log(2)
  right = np.mean((z > 0) == s)
  assert truth > fano(1 - right, np.log(2), 2) > 0.1


def test_fano_is_tight_where_it_must_be():
  assert float(fano(0.0, np.log(4), 4)) == pytest.approx(np.log(4))
  assert float(fano(0.75, np.log(4), 4)) == pytest.approx(0, abs=1e-6)
  assert float(fano(0.5, np.log(2), 2)) == pytest.approx(0, abs=1e-6)
  twin = np.log(3) + 0.2 * np.log(0.2) + 0.8 * np.log(0.8) - 0.2 * np.log(2)
  assert float(fano(0.2, np.log(3), 3)) == pytest.approx(twin, abs=1e-6)


def test_fano_critic_reads_the_error_of_its_first_choice():
  critic = build("fano", "discrete", hidden=(4,))
  z, s = data("discrete")
  v = pack(z, s, (5, 2, 2))
  params = critic.init(KEY, v)
  params[-1] = (jax.random.normal(KEY, params[-1][0].shape), params[-1][1])
  wrong = np.mean(np.asarray(critic.logits(params, v))[:60].argmax(1) != s)
  p = np.bincount(s) / 60
  twin = fano(wrong, -(p * np.log(p)).sum(), 3)
  assert float(critic.value(params, v, KEY)) == pytest.approx(float(twin), abs=1e-5)
  # It says a class, not how sure it is: what reads its logits reads an error, too.
  sure = np.sort(np.asarray(critic.logits(params, v)), 1)
  assert (sure == sure[0]).all()
  assert sure[0, -2] == sure[0, -3] < sure[0, -1]


def test_plugin_of_a_copy_is_the_entropy():
  s = np.arange(400) % 4
  ours = said(build("plugin", "discrete", correction="none"), np.stack([s, s * 0], 1), s)
  assert ours == pytest.approx(np.log(4), abs=1e-5)


# ---- controls ------------------------------------------------------------------------


@pytest.mark.parametrize(
  ("name", "kind"),
  slow_unless(
    lambda name, kind: kind != "continuous" and name != "sliced",
    [c for c in CASES if c[0] in ("ksg", "ross", "hsic", "dcor", "cka", "mmd", "sliced")],
  ),
)
def test_independent_draws_give_zero_in_the_mean_and_dependent_ones_do_not(name, kind):
  more = {"slices": 16} if name == "sliced" else {}
  fun = lanes(build(name, kind, **more))
  null, found = fun(draws(kind, dependent=False)), fun(draws(kind))
  error = null.std() / np.sqrt(20)
  assert abs(null.mean()) < 3 * error
  assert found.mean() > 3 * error


def test_cca_on_fresh_rows_says_nothing_of_nothing():
  critic = build("cca", "vector")
  held_out = jax.jit(functools.partial(value, critic))
  fresh, train = (pack(*data("vector", 1000, seed, dependent=False)) for seed in (0, 1))
  assert -0.02 < float(held_out(fresh, train)) < 0.01
  fresh, train = (pack(*data("vector", 1000, seed)) for seed in (0, 1))
  assert float(held_out(fresh, train)) > 0.3


def test_nearest_neighbours_that_tie_invent_nothing():
  gen = np.random.default_rng(0)
  s = gen.integers(0, 3, 300)
  z = gen.integers(0, 4, 300).astype(float)
  assert abs(said(build("ross", "discrete"), z, s)) < 0.03
  for variant in (1, 2):
    assert abs(said(build("ksg", "continuous", variant=variant), z, s * 1.0)) < 0.05
    assert abs(said(build("ksg", "continuous", variant=variant), z * 0, z * 0)) < 0.02
  copy = said(build("ksg", "continuous"), z, z)
  assert copy == pytest.approx(twin_plugin(z[:, None], z), abs=0.05)


# ---- contract ------------------------------------------------------------------------


BY_KIND = pytest.mark.parametrize(("name", "kind"), slow_unless(not_twice, CASES))


@BY_KIND
def test_masked_rows_padding_and_vmap_change_nothing_and_jit_traces_once(name, kind):
  critic = build(name, kind)
  many = lanes(critic)(draws(kind))
  lanes(critic)(draws(kind, dependent=False))
  assert lanes(critic)._cache_size() == 1
  for i in range(3):
    assert float(many[i]) == pytest.approx(said(critic, *data(kind, seed=i)), abs=1e-5)


@pytest.mark.parametrize(
  ("name", "kind"),
  slow_unless(
    lambda *case: case in [("ross", "discrete"), ("hsic", "discrete"), ("ksg", "vector")],
    [c for c in CASES if c[0] not in NO_TILES],
  ),
)
def test_tiles_change_nothing(name, kind):
  whole, tiled = build(name, kind), build(name, kind, tile=25)
  expected = said(whole, *data(kind))
  assert said(tiled, *data(kind)) == pytest.approx(expected, abs=1e-5)


def edges(kind):
  """Constant z, constant s, both; one class absent; two rows; none."""
  z, s = data(kind)
  still_z, still_s = 0 * z + 0.3, 0 * s
  plain = pack(z, s)
  for pair in ((still_z, s), (z, still_s), (still_z, still_s)):
    yield pack(*pair)._replace(classes_K=plain.classes_K)
  if kind == "discrete":
    yield pack(z, np.where(s == 1, 2, s))
  for rows in (2, 0):
    yield plain._replace(mask_N=(jnp.arange(60) < rows).astype(jnp.float32))


@BY_KIND
def test_edges_are_finite(name, kind):
  critic = build(name, kind)
  for i, v in enumerate(edges(kind)):
    found = float(program(critic)(v))
    assert np.isfinite(found)
    if i == 0 and critic.bound != "upper":  # a constant z says nothing
      assert abs(found) < 0.02


@pytest.mark.parametrize(
  ("name", "kind"),
  slow_unless(lambda name, kind: (kind == "discrete") == (name != "dcor"), PENALTIES),
)
def test_gradients_are_finite_and_right(name, kind):
  critic = build(name, kind, **({"bandwidth": 1.5} if name in ("hsic", "mmd") else {}))
  assert "penalty" in critic.uses

  @functools.partial(jax.jit, compiler_options=COMPILED)
  def at(z_ND, v):
    return jax.value_and_grad(lambda z: value(critic, v._replace(z_ND=z)))(z_ND)

  z, s = data(kind)
  for v in (*edges(kind), pack(np.round(z), s)):
    assert jnp.isfinite(at(v.z_ND, v)[1]).all()
  v = pack(z, s)
  slope = at(v.z_ND, v)[1]
  way = slope / jnp.linalg.norm(slope)
  step = 0.02
  rise = at(v.z_ND + step * way, v)[0] - at(v.z_ND - step * way, v)[0]
  assert float(rise) / (2 * step) == pytest.approx(float((slope * way).sum()), rel=0.03)


@pytest.mark.parametrize("name", ["ksg", "sliced", "cca"])
def test_classes_are_refused_where_they_are_not_read(name):
  with pytest.raises(BadInput, match=r"continuous or vector attributes, not discrete"):
    build(name, "discrete")


@pytest.mark.parametrize("name", ["ross", "bayes_error", "fano", "plugin", "mmd"])
def test_quantities_are_refused_where_they_are_not_read(name):
  with pytest.raises(BadInput, match="discrete attributes, not vector"):
    build(name, "vector")


def test_settings_that_do_not_exist_are_refused():
  for name, kind, setting in (
    ("hsic", "discrete", {"kernel": "cubic"}),
    ("ksg", "vector", {"variant": 3}),
    ("ksg", "vector", {"metric": "cosine"}),
    ("plugin", "discrete", {"correction": "nsb"}),
    ("sliced", "vector", {"method": "mine"}),
  ):
    with pytest.raises(BadInput, match="fit"):
      build(name, kind, **setting)


def test_kth_smallest_counts_ties_and_stops_at_what_there_is():
  d = jnp.array([3.0, 1.0, 1.0, jnp.inf, 2.0])
  found = [float(neighbours.kth_smallest(d, k)) for k in (1, 2, 3, 4, 9)]
  assert found == [1, 1, 2, 3, 3]
