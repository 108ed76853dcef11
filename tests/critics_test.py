"""Learned critics: naive twins of what they compute, known answers, controls."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import log_softmax, logsumexp
from sklearn.discriminant_analysis import (
  LinearDiscriminantAnalysis,
  QuadraticDiscriminantAnalysis,
)

import ovl.mi
from ovl import load
from ovl.critics import _elliptical
from ovl.grid.train import Schedule, train
from ovl.types import BadInput, View

KEY = jax.random.key(0)
RATIOS = ("dv", "infonce", "js", "mine", "nwj", "smile")
R = 3


def pack(z, s, hidden=0):
  """A view whose first rows are masked."""
  z, s = np.asarray(z, np.float32), np.asarray(s)
  z = z[:, None] if z.ndim == 1 else z
  K = s.max() + 1 if s.dtype.kind == "i" else (s.shape[1] if s.ndim == 2 else 2)
  s = s.astype(np.int32 if s.dtype.kind == "i" else np.float32)
  mask = (np.arange(len(z)) >= hidden).astype(np.float32)
  return View(*map(jnp.asarray, (z, s, mask, np.ones(z.shape[1], bool), np.ones(K, bool))))


def small(kind, N=20, seed=0, hidden=2):
  gen = np.random.default_rng(seed)
  z = gen.normal(size=(N, 3))
  s = gen.integers(0, 3, N) if kind == "discrete" else gen.normal(size=(N, 2))
  return pack(z, s, hidden)


def net(name, kind, **settings):
  few = {} if kind == "discrete" else {"negatives": R}
  return load("critics", name, attribute=kind, hidden=(4, 4), **few, **settings)


def shaken(critic, v, size=0.5):
  """Parameters away from where training starts."""
  leaves, tree = jax.tree.flatten(critic.init(KEY, v))
  keys = jax.random.split(KEY, len(leaves))
  moved = [
    x + size * jax.random.normal(k, jnp.shape(x)) for x, k in zip(leaves, keys, strict=True)
  ]
  return jax.tree.unflatten(tree, moved)


# ---- objectives ----------------------------------------------------------------------


def pairs(critic, params, v):
  """f of every row's own attribute, of its counterparts, and their probabilities."""
  keep = np.flatnonzero(np.asarray(v.mask_N))
  if critic.logits is not None:
    out, s = np.asarray(critic.logits(params, v), float)[keep], np.asarray(v.s_N)[keep]
    count_K = np.bincount(s, minlength=out.shape[1]) + 1e-3
    f_NK = out - np.log(count_K / count_K.sum())
    weight_NK = np.broadcast_to(count_K / count_K.sum(), f_NK.shape)
    return f_NK[np.arange(len(s)), s], f_NK, weight_NK
  N = len(v.mask_N)
  rolled = [critic.score(params, v._replace(s_N=jnp.roll(v.s_N, r, 0))) for r in range(N)]
  joint, others, weights = [], [], []
  for i in keep:
    there = [r for r in range(1, R + 1) if v.mask_N[(i - r) % N]]
    if there:
      joint.append(float(rolled[0][i]))
      others.append([float(rolled[r][i]) for r in range(1, R + 1)])
      weights.append([(r in there) / len(there) for r in range(1, R + 1)])
  return np.array(joint), np.array(others), np.array(weights)


def softplus(x):
  return np.logaddexp(0, x)


def twins(joint, others, weight, kind, clip=0.4):
  """name -> (loss, value)."""
  inside = np.log(np.maximum((weight * np.exp(others)).sum(1), 1e-300))
  dv = joint.mean() - np.log(np.exp(inside).mean())
  nwj = 1 + joint.mean() - np.exp(inside).mean()
  line_up = inside
  if kind != "discrete":
    line_up = np.log((R * np.exp(inside) + np.exp(joint)) / (R + 1))
  nce = (joint - line_up).mean()
  gan = softplus(-joint).mean() + (weight * softplus(others)).sum(1).mean()
  cut = (weight * np.clip(np.exp(others), np.exp(-clip), np.exp(clip))).sum(1).mean()
  return {
    "dv": (-dv, dv),
    "mine": (-dv, dv),
    "nwj": (-nwj, nwj),
    "infonce": (-nce, nce),
    "js": (gan, dv),
    "smile": (gan, joint.mean() - np.log(cut)),
  }


@pytest.mark.parametrize("kind", ["discrete", "vector"])
@pytest.mark.parametrize("name", RATIOS)
def test_objectives_are_their_naive_twins(name, kind):
  critic = net(name, kind, **({"clip": 0.4} if name == "smile" else {}))
  v = small(kind)
  params = shaken(critic, v)
  loss, value = twins(*pairs(critic, params, v), kind)[name]
  assert float(critic.value(params, v, KEY)) == pytest.approx(value, abs=2e-5)
  assert float(critic.loss(params, v, KEY)) == pytest.approx(loss, abs=2e-5)


def test_of_the_same_logits_nwj_is_below_dv_and_dv_below_barber_agakov():
  v = small("discrete", 60)
  params = shaken(net("dv", "discrete"), v)
  mlp = load("critics", "mlp", attribute="discrete", hidden=(4, 4))
  nwj, dv, nce, ba = (
    float(c.value(params, v, KEY))
    for c in (*(net(n, "discrete") for n in ("nwj", "dv", "infonce")), mlp)
  )
  assert nwj < dv - 1e-4 < ba - 2e-4
  assert nce == pytest.approx(ba, abs=1e-4)


def test_mine_follows_the_gradient_with_the_moving_average():
  critic, v = net("mine", "discrete"), small("discrete", hidden=0)
  params, log_m = shaken(critic, v)[0], jnp.float32(0.7)
  s, N = np.asarray(v.s_N), len(v.s_N)
  logits = lambda p: critic.logits((p, log_m), v)  # noqa: E731
  _, f_NK, p_NK = pairs(critic, (params, log_m), v)
  mass_NK = p_NK * np.exp(f_NK) / N
  followed, of_average = jax.grad(critic.loss)((params, log_m), v, KEY)
  assert float(of_average) == 0
  slopes = jax.tree.leaves(jax.jacrev(logits)(params))
  for ours, slope in zip(jax.tree.leaves(followed), slopes, strict=True):
    slope = np.asarray(slope, float)
    joint = slope[np.arange(N), s].mean(0)
    product = np.tensordot(mass_NK, slope, 2) / np.exp(0.7)
    np.testing.assert_allclose(ours, product - joint, atol=2e-5)
  kept = critic.refresh((params, log_m), v, KEY)
  average = np.log(0.9 * np.exp(0.7) + 0.1 * mass_NK.sum())
  assert float(kept[1]) == pytest.approx(average, abs=1e-5)
  jax.tree.map(np.testing.assert_array_equal, kept[0], params)


def test_infonce_never_exceeds_the_logarithm_of_its_line_up():
  critic, x = net("infonce", "vector"), np.linspace(-2, 2, 40)
  v = pack(x, np.stack([x, x], 1))
  for size in (1, 30):
    assert float(critic.value(shaken(critic, v, size), v, KEY)) <= np.log(R + 1) + 1e-5
  params = {
    "z": [(jnp.array([[9.0, -9.0]]), jnp.zeros(2))],
    "s": [(jnp.array([[-9.0, 9.0], [0.0, 0.0]]), jnp.zeros(2))],
    "joined": [(jnp.full((2, 1), -99.0), jnp.zeros(1))],
  }  # -|z - s|
  assert float(critic.value(params, v, KEY)) == pytest.approx(np.log(R + 1), abs=1e-4)


# ---- penalties -----------------------------------------------------------------------


def published():
  i, j = np.arange(8)[:, None], np.arange(3)
  return pack(np.sin(1 + 1.7 * i + 0.9 * j), np.array([0, 1, 2, 0, 1, 2, 0, 1]))


def test_club_and_irene_have_the_published_numbers():
  v, identity = published(), [(jnp.eye(3), jnp.zeros(3))]
  irene = load("critics", "irene", attribute="discrete")
  assert float(irene.value(identity, v, KEY)) == pytest.approx(0.0302793367924, abs=1e-6)
  club = load("critics", "club", attribute="discrete", hidden=())
  assert float(club.value(identity, v, KEY)) == pytest.approx(-0.0868409084885, abs=1e-6)


def test_club_is_the_double_loop_over_all_pairs():
  v = small("discrete")
  club = load("critics", "club", attribute="discrete", hidden=(4,))
  params = shaken(club, v)
  log_q = log_softmax(np.asarray(club.logits(params, v), float), 1)[2:]
  s = np.asarray(v.s_N)[2:]
  all_pairs = [[q[k] for k in s] for q in log_q]
  twin = np.diag(all_pairs).mean() - np.mean(all_pairs)
  assert float(club.value(params, v, KEY)) == pytest.approx(twin, abs=1e-5)

  v = small("vector")
  club = load("critics", "club", attribute="vector", hidden=())
  ((w, b),) = params = shaken(club, v)
  out, s = np.asarray(v.z_ND @ w + b, float)[2:], np.asarray(v.s_N)[2:]
  normal = [stats.norm(o[:2], np.exp(o[2:])) for o in out]
  all_pairs = [[q.logpdf(t).sum() for t in s] for q in normal]
  twin = np.diag(all_pairs).mean() - np.mean(all_pairs)
  assert float(club.value(params, v, KEY)) == pytest.approx(twin, abs=1e-4)


def test_club_of_a_normal_pair_is_rho2_over_one_minus_rho2_and_is_never_reported():
  x, rho = np.random.default_rng(0).normal(size=(200, 2)), 0.75
  x = np.linalg.qr(x - x.mean(0))[0] * np.sqrt(200)  # moments exactly 0 and 1
  v = pack(x[:, 0], rho * x[:, 0] + np.sqrt(1 - rho**2) * x[:, 1])
  club = load("critics", "club", attribute="continuous", hidden=())
  truth = [(jnp.array([[rho, 0.0]]), jnp.array([0.0, 0.5 * np.log(1 - rho**2)]))]
  said = float(club.value(truth, v, KEY))
  assert said == pytest.approx(rho**2 / (1 - rho**2), abs=1e-4)
  assert club.uses == {"penalty"}
  with pytest.raises(BadInput, match="penalty"):
    ovl.mi.mutual_information(x[:, 0], np.arange(200) % 2, method="club")


def test_irene_of_a_confident_head_invents_information_where_there_is_none():
  gen, K, N = np.random.default_rng(0), 4, 200
  irene = load("critics", "irene", attribute="discrete")
  v = pack(np.eye(K)[gen.integers(0, K, N)], gen.integers(0, K, N))
  sure = [(50 * jnp.eye(K), jnp.zeros(K))]
  many = jnp.asarray(gen.integers(0, K, (200, N)), jnp.int32)
  null = jax.vmap(lambda s: irene.value(sure, v._replace(s_N=s), KEY))(many).mean()
  assert float(null) == pytest.approx((K - 1) ** 2 / (2 * N), rel=0.15)


# ---- normal classes and copulas ------------------------------------------------------


def scales(N=1500, seed=0, D=4):
  """Classes with the same mean: unit normal, and twice as wide."""
  gen = np.random.default_rng(seed)
  s = gen.integers(0, 2, N)
  return gen.normal(size=(N, D)) * (1 + s[:, None]), s


def scales_truth():
  z, s = scales(200_000)
  log_p = np.stack([stats.norm(0, c).logpdf(z).sum(1) for c in (1, 2)], 1)
  return float(np.mean(log_p[np.arange(len(s)), s] - logsumexp(log_p, 1) + np.log(2)))


def test_quadratic_is_scikit_learn_at_its_two_ends():
  gen = np.random.default_rng(0)
  s = np.arange(900) % 3
  z = gen.normal(size=(900, 3)) @ gen.normal(size=(3, 3)) * (1 + 0.3 * s[:, None])
  z[:, 0] += s
  v = pack(z, s)
  for pooled, theirs, slack in (
    (0.0, QuadraticDiscriminantAnalysis(), 0.02),
    (1.0, LinearDiscriminantAnalysis(solver="lsqr"), 2e-3),
  ):
    ours = load(
      "critics", "quadratic", attribute="discrete", diagonal=(0.0,), pooled=(pooled,)
    )
    q_NK = jax.nn.softmax(ours.logits(ours.fit(KEY, v, v), v))
    np.testing.assert_allclose(q_NK, theirs.fit(z, s).predict_proba(z), atol=slack)


def test_quadratic_sees_scales_to_which_a_line_is_blind():
  fit_on, fresh, truth = pack(*scales()), pack(*scales(seed=1)), scales_truth()
  said = {}
  for name in ("linear", "quadratic"):
    critic = load("critics", name, attribute="discrete")
    said[name] = float(critic.value(critic.fit(KEY, fit_on, fit_on), fresh, KEY))
  assert said["linear"] < 0.02
  assert said["quadratic"] == pytest.approx(truth, abs=0.05)


def normal_scores(x):
  return stats.norm.ppf(stats.rankdata(x, axis=0) / (len(x) + 1))


@functools.cache
def copula(name, **settings):
  critic = load("critics", name, attribute="vector", **settings)
  fit = jax.jit(critic.fit)
  return lambda v: fit(KEY, v, v), jax.jit(lambda params, v: critic.score(params, v))


def test_copula_is_half_the_log_determinant_and_blind_to_monotone_changes():
  gen = np.random.default_rng(0)
  z = gen.normal(size=(1000, 2))
  s = z @ gen.normal(size=(2, 2)) + gen.normal(size=(1000, 2))
  fit, score = copula("copula", shrink=(0.0,))
  v = pack(z, s)
  said = score(fit(v), v)
  r = np.corrcoef(normal_scores(np.c_[z, s]).T)
  log_det = [np.linalg.slogdet(x)[1] for x in (r, r[:2, :2], r[2:, 2:])]
  twin = -0.5 * (log_det[0] - log_det[1] - log_det[2])
  assert float(said.mean()) == pytest.approx(twin, abs=0.01)
  bent = pack(np.c_[np.exp(z[:, 0]), z[:, 1] ** 3], np.c_[s[:, 0] ** 3, np.exp(s[:, 1])])
  assert float(score(fit(bent), bent).mean()) == pytest.approx(float(said.mean()), abs=1e-5)


def test_student_copula_finds_what_tails_share_and_copula_does_not():
  """A bivariate t of one degree of freedom, uncorrelated: 0.22417 nats."""
  x = stats.multivariate_t([0, 0], np.eye(2), 1).rvs(8000, random_state=0)
  fit_on, fresh = (pack(p[:, :1], p[:, 1:]) for p in (x[:4000], x[4000:]))
  fit, score = copula("student_copula", dof=(1.0, 3.0, float("inf")), shrink=(0.0, 0.1))
  assert float(score(fit(fit_on), fresh).mean()) == pytest.approx(0.22417, abs=0.03)
  fit, score = copula("copula", shrink=(0.0,))
  assert float(score(fit(fit_on), fresh).mean()) < 0.05


def test_the_density_of_the_t_is_that_of_scipy():
  gen = np.random.default_rng(0)
  x, half = gen.normal(size=(20, 3)), gen.normal(size=(3, 3))
  r = half @ half.T + np.eye(3)
  square_N = jnp.asarray(((x @ np.linalg.inv(r)) * x).sum(1), jnp.float32)
  log_det, width = jnp.float32(np.linalg.slogdet(r)[1]), jnp.float32(3)
  for nu in (1.5, 7.0, np.inf):
    theirs = stats.multivariate_t(np.zeros(3), r, nu).logpdf(x)
    ours = _elliptical._log_t(square_N, log_det, width, jnp.float32(nu))
    np.testing.assert_allclose(ours, theirs, atol=2e-4)


# ---- training ------------------------------------------------------------------------

SCHEDULE = Schedule(epochs=20, patience=4)
COMPILED = {  # little, as each program runs a few times only
  "xla_backend_optimization_level": 0,
  "xla_llvm_disable_expensive_passes": True,
}


@functools.cache
def trained(critic):
  """`(train, stop, fresh) -> params, value on fresh`; compiled once a critic."""

  @functools.partial(jax.jit, compiler_options=COMPILED)
  def run(probe, stop, fresh):
    params, _ = train(critic, SCHEDULE, probe, stop, KEY)
    return params, critic.value(params, fresh, KEY)

  return run


def parts(draw):
  return [pack(*draw(1500, seed)) for seed in range(3)]


def linked(N, seed, kind, dependent):
  """Two classes at ±1, or two pairs of normals with correlation .8."""
  gen = np.random.default_rng(seed)
  z = gen.normal(size=(N, 2))
  if kind == "discrete":
    s = gen.integers(0, 2, N)
    return z + dependent * (2 * s[:, None] - 1), s
  return z, 0.8 * dependent * z + (1 - 0.64 * dependent) ** 0.5 * gen.normal(size=(N, 2))


def class_truth():
  z, s = linked(200_000, 9, "discrete", True)
  log_p = np.stack([-0.5 * np.square(z - c).sum(1) for c in (-1, 1)], 1)
  return np.mean(log_p[np.arange(len(s)), s] - logsumexp(log_p, 1) + np.log(2))


@pytest.mark.parametrize(
  ("name", "kind"),
  [(name, kind) for name in RATIOS for kind in ("discrete", "vector")]
  + [("mlp", "discrete"), ("residual", "discrete"), ("anchored", "vector")],
)
def test_what_is_learned_holds_on_fresh_rows(name, kind):
  critic = load("critics", name, attribute=kind, hidden=(32, 32))
  if kind == "vector":
    critic = load("critics", name, attribute=kind, hidden=(32, 32), negatives=4)
  truth = class_truth() if kind == "discrete" else -np.log(1 - 0.64)
  run = trained(critic)
  for dependent in (False, True):
    draws = parts(functools.partial(linked, kind=kind, dependent=dependent))
    said = float(run(*draws)[1])
    if dependent:
      assert truth / 2 < said < truth + 0.1
    else:
      assert abs(said) < 0.05


def test_residual_learns_scales():
  critic = load("critics", "residual", attribute="discrete", hidden=(32, 32))
  assert float(trained(critic)(*parts(scales))[1]) > 0.7 * scales_truth()


def test_anchored_starts_from_the_normal_ratio_and_never_ends_below():
  critic = load("critics", "anchored", attribute="vector", hidden=(32, 32), negatives=4)
  v, stop, fresh = parts(functools.partial(linked, kind="vector", dependent=True))
  params = critic.init(KEY, v)
  x = np.c_[v.z_ND, v.s_N].astype(float)
  cov = x.T @ x / len(x) + 0.01 * np.eye(4)
  log_p = [
    stats.multivariate_normal(np.zeros(len(c)), c).logpdf(part)
    for part, c in ((x, cov), (x[:, :2], cov[:2, :2]), (x[:, 2:], cov[2:, 2:]))
  ]
  ours = critic.score(params, v)
  np.testing.assert_allclose(ours, log_p[0] - log_p[1] - log_p[2], atol=1e-3)
  kept, _ = trained(critic)(v, stop, fresh)
  begun = critic.loss(critic.init(KEY, v), stop, KEY)
  assert float(critic.loss(kept, stop, KEY)) <= float(begun) + 1e-6
