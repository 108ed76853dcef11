"""Erasers: naive twins, controls by readers that are not ours, and one battery for all."""

import functools
import importlib
import inspect
import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from jaxtyping import install_import_hook
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

import ovl
import ovl.erasure
from ovl import chain as chains
from ovl.eraser import FittedEraser
from ovl.load import load, names
from ovl.types import Attribute, BadInput, Erasure, Model, Stage

_hook = install_import_hook(["ovl.erasers"], "beartype.beartype")

from ovl.erasers import _moments, _slopes, _softmax, rlace  # noqa: E402

KEY = jax.random.key(0)
METHODS = names("erasers")
ORACLES = {name for name in METHODS if load("erasers", name).oracle}
# Of these once is twice: the others depend on s, or on a kernel.
PROJECTIONS = ("inlp", "leace", "mean_projection", "rlace", "sal")
CLOSED = ("leace", "mean_projection", "oracle_leace", "quadratic_leace", "sal")
FEW = {"landmarks": 16, "steps": 10, "rounds": 5}


def settings(name):
  """Little work, where the factory has such a setting."""
  takes = inspect.signature(importlib.import_module(f"ovl.erasers.{name}").eraser)
  return {k: v for k, v in FEW.items() if k in takes.parameters}


COMPILED = {  # little, as each program runs a few times only
  "xla_backend_optimization_level": 0,
  "xla_llvm_disable_expensive_passes": True,
}
jitted = functools.partial(jax.jit, compiler_options=COMPILED)


@functools.cache
def compiled(name):
  """`(arrays, apply)` of a small eraser, jitted."""
  eraser = load("erasers", name, **settings(name))
  fit, apply = eraser.arrays, eraser.apply
  return jitted(lambda *rows: fit(*rows, KEY)), jitted(lambda a, z, s: apply(a, z, s))


@functools.cache
def planted(rows=1500, width=10, classes=3, shift=2.0, seed=0):
  """Classes that shift the mean of correlated columns; rows of one draw."""
  draw = np.random.default_rng(seed)
  s_N = draw.integers(0, classes, rows)
  z_ND = shift * np.eye(classes, width)[s_N] + draw.normal(size=(rows, width))
  mixing_DD = np.eye(width) + 0.2 * draw.normal(size=(width, width))
  return (z_ND @ mixing_DD + 3).astype(np.float32), s_N


def rows_of(z_ND, s_N, mask_N=None):
  """As the members of an `Eraser` take them."""
  hot_NK = np.eye(int(s_N.max()) + 1, dtype=np.float32)[s_N]
  mask_N = np.ones(len(s_N)) if mask_N is None else mask_N
  return tuple(jnp.asarray(x, jnp.float32) for x in (z_ND, hot_NK, mask_N))


def correlation(z_ND, s_NM, was_ND=None):
  """The largest covariance, in units of the columns (as they were), in float64."""
  was_ND = z_ND if was_ND is None else was_ND
  z, s = (np.asarray(x, float) - np.asarray(x, float).mean(0) for x in (z_ND, s_NM))
  scale = np.outer(np.std(was_ND, 0), s.std(0)) + 1e-30
  return np.abs(z.T @ s / len(z) / scale).max()


def reads(reader, z_ND, s_N, train):
  """Accuracy of a scikit-learn reader on the rows it was not trained on."""
  scaled = (z_ND - z_ND[:train].mean(0)) / (z_ND[:train].std(0) + 1e-3)
  return reader.fit(scaled[:train], s_N[:train]).score(scaled[train:], s_N[train:])


def chance(s_N, train):
  """The majority's share, and three standard errors."""
  share = (s_N[train:] == np.bincount(s_N[:train]).argmax()).mean()
  return share + 3 * np.sqrt(share * (1 - share) / (len(s_N) - train))


# ---- LEACE ---------------------------------------------------------------------------


def leace_twin(z_ND, s_NM):
  """As the paper has it, by an eigendecomposition in float64."""
  z, s = z_ND - z_ND.mean(0), s_NM - s_NM.mean(0)
  size, turn = np.linalg.eigh(z.T @ z / (len(z) - 1))
  live = size > 1e-10 * size[-1]
  root = np.sqrt(np.where(live, size, 0))
  inverse = np.where(live, 1 / np.where(live, root, 1), 0)
  W, W_inv = (turn * inverse) @ turn.T, (turn * root) @ turn.T
  u, found, _ = np.linalg.svd(W @ z.T @ s / (len(z) - 1), full_matrices=False)
  P = W_inv @ (u * (found > 1e-8)) @ (u * (found > 1e-8)).T @ W
  return z_ND - z @ P.T, P, found


def reference():
  s_N = np.arange(64) % 3
  z_ND = np.random.RandomState(0).randn(64, 4)
  z_ND[:, 0] += s_N
  return z_ND, s_N


def test_leace_is_the_reference():
  """Numbers of the public package and of an independent float64 computation."""
  z_ND, s_N = reference()
  out, P, found = leace_twin(z_ND, np.eye(3)[s_N])
  np.testing.assert_allclose(found, [0.232889446, 0.187251667, 0], atol=1e-8)
  np.testing.assert_allclose(np.trace(P), 2, atol=1e-9)
  ours = ovl.erase(z_ND, s_N)
  arrays = ours.erasure.arrays
  np.testing.assert_allclose(arrays["left_DR"] @ arrays["right_DR"].T, P, atol=2e-6)
  np.testing.assert_allclose(ours(z_ND), out, atol=5e-6)
  np.testing.assert_allclose(np.linalg.norm(ours(z_ND) - z_ND), 10.6245624031, 1e-6)
  row = [1.59985229, 0.74598043, 1.3932859, 0.79762557]
  np.testing.assert_allclose(ours(z_ND)[0], row, atol=2e-6)
  shrunk = ovl.erase(z_ND, s_N, shrinkage="linear")(z_ND)
  np.testing.assert_allclose(np.linalg.norm(shrunk - z_ND), 10.8022880592, 1e-6)
  row = [1.29432687, 0.71220401, 1.45755687, 0.8072079]
  np.testing.assert_allclose(shrunk[0], row, atol=2e-6)


def test_leace_erases_what_is_rare():
  """One row in a thousand, three standard deviations away."""
  draw = np.random.default_rng(0)
  s_N = (np.arange(200_000) % 1000 == 0).astype(int)
  z_ND = draw.normal(size=(200_000, 8)).astype(np.float32)
  z_ND[:, 0] += 3 * s_N
  gaps = []
  for z in (z_ND, ovl.erase(z_ND, s_N)(z_ND)):
    gaps.append(np.abs(z[s_N == 1].mean(0) - z[s_N == 0].mean(0)).max())
  assert gaps[0] > 2.5
  assert gaps[1] < 1e-4


def test_leace_makes_integer_classes_columns():
  """As quantities five codes span one direction, and four of them would stay."""
  z_ND, s_N = planted(classes=5)
  eraser = ovl.erase(z_ND, s_N)
  assert int((np.abs(eraser.erasure.arrays["left_DR"]).max(0) > 0).sum()) == 4
  assert correlation(eraser(z_ND), np.eye(5)[s_N]) < 1e-4
  as_a_quantity = ovl.erase(z_ND, s_N.astype(float))(z_ND)
  assert correlation(as_a_quantity, np.eye(5)[s_N]) < 1e-4  # whole-valued: still classes
  quantity = ovl.erase(z_ND, Attribute(s_N.astype(float), "continuous"))(z_ND)
  assert correlation(quantity, s_N[:, None]) < 1e-4
  assert correlation(quantity, np.eye(5)[s_N]) > 0.1


def test_leace_leaves_noise_in_where_asked_and_says_so():
  """The null control: of an independent attribute nothing is found."""
  z_ND, _ = planted(rows=4000)
  s_N = np.random.default_rng(1).integers(0, 3, 4000)
  with pytest.warns(UserWarning, match=r"leace: 2 directions .* stay"):
    nothing = ovl.erase(z_ND, s_N, tol=1.5)
  assert nothing.erasure.dropped == 2
  np.testing.assert_array_equal(nothing(z_ND), z_ND)
  # By default two directions of ten go: what the same rows could have told.
  every = ovl.erase(z_ND, s_N)
  white_ND = np.linalg.solve(np.linalg.cholesky(np.cov(z_ND.T)), (every(z_ND) - z_ND).T)
  np.testing.assert_allclose(np.square(white_ND).sum(0).mean(), 2, rtol=1e-3)
  planted_z, planted_s = planted(rows=4000, shift=1.0)
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    kept = ovl.erase(planted_z, planted_s, tol=1.5)
  assert correlation(kept(planted_z), np.eye(3)[planted_s]) < 1e-4
  with pytest.warns(UserWarning, match="sal: 1 directions"):
    ovl.erase(planted_z, planted_s, "sal", rank=1)


@pytest.mark.parametrize("shrinkage", ["none", "linear"])
def test_leace_is_exact_whatever_the_columns_look_like(shrinkage):
  """Dead, copied and scaled columns, far from 0, and fewer rows than columns."""
  z_ND, s_N = planted()
  bad = {
    "dead": np.concatenate([z_ND, np.full((1500, 3), 0.3)], 1),
    "copied": np.concatenate([z_ND, z_ND, z_ND @ np.ones((10, 4))], 1),
    "scaled": z_ND * 10.0 ** np.arange(-5, 5),
    "far": z_ND + 1000,
    "few": np.random.default_rng(0).normal(size=(300, 500)),
  }
  for name, z in bad.items():
    if (name, shrinkage) == ("scaled", "linear"):
      continue  # a sphere has one size
    z = z[:300] if name == "few" else z
    out = ovl.erase(z, s_N[: len(z)], shrinkage=shrinkage)(z)
    assert np.isfinite(out).all(), name
    live = z.std(0) > 1e-4
    assert correlation(out[:, live], np.eye(3)[s_N[: len(z)]]) < 5e-4, name


def test_leace_edits_less_than_projections_and_more_than_its_oracle():
  z_ND, s_N = planted()
  moved = {
    name: np.square(ovl.erase(z_ND, s_N, name)(z_ND, s_N) - z_ND).sum()
    for name in ("oracle_leace", "leace", "mean_projection", "inlp")
  }
  assert sorted(moved, key=moved.__getitem__) == list(moved)


# ---- twins ---------------------------------------------------------------------------


def projection_twin(z_ND, s_N):
  """Differences of class means, by QR, in standard deviations of the columns."""
  mean_D, sd_D = z_ND.mean(0), z_ND.std(0)
  x_ND = (z_ND - mean_D) / sd_D
  means = np.stack([x_ND[s_N == k].mean(0) for k in np.unique(s_N)])
  q, _ = np.linalg.qr((means[1:] - means[0]).T)
  return mean_D + sd_D * (x_ND - x_ND @ q @ q.T)


def oracle_twin(z_ND, s_N):
  """Every class moved to the common mean."""
  means = np.stack([z_ND[s_N == k].mean(0) for k in np.unique(s_N)])
  return z_ND - means[s_N] + z_ND.mean(0)


def quadratic_twin(z_ND, s_N):
  """Barycentre by the fixed point, with matrix square roots in float64."""
  mean_D, sd_D = z_ND.mean(0), z_ND.std(0)
  z_ND = (z_ND - mean_D) / sd_D

  def root(a):
    return scipy.linalg.sqrtm(a).real

  classes = np.unique(s_N)
  share = np.array([(s_N == k).mean() for k in classes])
  cov = [np.cov(z_ND[s_N == k].T, bias=True) for k in classes]
  centre = sum(w * c for w, c in zip(share, cov, strict=True))
  for _ in range(200):
    r = root(centre)
    middle = sum(w * root(r @ c @ r) for w, c in zip(share, cov, strict=True))
    centre = np.linalg.inv(r) @ middle @ middle @ np.linalg.inv(r)
  out = np.empty_like(z_ND)
  for k, c in zip(classes, cov, strict=True):
    r = root(c)
    move = np.linalg.inv(r) @ root(r @ centre @ r) @ np.linalg.inv(r)
    out[s_N == k] = (z_ND[s_N == k] - z_ND[s_N == k].mean(0)) @ move
  return mean_D + sd_D * out


TWINS = {
  "leace": lambda z, s: leace_twin(z, np.eye(s.max() + 1)[s])[0],
  "mean_projection": projection_twin,
  "sal": projection_twin,
  "oracle_leace": oracle_twin,
  "quadratic_leace": quadratic_twin,
}


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize("classes", [2, 3])
def test_closed_form_is_its_twin(name, classes):
  z_ND, s_N = planted(rows=600, width=6, classes=classes)
  s_N = np.where(np.arange(600) < 200, 0, s_N)  # classes of different sizes
  z_ND = z_ND * (1 + 0.5 * (s_N == 1))[:, None]
  twin = TWINS[name](z_ND.astype(float), s_N)
  tol = 2e-3 if name == "quadratic_leace" else 1e-4
  given = {"shrinkage": "none"} if name in ORACLES else {}
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # so few rows, and nothing shrunk: it writes
    eraser = ovl.erase(z_ND, s_N, name, **given)
  np.testing.assert_allclose(eraser(z_ND, s_N), twin, atol=tol)


def test_sal_ranks_by_correlation():
  z_ND, s_N = planted(classes=5)
  s_NM = (np.eye(5)[s_N] - np.eye(5)[s_N].mean(0)) / np.eye(5)[s_N].std(0)
  x_ND = (z_ND - z_ND.mean(0)) / z_ND.std(0)
  u, *_ = np.linalg.svd(np.asarray(x_ND, float).T @ s_NM)
  with pytest.warns(UserWarning, match="2 directions"):
    left_DR = ovl.erase(z_ND, s_N, "sal", rank=2).erasure.arrays["left_DR"]
  basis = np.asarray(left_DR)
  basis = basis / np.maximum(np.linalg.norm(basis / z_ND.std(0)[:, None], axis=0), 1e-9)
  basis = basis / z_ND.std(0)[:, None]
  np.testing.assert_allclose(basis @ basis.T, u[:, :2] @ u[:, :2].T, atol=1e-4)


def test_quadratic_leace_equalises_means_and_covariances():
  z_ND, s_N = planted()
  z_ND = z_ND * (1 + s_N)[:, None]
  with pytest.warns(UserWarning, match="it wrote"):
    eraser = ovl.erase(z_ND, s_N, "quadratic_leace", shrinkage="none")
  out = eraser(z_ND, s_N)
  np.testing.assert_allclose(out.mean(0), z_ND.mean(0), atol=1e-3)
  covs = np.stack([np.cov(out[s_N == k].T, bias=True) for k in range(3)])
  np.testing.assert_allclose(covs, np.broadcast_to(covs[0], covs.shape), 1e-2, 1e-2)


def test_the_fantope_is_what_it_should_be():
  a = np.random.default_rng(0).normal(size=(7, 7))
  p = np.asarray(rlace._fantope(jnp.asarray(a + a.T, jnp.float32), 3))
  size = np.linalg.eigvalsh(p)
  assert size.min() > -1e-5
  assert size.max() < 1 + 1e-5
  np.testing.assert_allclose(np.trace(p), 3, atol=1e-4)
  np.testing.assert_allclose(rlace._fantope(jnp.asarray(p), 3), p, atol=1e-5)


@pytest.mark.slow
def test_rlace_hides_more_than_sal_of_its_rank():
  z_ND, s_N = planted(rows=2000, width=12, classes=6)
  reader = LogisticRegression(max_iter=500)
  with pytest.warns(UserWarning, match="stay"):
    sal = ovl.erase(z_ND, s_N, "sal", rank=2)(z_ND)
  played = ovl.erase(z_ND, s_N, "rlace", rank=2)(z_ND)
  losses = [-reader.fit(z, s_N).predict_log_proba(z)[np.arange(2000), s_N].mean()
            for z in (sal, played)]  # fmt: skip
  assert losses[1] > losses[0] + 0.01


# ---- statistics ----------------------------------------------------------------------


def parts(number=3):
  z_ND, hot_NK, mask_N = rows_of(*planted(rows=1200))
  mask_N = mask_N.at[::7].set(0.0)
  return (z_ND, hot_NK, mask_N), [
    tuple(x[i::number] for x in (z_ND, hot_NK, mask_N)) for i in range(number)
  ]


def close(a, b, rtol=1e-4):
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    if not x.size:
      continue  # the moments of a class have no concept
    np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol * float(jnp.abs(x).max() + 1e-6))


@pytest.mark.parametrize("name", CLOSED)
def test_statistics_of_batches_merge_to_those_of_all_rows(name):
  eraser = load("erasers", name)
  every, batches = parts()
  statistics, solve = jitted(eraser.statistics), jitted(lambda m: eraser.solve(m, KEY))
  stream = functools.reduce(jitted(eraser.merge), (statistics(*b) for b in batches))
  close(stream, statistics(*every))
  edited = (
    jitted(eraser.apply)(solve(m), *every[:2]) for m in (stream, statistics(*every))
  )
  close(*edited, 1e-3)


def test_moments_sum_over_shards():
  every, batches = parts()
  stacked = tuple(jnp.stack(x) for x in zip(*batches, strict=True))

  def on_a_shard(*rows):
    return _moments.pool(_moments.moments(*rows), lambda x: jax.lax.psum(x, "data"))

  pooled = jitted(jax.vmap(on_a_shard, axis_name="data", out_axes=None))(*stacked)
  close(pooled, jitted(_moments.moments)(*every))


def test_moments_are_those_of_numpy():
  (z_ND, hot_NK, mask_N), _ = parts()
  m, live = _moments.moments(z_ND, hot_NK, mask_N), np.asarray(mask_N) > 0
  z, s = (np.asarray(x, float)[live] for x in (z_ND, hot_NK))
  joint = np.cov(np.concatenate([z, s], 1).T, bias=True) * live.sum()
  twin = (live.sum(), z.mean(0), s.mean(0))
  close(m, _moments.Moments(*twin, joint[:10, :10], joint[:10, 10:], joint[10:, 10:]))


@pytest.mark.parametrize(
  "name",
  [n if n in CLOSED else pytest.param(n, marks=pytest.mark.slow) for n in METHODS],
)
def test_taps_and_seeds_in_one_batch_are_a_loop(name):
  eraser = load("erasers", name, **settings(name))
  s_N = planted(rows=400)[1]
  z_LSND = jnp.stack([
    jnp.stack([rows_of(*planted(rows=400, seed=2 * tap + i))[0] for i in range(2)])
    for tap in range(2)
  ])  # fmt: skip
  _, hot_NK, mask_N = rows_of(z_LSND[0, 0], s_N)

  def one(z_ND):
    return eraser.apply(eraser.arrays(z_ND, hot_NK, mask_N, KEY), z_ND, hot_NK)

  batch, alone = jitted(jax.vmap(jax.vmap(one)))(z_LSND), jitted(one)
  for tap in range(2):
    for i in range(2):
      np.testing.assert_allclose(batch[tap, i], alone(z_LSND[tap, i]), atol=5e-3)


# ---- controls ------------------------------------------------------------------------

TRAIN = 1500


@pytest.mark.parametrize("name", METHODS)
def test_a_linear_reader_is_at_chance_after_and_not_before(name):
  """On rows the eraser saw, and on rows it did not."""
  z_ND, s_N = planted(rows=2500)
  eraser = ovl.erase(z_ND[:TRAIN], s_N[:TRAIN], name)
  out = eraser(z_ND, s_N)
  reader = LogisticRegression(max_iter=1000)
  assert reads(reader, z_ND, s_N, TRAIN) > 0.7
  # INLP ends where what a classifier gains could be noise: a little may be left.
  assert reads(reader, out, s_N, TRAIN) < chance(s_N, TRAIN) + 0.02 * (name == "inlp")
  if name != "inlp":  # it ends where what is left is noise
    seen = (out[:TRAIN] - out[:TRAIN].mean(0)) / (out[:TRAIN].std(0) + 1e-3)
    log_q = reader.fit(seen, s_N[:TRAIN]).predict_log_proba(seen)
    share = np.bincount(s_N[:TRAIN]) / TRAIN
    gain = -(share * np.log(share)).sum() + log_q[np.arange(TRAIN), s_N[:TRAIN]].mean()
    assert gain < 1e-4


def exclusive_or(rows=1600, shift=0.0):
  """Of the signs of two columns; `shift` makes a third tell it to linear readers."""
  draw = np.random.default_rng(3)
  side_N2 = draw.integers(0, 2, (rows, 2))
  s_N = side_N2[:, 0] ^ side_N2[:, 1]
  z_ND = 0.4 * draw.normal(size=(rows, 4))
  z_ND[:, :2] += 2 * side_N2 - 1
  z_ND[:, 2] += shift * s_N
  return z_ND.astype(np.float32), s_N


def spread(rows=1600, shift=0.0):
  """In the variance."""
  draw = np.random.default_rng(4)
  s_N = draw.integers(0, 2, rows)
  z_ND = draw.normal(size=(rows, 4)) * (1 + 2 * s_N)[:, None]
  z_ND[:, 2] += shift * s_N
  return z_ND.astype(np.float32), s_N


def stripes(rows=1600):
  """In bands of a column, finer than a kernel of the median distance sees."""
  draw = np.random.default_rng(5)
  z_ND = draw.uniform(-3, 3, (rows, 4)).astype(np.float32)
  s_N = (np.floor(z_ND[:, 0] * 1.5) % 2).astype(int)
  z_ND[:, 2] += 4 * s_N
  return z_ND, s_N


TREES = HistGradientBoostingClassifier(max_iter=30, max_leaf_nodes=15)


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"kernel", "quadratic_leace"}))
def test_what_a_linear_eraser_does_not_stop(name):
  for (z_ND, s_N), reader in (
    (exclusive_or(shift=4.0), TREES),
    (spread(shift=8.0), QuadraticDiscriminantAnalysis(reg_param=1e-3)),
  ):
    out = ovl.erase(z_ND[:1000], s_N[:1000], name)(z_ND, s_N)
    assert reads(reader, z_ND, s_N, 1000) > 0.8
    assert reads(reader, out, s_N, 1000) > 0.7


def test_quadratic_leace_stops_a_quadratic_reader_and_no_other():
  z_ND, s_N = spread()
  out = ovl.erase(z_ND[:1000], s_N[:1000], "quadratic_leace")(z_ND, s_N)
  assert reads(QuadraticDiscriminantAnalysis(reg_param=1e-3), out, s_N, 1000) < chance(
    s_N, 1000
  )
  z_ND, s_N = stripes()
  out = ovl.erase(z_ND[:1000], s_N[:1000], "quadratic_leace")(z_ND, s_N)
  assert reads(TREES, out, s_N, 1000) > 0.8


def test_kernel_stops_a_kernel_of_its_width_and_no_other():
  outs = []
  for z_ND, s_N in (exclusive_or(), stripes()):
    outs.append(ovl.erase(z_ND[:1000], s_N[:1000], "kernel")(z_ND))
  s_N = exclusive_or()[1]
  assert reads(SVC(), exclusive_or()[0], s_N, 1000) > 0.9
  assert reads(SVC(), outs[0], s_N, 1000) < 0.62
  assert reads(TREES, outs[1], stripes()[1], 1000) > 0.7


def test_inlp_says_where_it_did_not_end():
  """Two copies of unequal noise: the best reader is not along the means."""
  draw = np.random.default_rng(0)
  s_N, mean_KD = draw.integers(0, 5, 1000), 2 * draw.normal(size=(5, 6))
  noise = [scale * draw.normal(size=(1000, 6)) for scale in (0.3, 3.0)]
  z_ND = np.concatenate([mean_KD[s_N] + one for one in noise], 1).astype(np.float32)
  with pytest.warns(UserWarning, match="inlp: 1 directions"):
    ovl.erase(z_ND, s_N, "inlp", rounds=1, steps=30)


# ---- one battery for all -------------------------------------------------------------


@pytest.fixture(params=METHODS, scope="module")
def name(request):
  return request.param


@pytest.fixture(scope="module")
def eraser(name):
  return load("erasers", name, **settings(name))


def test_eraser_declares_what_it_is(eraser):
  assert set(eraser.attribute) <= {"discrete", "continuous", "vector"}
  assert "discrete" in eraser.attribute
  assert (eraser.statistics is None) == (eraser.merge is None)


def test_eraser_jit_is_no_jit_and_traces_once(name, eraser):
  rows, (fit, apply) = rows_of(*planted(rows=300)), compiled(name)
  arrays = fit(*rows)
  out = apply(arrays, *rows[:2])
  fit(rows[0] + 1, *rows[1:])
  assert fit._cache_size() == apply._cache_size() == 1
  assert out.dtype == jnp.float32
  assert out.shape == rows[0].shape
  np.testing.assert_allclose(eraser.apply(arrays, *rows[:2]), out, atol=2e-4)
  if eraser.statistics is not None:  # those that iterate compile their loops either way
    close(eraser.arrays(*rows, KEY), arrays, 1e-3)


def test_eraser_is_finite_where_little_varies(name):
  z_ND, s_N = planted(rows=300)
  fit, apply = compiled(name)
  dead, constant = z_ND * (np.arange(10) < 5), np.full_like(z_ND, 0.3)
  for bad in (dead, constant):
    rows = rows_of(bad, s_N)
    arrays = fit(*rows)
    out = apply(arrays, *rows[:2])
    assert all(jnp.isfinite(x).all() for x in jax.tree.leaves((arrays, out)))
    np.testing.assert_allclose(out[:, 5:], bad[:, 5:], atol=1e-4)


def test_eraser_masked_rows_change_nothing(name):
  z_ND, s_N = planted(rows=300)
  mask_N = (np.arange(300) >= 40).astype(np.float32)
  fit, _ = compiled(name)
  arrays = fit(*rows_of(z_ND, s_N, mask_N))
  other = np.where(mask_N[:, None] > 0, z_ND, np.nan)
  junk = np.where(mask_N > 0, s_N, 2)
  again = fit(*rows_of(other, junk, mask_N))
  for key in arrays:
    np.testing.assert_allclose(arrays[key], again[key], atol=1e-5, err_msg=key)


def test_eraser_twice_is_once(name):
  if name not in PROJECTIONS:
    pytest.skip("its edit depends on s, or on a kernel")
  z_ND, hot_NK, mask_N = rows_of(*planted(rows=300))
  fit, apply = compiled(name)
  arrays = fit(z_ND, hot_NK, mask_N)
  once = apply(arrays, z_ND, hot_NK)
  np.testing.assert_allclose(apply(arrays, once, hot_NK), once, atol=1e-4)


def test_eraser_takes_several_attributes_quantities_and_missing_values(name, eraser):
  z_ND, s_N = planted(rows=600)
  with_holes = np.where(np.arange(600) < 50, np.nan, s_N)
  given = {"class": with_holes, "sign": np.where(z_ND[:, 0] > 3, "yes", "no")}
  if not eraser.several:
    with pytest.raises(BadInput, match="erases one attribute; s has class, sign"):
      ovl.erase(z_ND, given, name, **settings(name))
    return
  if "continuous" in eraser.attribute:
    given["first"] = z_ND[:, 1].astype(float)
    given["rest"] = z_ND[:, 2:4]
  out = ovl.erase(z_ND, given, name, **settings(name))
  known = slice(50, None)
  now = {k: x[known] for k, x in given.items()}
  seen = out(z_ND[known], now)
  if name != "inlp":
    columns = [np.eye(3)[s_N[known]], (now["sign"] == "yes")[:, None]]
    columns += [now["first"][:, None], now["rest"]] if "first" in now else []
    assert correlation(seen, np.concatenate(columns, 1), z_ND) < 1e-4


def test_eraser_of_several_models_and_back_from_a_file(name, tmp_path):
  z_SND = np.stack([planted(rows=300, seed=i)[0] for i in range(2)])
  s_N = planted(rows=300)[1].astype(str)
  fitted = ovl.erase(z_SND, s_N, name, **settings(name))
  out = fitted(z_SND, s_N)
  assert isinstance(out, np.ndarray)
  assert out.dtype == np.float32
  assert isinstance(fitted(jnp.asarray(z_SND), s_N), jax.Array)
  np.testing.assert_allclose(fitted[1](z_SND[1], s_N), out[1], atol=1e-3)
  fitted.save(tmp_path / "e.npz")
  back = FittedEraser.load(tmp_path / "e.npz")
  np.testing.assert_array_equal(back(z_SND, s_N), out)
  assert (back.method, back.concepts) == (name, fitted.concepts)
  with np.load(tmp_path / "e.npz", allow_pickle=False) as file:
    assert json.loads(str(file["header"]))["method"] == name


# ---- bad input -----------------------------------------------------------------------

Z, S = planted(rows=300)


@pytest.mark.parametrize(
  ("z", "s", "settings", "said"),
  [
    (Z, S, {"method": "leac"}, "did you mean 'leace'"),
    (Z, S, {"rnk": 1}, "no setting 'rnk'"),
    (Z, S, {"rank": 0}, "rank=0"),
    (Z, S, {"shrinkage": "much"}, "shrinkage='much'"),
    (Z, S[:-1], {}, "299 rows and z 300"),
    (Z[:, 0], S, {}, "expected [N, D]"),
    (np.where(Z[0, 0] == Z, np.inf, Z), S, {}, "1 values that are not finite"),
    (Z.astype(str), S, {}, "expected numbers"),
    (Z, np.ones(300, int), {}, "s is constant"),
    (Z, [f"name {i}" for i in range(300)], {}, "an identity is no attribute"),
    (Z[:6], S[:6], {}, "6 rows have a known s: too few"),
    (Z, [None] * 300, {}, "no known value"),
    (Z, Z[:, 0], {"method": "inlp"}, "takes discrete attributes; s is continuous"),
    (Z, S[:, None] + np.arange(3), {}, "3 columns of integers, which are codes"),
    (Z, {}, {}, "s is empty"),
  ],
)
def test_bad_input_is_one_readable_line(z, s, settings, said):
  with pytest.raises(BadInput) as error:
    ovl.erase(z, s, **settings)
  assert said in str(error.value)
  assert "\n" not in str(error.value)


def test_a_fitted_eraser_refuses_what_it_was_not_fitted_for():
  plain, oracle = ovl.erase(Z, S), ovl.erase(Z, S, "oracle_leace")
  with pytest.raises(BadInput, match=r"\[300, 3\]; this eraser takes \[N, 10\]"):
    plain(Z[:, :3])
  with pytest.raises(BadInput, match="one model"):
    plain[0]
  with pytest.raises(BadInput, match="needs the attribute"):
    oracle(Z)
  with pytest.raises(BadInput, match="class '7', not seen before"):
    oracle(Z, S + 7 * (S == 2) - 2 * (S == 2))
  with pytest.raises(BadInput, match="missing in 1 rows"):
    oracle(Z, np.where(np.arange(300) == 0, np.nan, S))
  # The codes of fewer classes are not mistaken for others.
  np.testing.assert_allclose(oracle(Z[S > 0], S[S > 0]), oracle(Z, S)[S > 0], atol=1e-6)


def test_a_bad_file_is_one_readable_line(tmp_path):
  path = tmp_path / "e.npz"
  ovl.erase(Z, S).save(path)
  with np.load(path) as file:
    good = dict(file)
  header = json.loads(str(good["header"]))

  def said(**change):
    with open(path, "wb") as file:
      np.savez(file, **(good | change))
    with pytest.raises(BadInput) as error:
      FittedEraser.load(path)
    assert "\n" not in str(error.value)
    return str(error.value)

  assert "format 9" in said(header=json.dumps(header | {"format": 9}))
  assert "nope" in said(header=json.dumps(header | {"method": "nope"}))
  assert "not finite" in said(mean_D=good["mean_D"] * np.nan)
  assert "no eraser" in said(left_DR=good["left_DR"][:4])
  assert "no eraser" in said(header="{")
  assert "allow_pickle" in said(mean_D=np.array([{}], object))
  path.write_text("text")
  with pytest.raises(BadInput, match="no eraser"):
    FittedEraser.load(path)
  with pytest.raises(BadInput, match="no such file"):
    FittedEraser.load(tmp_path / "none.npz")


def test_an_eraser_from_outside_the_package():
  own = load("erasers", "sal")._replace(merge=None)
  fitted = ovl.erase(Z, S, own)
  np.testing.assert_array_equal(fitted(Z), ovl.erase(Z, S, "sal")(Z))
  with pytest.raises(BadInput, match="without a name"):
    fitted.save("nowhere.npz")


# ---- inside a network ----------------------------------------------------------------


def chain():
  """Two layers; the first has a map of 2 x 5 values."""

  def hidden(params, state, h_B, *, key=None, train=False):
    return jax.nn.relu(h_B @ params["in"]).reshape(-1, 2, 5), (*state, "hidden")

  def logits(params, state, h_B, *, key=None, train=False):
    return h_B.reshape(-1, 10) @ params["out"], (*state, "logits")

  def softmax(params, state, h_B, *, key=None, train=False):
    return jax.nn.softmax(h_B), state

  def init(key, x_B):
    return {"in": jax.random.normal(key, (10, 10)), "out": jnp.ones((10, 3))}, ()

  pairs = {"hidden": hidden, "logits": logits, "softmax": softmax}
  return Model(init, lambda *a, **k: None, tuple(Stage(*p) for p in pairs.items()))


def test_inside_a_network_edits_the_tap_and_what_follows():
  model = chain()
  params, state = model.init(KEY, Z)
  whole = ovl.erasure.inside(
    model, "hidden", Erasure({"mean_D": jnp.zeros(10)}, lambda a, z, s: z)
  )
  _, taps, _ = whole.apply(params, state, Z)
  eraser = ovl.erase(np.asarray(taps["hidden"]).reshape(300, 10), S)
  edited = eraser.inside(model, "hidden")
  logits, after, state = edited.apply(params, (), Z)
  flat = eraser(np.asarray(taps["hidden"]).reshape(300, 10))
  np.testing.assert_allclose(after["hidden"], flat.reshape(300, 2, 5), atol=1e-5)
  np.testing.assert_allclose(logits, flat @ np.ones((10, 3)), atol=1e-4)
  assert (
    correlation(logits, np.eye(3)[S]) < 1e-3 < correlation(taps["logits"], np.eye(3)[S])
  )
  assert list(after) == ["hidden", "logits", "softmax"]
  assert state == ("hidden", "logits")
  traced = jax.jit(lambda x: edited.apply(params, (), x)[0])(Z)
  np.testing.assert_allclose(traced, logits, atol=1e-4)


def test_rows_edited_outside_go_on_as_inside():
  """What a study does with the rows of all its models at once."""
  model, z_SND = chain(), np.stack([planted(rows=300, seed=i)[0] for i in range(2)])
  params_S, _ = jax.vmap(lambda key: model.init(key, Z))(jax.random.split(KEY, 2))
  hidden_SND = jax.nn.relu(z_SND @ params_S["in"])
  fitted = ovl.erase(np.asarray(hidden_SND), S)
  edited_SND = ovl.erasure.on_host(fitted.erasure, np.asarray(hidden_SND), None)
  edited_SND = edited_SND.astype(np.float32).reshape(2, 300, 2, 5)

  def rest(params, h_N):
    taps, state = chains.resume(model.stages, "hidden", params, (), h_N)
    assert list(taps) == ["hidden", "logits", "softmax"]
    assert state == ("logits",)
    return taps

  taps = jax.vmap(rest)(params_S, edited_SND)
  for i in range(2):
    params = jax.tree.map(lambda x, i=i: x[i], params_S)
    _, after, _ = fitted[i].inside(model, "hidden").apply(params, (), z_SND[i])
    for name, z in after.items():
      np.testing.assert_allclose(taps[name][i], z, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
  ("model", "tap", "eraser", "said"),
  [
    (Model(None, None), "hidden", ovl.erase(Z, S), "no chain"),
    (chain(), "hiden", ovl.erase(Z, S), "did you mean 'hidden'"),
    (chain(), "hidden", ovl.erase(Z, S, "oracle_leace"), "oracle"),
    (chain(), "hidden", ovl.erase(Z[None], S), "pick one"),
    (chain(), "hidden", ovl.erase(Z[:, :3], S), "has 10 columns, the eraser 3"),
  ],
)
def test_inside_refuses(model, tap, eraser, said):
  with pytest.raises(BadInput, match=said):
    eraser.inside(model, tap).apply(*chain().init(KEY, Z), Z)


# ---- what an oracle writes -----------------------------------------------------------


def coin(rows, width, classes, seed=0, sparse=False):
  """Rows that know nothing of a coin; normal, or what a ReLU leaves of them."""
  draw = np.random.default_rng(seed)
  z_ND = draw.normal(size=(rows, width))
  z_ND = np.maximum(z_ND - 1, 0) if sparse else z_ND
  return z_ND, draw.integers(0, classes, rows)


def gaussian_gain(z_ND, s_N, train):
  """Nats that a fresh quadratic reader gains over the shares of the classes."""
  reader = QuadraticDiscriminantAnalysis(reg_param=0.1).fit(z_ND[:train], s_N[:train])
  log_q = np.maximum(reader.predict_log_proba(z_ND[train:]), -12)
  share = np.bincount(s_N[train:]) / len(s_N[train:])
  return log_q[np.arange(len(log_q)), s_N[train:]].mean() - share @ np.log(share)


@pytest.mark.parametrize("name", sorted(ORACLES))
@pytest.mark.parametrize(
  ("rows", "width", "classes", "sparse"),
  [(100, 24, 2, False), (700, 32, 10, False), (700, 32, 10, True)],
)
def test_an_oracle_does_not_write_what_it_does_not_know(name, rows, width, classes, sparse):
  """The null: few rows, many columns; a fresh reader of other rows after the edit."""
  other = coin(4000, width, classes, 1, sparse)
  gains = {}
  for shrinkage in ("noise", "none"):
    with warnings.catch_warnings(record=True) as said:
      warnings.simplefilter("always")
      fitted = ovl.erase(*coin(rows, width, classes, 0, sparse), name, shrinkage=shrinkage)
    gains[shrinkage] = gaussian_gain(fitted(*other), other[1], 2000)
    wrote = any("it wrote" in str(w.message) for w in said)
    assert wrote == (shrinkage == "none"), gains
  assert gains["noise"] < 0.02
  assert gains["none"] > gains["noise"] + 0.05


@pytest.mark.parametrize("name", sorted(ORACLES))
def test_shrunk_moments_still_erase_what_is_there(name):
  """The positive control: means of planted classes, and of a quadratic one variances."""
  z_ND, s_N = planted(rows=3000, shift=1.0)
  z_ND = z_ND * (1 + (s_N == 1))[:, None] if name == "quadratic_leace" else z_ND
  out = ovl.erase(z_ND[:1500], s_N[:1500], name)(z_ND, s_N)
  gain = gaussian_gain(z_ND, s_N, 2000)
  assert gain > 0.15
  assert gaussian_gain(out, s_N, 2000) < 0.15 * gain


def test_what_is_written_has_its_known_value():
  """Slopes of n / 2 rows of noise: each value moves the other rows by their mean error."""
  z_ND, s_N = coin(400, 8, 2)
  z, hot = z_ND[None].astype(np.float32), np.eye(2, dtype=np.float32)[s_N][None]
  eraser = load("erasers", "oracle_leace", shrinkage="none")
  draws = [
    ovl.erasure.written(eraser, (z, hot, np.ones((1, 400), np.float32)), seed)[0]
    for seed in range(20)
  ]
  # log(1 + d'd / 4) / 2 of two classes apart by d, E d'd = 4 D / n of whitened rows.
  np.testing.assert_allclose(np.mean(draws), 8 / 200 / 2, rtol=0.25)
  idle = load("erasers", "oracle_leace")
  assert ovl.erasure.written(idle, (z, hot, np.ones((1, 400), np.float32)), 0)[0] < 1e-5


def test_copies_fall_into_one_fold_wherever_they_lie():
  z_ND = jnp.asarray(np.random.default_rng(0).normal(size=(2000, 5)), jnp.float32)
  at_N = _slopes.fold(z_ND)
  order_N = np.random.default_rng(1).permutation(2000)
  np.testing.assert_array_equal(_slopes.fold(z_ND[order_N]), at_N[order_N])
  assert 900 < int(at_N.sum()) < 1100


def test_a_covariance_of_few_rows_is_refused_unless_it_is_shrunk():
  z_ND, s_N = coin(60, 40, 2)
  with pytest.raises(BadInput, match=r"has \d+ rows for 40 columns.*shrinkage='noise'"):
    ovl.erase(z_ND, s_N, "quadratic_leace", shrinkage="none")
  out = ovl.erase(z_ND, s_N, "quadratic_leace")(z_ND, s_N)
  assert np.linalg.norm(out, axis=1).max() < 2 * np.linalg.norm(z_ND, axis=1).max()


# ---- scales --------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"kernel", "rlace"}))
def test_units_and_offsets_change_nothing(name):
  """Columns of 1e-6 to 1e6, ten million times that from 0, as float64 holds them."""
  z_ND, s_N = planted(rows=600)
  z_ND = z_ND.astype(float)
  size_D = np.logspace(-6, 6, 10)
  plain = ovl.erase(z_ND, s_N, name)(z_ND, s_N)
  assert plain.dtype == np.float64
  scaled = z_ND * size_D + 1e7 * size_D
  out = (ovl.erase(scaled, s_N, name)(scaled, s_N) - 1e7 * size_D) / size_D
  np.testing.assert_allclose(out, plain, atol=5e-3 * z_ND.std())


def test_an_eraser_that_removes_nothing_says_so():
  z_ND, s_N = planted(rows=600)
  blind = load("erasers", "leace")
  idle = blind._replace(
    solve=lambda m, key: {
      k: x * 0 if k != "mean_D" else x for k, x in blind.solve(m, key).items()
    }
  )
  with pytest.warns(UserWarning, match=r"removed nothing, and a linear reader .* nats"):
    ovl.erase(z_ND, s_N, idle)
  with warnings.catch_warnings():
    warnings.simplefilter("error")  # nothing to read: nothing to say
    ovl.erase(z_ND, np.random.default_rng(7).integers(0, 3, 600), idle)


def test_what_is_not_finite_is_an_error():
  broken = load("erasers", "leace")._replace(
    solve=lambda m, key: {"mean_D": m.mean_D * jnp.nan, "removed": jnp.int32(1),
                          "dropped": jnp.int32(0)}
  )  # fmt: skip
  with pytest.raises(FloatingPointError, match="mean_D is not finite"):
    ovl.erase(Z, S, broken)


@pytest.mark.parametrize("width", [64, 384])
def test_inlp_reads_against_the_closed_form_of_a_constant(width):
  draw = np.random.default_rng(0)
  s_N = draw.integers(0, 2, 2400)
  z_ND = draw.normal(size=(2400, width)).astype(np.float32)
  z_ND[:, 0] += 3 * s_N
  eraser = ovl.erase(z_ND, s_N, "inlp")
  assert eraser.erasure.removed >= 1
  assert abs(np.corrcoef(eraser(z_ND)[:, 0], s_N)[0, 1]) < 0.3


def test_tokens_are_rows_of_their_own():
  eraser = ovl.erase(Z, S)
  np.testing.assert_allclose(
    eraser(Z[:240].reshape(8, 30, 10)).reshape(240, 10), eraser(Z[:240]), atol=1e-6
  )
  with pytest.raises(BadInput, match=r"of tokens give z.reshape\(-1, 10\)"):
    ovl.erase(Z[:240].reshape(8, 30, 10), S[:8])


def test_a_kind_is_what_a_person_says():
  """Twelve codes are classes unless they are said to be a quantity; a typo is named."""
  z_ND, s_N = planted(rows=600, classes=12, width=14)
  directions = {
    kind: ovl.erase(z_ND, s_N, kind=kind).erasure.removed
    for kind in (None, "discrete", "continuous")
  }
  assert directions == {None: 11, "discrete": 11, "continuous": 1}
  assert ovl.erase(z_ND, {"a": s_N}, kind={"a": "continuous"}).erasure.removed == 1
  with pytest.raises(BadInput, match="kind names 'b', which s has not: a"):
    ovl.erase(z_ND, {"a": s_N}, kind={"b": "continuous"})
  with pytest.raises(BadInput, match="masked entries"):
    ovl.erase(np.ma.masked_greater(z_ND, 3), s_N)


@pytest.mark.parametrize("rows", [(400, 64, 2), (2400, 256, 2), (2400, 384, 10)])
def test_the_constant_reader_is_what_it_is_by_hand(rows):
  """Compiled, literal zeros lose the intercept of wide rows: docs/upstream.md."""
  N, D, K = rows
  draw = np.random.default_rng(0)
  s_N = draw.integers(0, K, N)
  given = rows_of(draw.normal(size=(N, D)), s_N)
  read = jax.jit(lambda *r: _softmax.constant(_softmax.rows(*r, jnp.zeros(D))))(*given)
  share_K = np.bincount(s_N) / N
  assert float(read) == pytest.approx(-(share_K * np.log(share_K)).sum(), abs=5e-6)


def test_a_class_of_one_row_throws_no_row_away(name):
  z_ND, s_N = planted(rows=300, classes=2)
  s_N = np.where(np.arange(300) == 7, 2, s_N)
  out = ovl.erase(z_ND, s_N, name, **settings(name))(z_ND, s_N)
  assert np.isfinite(out).all()
  away = np.linalg.norm(out - z_ND.mean(0), axis=1).max()
  assert away < 2 * np.linalg.norm(z_ND - z_ND.mean(0), axis=1).max()
