"""Data sets of known mutual information: the truth, the draws, the bijections."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, multivariate_t, poisson
from sklearn.cross_decomposition import CCA
from sklearn.datasets import load_digits
from sklearn.feature_selection import mutual_info_regression
from sklearn.linear_model import LogisticRegression

from ovl.datasets import known_mi, known_mi_bent, known_mi_mixed, mixtures, same_class
from ovl.datasets._known import spiral
from ovl.types import BadInput

MODULES = (known_mi, known_mi_bent, known_mi_mixed, mixtures, same_class)
ALL = [(module, task) for module in MODULES for task in module.TASKS]
ALL_IDS = [f"{module.__name__.split('.')[-1]}:{task}" for module, task in ALL]

SPARSE = "multinormal-sparse-{0}-{0}-2-2.0"
TABLE = {
  **dict.fromkeys(
    [
      "1v1-normal-0.75",
      "normal_cdf-1v1-normal-0.75",
      "1v1-bimodal-0.75",
      "wiggly-1v1-normal-0.75",
      "half_cube-1v1-normal-0.75",
      "swissroll_x-normal_cdf-1v1-normal-0.75",
    ],
    0.41334,
  ),
  "1v1-additive-0.1": 1.70944,
  "1v1-additive-0.75": 0.33333,
  "student-identity-1-1-1": 0.22417,
  "asinh-student-identity-1-1-1": 0.22417,
  "multinormal-dense-2-2-0.5": 0.29389,
  "multinormal-dense-3-3-0.5": 0.41334,
  "multinormal-dense-5-5-0.5": 0.59281,
  "multinormal-dense-25-25-0.5": 1.29218,
  "multinormal-dense-50-50-0.5": 1.62427,
  **{SPARSE.format(d): 1.02165 for d in (2, 3, 5, 25)},
  **{
    f"{bent}-{SPARSE.format(d)}": 1.02165
    for bent in ("normal_cdf", "half_cube", "spiral", "spiral-normal_cdf")
    for d in (3, 5, 25)
  },
  "student-identity-2-2-1": 0.43195,
  "asinh-student-identity-2-2-1": 0.43195,
  "student-identity-2-2-2": 0.19315,
  "student-identity-3-3-2": 0.29092,
  "asinh-student-identity-3-3-2": 0.29092,
  "student-identity-3-3-3": 0.17871,
  "student-identity-5-5-2": 0.44815,
  "asinh-student-identity-5-5-2": 0.44815,
  "student-identity-5-5-3": 0.29854,
}
BENT = {
  "1v1-X-0.9": 0.409,
  "1v1-AI": 0.778,
  "2v1-galaxy-0.5-3.0": 0.493,
  "2v1-waves-12-5.0-3.0": 1.308,
  "3v1-concentric_gaussians-5": 0.456,
  "5v1-concentric_gaussians-5": 0.626,
  "25v1-concentric_gaussians-5": 1.190,
  "3v1-concentric_gaussians-10": 0.556,
  "5v1-concentric_gaussians-10": 0.749,
  "mult-sparse-w-inliers-5-5-2-2.0-0.2": 0.634,
  "mult-sparse-w-inliers-25-25-2-2.0-0.2": 0.635,
  "mult-sparse-w-inliers-5-5-2-2.0-0.5": 0.268,
  "mult-sparse-w-inliers-25-25-2-2.0-0.5": 0.271,
}


def pair(data):
  return data.x.astype(np.float64), data.attributes["y"].values


@pytest.mark.parametrize(("module", "task"), ALL, ids=ALL_IDS)
def test_every_task_is_a_data_set(module, task):
  one, again, other = (module.dataset(task, n=50, seed=seed) for seed in (0, 0, 1))
  assert one.name == module.__name__.split(".")[-1]
  assert one.x.dtype == np.float32
  assert one.x.ndim == 2
  assert np.isfinite(one.x).all()
  ((name, attribute),) = one.attributes.items()
  assert set(one.truth) == {name}
  assert one.truth[name] > 0.1
  assert (name, attribute.values.dtype, attribute.values.ndim) in (
    ("s", np.int32, 1),
    ("y", np.float64, 2),
  )
  assert len(one.x) == len(one.y) == len(one.ids) == len(attribute.values) == 50
  np.testing.assert_array_equal(one.x, again.x)
  np.testing.assert_array_equal(attribute.values, again.attributes[name].values)
  assert (one.x != other.x).any()
  assert one.truth == other.truth


@pytest.mark.parametrize("module", MODULES)
def test_an_unknown_task_names_the_nearest(module):
  task = next(iter(module.TASKS))
  with pytest.raises(BadInput, match=rf"dataset.task='{task}x' is unknown.*mean '{task}'"):
    module.dataset(task + "x")


def test_the_forty_truths():
  assert len(TABLE) == 40
  assert {task: law.truth for task, law in known_mi.TASKS.items()} == pytest.approx(
    TABLE, abs=1e-5
  )


def test_shapes_of_the_forty():
  for task in known_mi.TASKS:
    x_ND, y_NM = pair(known_mi.dataset(task, n=3))
    wide = 2 if task.startswith("swissroll") else y_NM.shape[1]
    assert x_ND.shape[1] == wide
    dims = [1] if "1v1" in task else [int(d) for d in task.split("-") if d.isdigit()]
    assert y_NM.shape[1] == dims[0]


@pytest.mark.parametrize("task", [t for t in TABLE if "1v1" in t and "roll" not in t])
def test_nearest_neighbours_agree_in_one_dimension(task):
  x_N1, y_N1 = pair(known_mi.dataset(task, n=20_000))
  ksg = mutual_info_regression(x_N1, y_N1[:, 0], n_neighbors=3, random_state=0)[0]
  assert ksg == pytest.approx(TABLE[task], abs=0.03)


@pytest.mark.parametrize("task", [SPARSE.format(5), "multinormal-dense-5-5-0.5"])
def test_canonical_correlations_agree(task):
  x_ND, y_NM = pair(known_mi.dataset(task))
  u_NK, v_NK = CCA(5).fit_transform(x_ND, y_NM)
  rho_K = [np.corrcoef(u_N, v_N)[0, 1] for u_N, v_N in zip(u_NK.T, v_NK.T, strict=True)]
  assert -0.5 * np.log1p(-np.square(rho_K)).sum() == pytest.approx(TABLE[task], abs=0.05)


@pytest.mark.parametrize(("d", "dof"), [(1, 1), (2, 1), (3, 2), (5, 3)])
def test_student_truth_is_the_mean_of_the_log_density_ratio(d, dof):
  task = f"student-identity-{d}-{d}-{dof}"
  x_ND, y_ND = known_mi.TASKS[task].draw(np.random.default_rng(3), 100_000)

  def log_density(z_NM):
    m = z_NM.shape[1]
    return multivariate_t(np.zeros(m), np.eye(m), df=dof).logpdf(z_NM)

  pmi_N = log_density(np.hstack([x_ND, y_ND])) - log_density(x_ND) - log_density(y_ND)
  error = pmi_N.std() / np.sqrt(len(pmi_N))
  assert pmi_N.mean() == pytest.approx(TABLE[task], abs=4 * error)


def test_marginal_bijections_increase():
  t_N = np.linspace(-6, 6, 5001)
  for word in ("normal_cdf", "half_cube", "asinh", "wiggly"):
    for f in known_mi._bends(f"{word}-"):
      assert (np.diff(f(t_N)) > 0).all()
  u_N = np.linspace(0.001, 0.999, 999)
  for weight, left, right in ((0.3, 0, 5), (0.5, -1, 3)):
    quantile_N = known_mi._bimodal(weight, left, right)(u_N)
    assert (np.diff(quantile_N) > 0).all()
    back_N = [
      share * multivariate_normal(mean).cdf(quantile_N)
      for share, mean in ((weight, left), (1 - weight, right))
    ]
    np.testing.assert_allclose(sum(back_N), u_N, atol=1e-9)


def test_the_roll_can_be_unrolled():
  u_N1 = np.linspace(0, 1, 101)[:, None]
  radius_N = np.linalg.norm(known_mi._swissroll(u_N1), axis=1) * 21
  np.testing.assert_allclose((radius_N / (1.5 * np.pi) - 1) / 2, u_N1[:, 0], atol=1e-12)


def test_the_spiral_turns_and_comes_back():
  x_ND = np.random.default_rng(0).standard_normal((500, 4))
  there_ND = spiral(1, 2, 0.7)(x_ND)
  assert np.abs(there_ND - x_ND).max() > 1
  np.testing.assert_allclose((there_ND**2).sum(1), (x_ND**2).sum(1))
  np.testing.assert_allclose(spiral(1, 2, -0.7)(there_ND), x_ND, atol=1e-12)
  np.testing.assert_array_equal(there_ND[:, [0, 3]], x_ND[:, [0, 3]])
  quarter_ND = spiral(0, 1, np.pi / 2)(np.array([[1.0, 0.0]]))
  np.testing.assert_allclose(quarter_ND, [[0, 1]], atol=1e-12)


@pytest.mark.parametrize("task", known_mi_bent.TASKS)
def test_bent_truth_is_the_mean_of_the_pointwise_information(task):
  mixture, _ = known_mi_bent.TASKS[task]
  pmi_N = mixture.pmi(*mixture.draw(np.random.default_rng(5), 20_000))
  error = pmi_N.std() / np.sqrt(len(pmi_N))
  assert pmi_N.mean() == pytest.approx(known_mi_bent.TRUTH[task], abs=3 * error)
  # The benchmark's own number is the mean of 100,000 draws.
  published = 4 * pmi_N.std() / np.sqrt(100_000) + 0.0005
  assert known_mi_bent.TRUTH[task] == pytest.approx(BENT[task], abs=published)


def test_pointwise_information_is_a_ratio_of_densities():
  mixture, _ = known_mi_bent.TASKS["1v1-AI"]
  x_N1, y_N1 = mixture.draw(np.random.default_rng(0), 5)
  z_N2 = np.hstack([x_N1, y_N1])

  def density(columns):
    return sum(
      multivariate_normal(mean_D[columns], cov_DD[np.ix_(columns, columns)]).pdf(
        z_N2[:, columns]
      )
      / 6
      for mean_D, cov_DD in zip(mixture.mean_KD, mixture.cov_KDD, strict=True)
    )

  ratio_N = density([0, 1]) / density([0]) / density([1])
  np.testing.assert_allclose(mixture.pmi(x_N1, y_N1), np.log(ratio_N))


def test_uniform_mixture_truth():
  data = known_mi_mixed.dataset("uniform-5", n=200_000)
  s_N, x_N = data.attributes["s"].values, data.x[:, 0]
  assert data.attributes["s"].labels == tuple("01234")
  assert ((x_N >= s_N) & (x_N <= s_N + 2)).all()
  # Given x, the codes within 2 below it are equally likely: one or two of them.
  floor_N = np.clip(np.floor(x_N).astype(int), 0, 5)
  posterior_N = np.where((floor_N == 0) | (floor_N == 5), 1, 0.5)
  estimate = np.log(5 * posterior_N).mean()
  assert data.truth["s"] == pytest.approx(estimate, abs=0.005)
  threefold = known_mi_mixed.dataset("uniform-5-5-5", n=10)
  assert threefold.truth["y"] == pytest.approx(3 * data.truth["s"])


@pytest.mark.parametrize("p", [0.0, 0.15])
def test_zero_inflated_poisson_truth(p):
  data = known_mi_mixed.dataset(f"poisson-{p}", n=400_000)
  x_N1, y_N1 = pair(data)
  zero_N1 = p * (y_N1 == 0)
  given_N1 = zero_N1 + (1 - p) * poisson.pmf(y_N1, x_N1)
  pmi_N1 = np.log(given_N1 / (zero_N1 + (1 - p) * 0.5 ** (y_N1 + 1)))
  error = pmi_N1.std() / np.sqrt(len(pmi_N1))
  assert data.truth["y"] == pytest.approx(pmi_N1.mean(), abs=4 * error)


def test_inflation_loses_more_than_its_share():
  plain = known_mi_mixed.inflated_poisson(0.0)
  assert plain == pytest.approx(0.3012, abs=1e-4)
  assert known_mi_mixed.inflated_poisson(0.15) < 0.85 * plain - 0.02


@pytest.mark.parametrize(
  ("task", "classes", "width", "expected"),
  [
    ("shift", 2, 8, 0.476),
    ("shift", 4, 8, 0.664),
    ("shift", 4, 64, 0.664),
    ("scale", 4, 8, 0.361),
    ("scale", 4, 64, 0.398),
  ],
)
def test_mixture_truth(task, classes, width, expected):
  data = mixtures.dataset(task, n=60_000, seed=9, classes=classes, width=width)
  assert data.truth["s"] == pytest.approx(expected, abs=0.003)
  mean_KD, sd_KD = mixtures._design(task, classes, width, 0)
  log_NK = np.stack(
    [
      multivariate_normal(mean_D, np.diag(sd_D**2)).logpdf(data.x)
      for mean_D, sd_D in zip(mean_KD, sd_KD, strict=True)
    ],
    1,
  )
  own_N = np.take_along_axis(log_NK, data.attributes["s"].values[:, None], 1)[:, 0]
  pmi_N = np.log(classes) + own_N - np.logaddexp.reduce(log_NK, axis=1)
  error = pmi_N.std() / np.sqrt(len(pmi_N))
  assert pmi_N.mean() == pytest.approx(data.truth["s"], abs=4 * error)


def test_a_linear_probe_sees_means_alone():
  def nats(task):
    data = mixtures.dataset(task, n=8000)
    s_N = data.attributes["s"].values
    probe = LogisticRegression().fit(data.x[:4000], s_N[:4000])
    log_NK = probe.predict_log_proba(data.x[4000:])
    return np.log(4) + log_NK[np.arange(4000), s_N[4000:]].mean()

  assert nats("shift") == pytest.approx(0.664, abs=0.05)
  assert nats("scale") < 0.01


def test_mixture_settings():
  one, other = (mixtures.dataset(n=5, design_seed=seed) for seed in (0, 1))
  assert (one.x != other.x).any()
  assert one.truth["s"] == pytest.approx(other.truth["s"], abs=0.004)
  for classes in (1, 9):
    with pytest.raises(BadInput, match=rf"dataset.classes={classes}, expected 2..width"):
      mixtures.dataset(classes=classes)


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_pairs_share_their_class_and_no_image(bits):
  raw = load_digits()
  digit = {row.tobytes(): c for row, c in zip(raw.data / 16, raw.target, strict=True)}
  data = same_class.dataset("pairs", n=3000, bits=bits)
  x_ND, y_NM = pair(data)
  ours = [digit[row.tobytes()] for row in x_ND]
  assert ours == [digit[row.tobytes()] for row in y_NM]
  shares = np.bincount(ours, minlength=2**bits) / 3000
  np.testing.assert_allclose(shares, 0.5**bits, atol=0.03)
  assert not {row.tobytes() for row in x_ND} & {row.tobytes() for row in y_NM}
  np.testing.assert_array_equal(x_ND, raw.data[data.groups] / 16)
  assert data.truth["y"] == pytest.approx(bits * np.log(2))
  assert "assumes" in data.note


def test_the_channel_flips_each_bit():
  data = same_class.dataset("channel", n=40_000, bits=2, flip=0.2)
  assert data.attributes["s"].labels == ("00", "01", "10", "11")
  sent_N, got_N = load_digits().target[data.groups], data.attributes["s"].values
  table_KK = np.histogram2d(sent_N, got_N, bins=4)[0] / 40_000
  for bit in (0, 1):
    assert ((sent_N ^ got_N) >> bit & 1).mean() == pytest.approx(0.2, abs=0.01)
  independent_KK = np.outer(table_KK.sum(1), table_KK.sum(0))
  plugin = (table_KK * np.log(table_KK / independent_KK)).sum()
  assert data.truth["s"] == pytest.approx(plugin, abs=0.01)
  assert same_class.dataset("channel", n=2, flip=0.5).truth["s"] == pytest.approx(0)
  assert same_class.dataset("channel", n=2, flip=0).truth["s"] == pytest.approx(np.log(2))


def test_same_class_settings():
  for settings, said in (({"bits": 4}, "bits=4"), ({"flip": 1.5}, "flip=1.5")):
    with pytest.raises(BadInput, match=said):
      same_class.dataset("channel", **settings)
