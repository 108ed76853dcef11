"""Forty pairs of vectors with mutual information in closed form: "Beyond Normal"."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln, ndtr, psi

from ovl.datasets._known import Law, Map, bend, pick, sample, sparse, spiral
from ovl.types import Dataset


def dataset(task: str = "1v1-normal-0.75", n: int = 10_000, seed: int = 0) -> Dataset:
  """Draws from a law whose I(X; Y) is known; the ids are those of the benchmark.

  A base law (`1v1-normal`, `1v1-bimodal`, `1v1-additive`, `multinormal-dense`,
  `multinormal-sparse`, `student-identity`) may be prefixed by bijections, which change
  the task but not the truth: `normal_cdf-`, `half_cube-`, `asinh-`, `wiggly-`,
  `spiral-`, `swissroll_x-`.

  Args:
    task: one of `TASKS`.
    n: rows.
    seed: of the sample.

  Returns:
    x `[n, dx]`, attribute "y" `[n, dy]`, truth["y"] in nats.

  Raises:
    BadInput: another task.

  References:
    Czyż, Grabowski, Vogt, Beerenwinkel and Marx (2023), Beyond Normal: On the
    Evaluation of Mutual Information Estimators, https://arxiv.org/abs/2306.11078
  """
  return sample("known_mi", pick(TASKS, task), n, seed)


def _gaussian(cov_DD: np.ndarray) -> Law:
  """Zero mean: I = 1/2 log(det S_xx det S_yy / det S); X is the first half."""
  d = len(cov_DD) // 2
  root_DD = np.linalg.cholesky(cov_DD)

  def half_log_det(part: slice) -> float:
    return 0.5 * float(np.linalg.slogdet(cov_DD[part, part])[1])

  def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    z_ND = rng.standard_normal((n, 2 * d)) @ root_DD.T
    return z_ND[:, :d], z_ND[:, d:]

  every, first, last = slice(None), slice(d), slice(d, None)
  return Law(draw, half_log_det(first) + half_log_det(last) - half_log_det(every))


def _dense(d: int, correlation: float) -> np.ndarray:
  """Correlation `[2d, 2d]`: the same between any two coordinates."""
  return correlation + (1 - correlation) * np.eye(2 * d)


def _student(d: int, dof: int) -> Law:
  """Multivariate t with identity dispersion: uncorrelated, yet a shared scale ties X to Y.

  The entropy of m coordinates is log[Γ(ν/2) (νπ)^(m/2) / Γ((ν+m)/2)]
  + (ν+m)/2 [ψ((ν+m)/2) - ψ(ν/2)]; a dispersion other than the identity adds the
  Gaussian's information.

  References:
    Arellano-Valle, Contreras-Reyes and Genton (2013), Shannon Entropy and Mutual
    Information for Multivariate Skew-Elliptical Distributions,
    https://doi.org/10.1111/j.1467-9469.2011.00774.x
  """

  def entropy(m: int) -> float:
    half = (dof + m) / 2
    log_volume = gammaln(dof / 2) + m / 2 * np.log(dof * np.pi) - gammaln(half)
    return float(log_volume + half * (psi(half) - psi(dof / 2)))

  def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    scale_N1 = np.sqrt(dof / rng.chisquare(dof, (n, 1)))
    z_ND = rng.standard_normal((n, 2 * d)) * scale_N1
    return z_ND[:, :d], z_ND[:, d:]

  return Law(draw, 2 * entropy(d) - entropy(2 * d))


def _additive(e: float) -> Law:
  """X ~ U(0, 1), Y = X + U(-e, e): I = e - log 2e, or 1 / 4e where e > 1/2."""

  def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    x_N1 = rng.random((n, 1))
    return x_N1, x_N1 + rng.uniform(-e, e, (n, 1))

  return Law(draw, e - float(np.log(2 * e)) if e <= 0.5 else 0.25 / e)


def _half_cube(x: np.ndarray) -> np.ndarray:
  """x |x|^(1/2): longer tails."""
  return x * np.sqrt(np.abs(x))


def _wiggly_x(x: np.ndarray) -> np.ndarray:
  """Strictly increasing: the slope is at least 1 - 0.4 - 0.34 - 0.099."""
  return x + 0.4 * np.sin(x) + 0.2 * np.sin(1.7 * x + 1) + 0.03 * np.sin(3.3 * x - 2.5)


def _wiggly_y(y: np.ndarray) -> np.ndarray:
  """Strictly increasing: the slope is at least 1 - 0.16 - 0.221 - 0.086."""
  bumps = 0.17 * np.sin(1.3 * y + 3.5) + 0.02 * np.sin(4.3 * y - 2.5)
  return y - 0.4 * np.sin(0.4 * y) + bumps


def _swissroll(u_N1: np.ndarray) -> np.ndarray:
  """(0, 1) -> a spiral in the plane, `[N, 2]`."""
  t_N1 = 1.5 * np.pi * (1 + 2 * u_N1)
  return np.hstack([t_N1 * np.cos(t_N1), t_N1 * np.sin(t_N1)]) / 21


def _bimodal(weight: float, left: float, right: float) -> Map:
  """The quantile function of weight N(left, 1) + (1 - weight) N(right, 1)."""

  def quantile(u: np.ndarray) -> np.ndarray:
    low, high = np.full_like(u, left - 40), np.full_like(u, right + 40)
    for _ in range(60):
      mid = (low + high) / 2
      below = weight * ndtr(mid - left) + (1 - weight) * ndtr(mid - right) < u
      low, high = np.where(below, mid, low), np.where(below, high, mid)
    return (low + high) / 2

  return quantile


def _bends(name: str) -> tuple[Map, Map]:
  """The bijections of X and Y that the first word of a task's id names."""
  if name.startswith("spiral-"):
    d = int(name.split("-")[-3])
    return spiral(0, 1, 1 / d), spiral(1, 2, 1 / d)
  pairs: dict[str, tuple[Map, Map]] = {
    "normal_cdf": (ndtr, ndtr),
    "half_cube": (_half_cube, _half_cube),
    "asinh": (np.arcsinh, np.arcsinh),
    "wiggly": (_wiggly_x, _wiggly_y),
    "swissroll_x": (_swissroll, np.copy),
  }
  return pairs[name.partition("-")[0]]


def _tasks() -> dict[str, Law]:
  normal, sparse_of = "1v1-normal-0.75", "multinormal-sparse-{0}-{0}-2-2.0".format
  student_of = "student-identity-{0}-{0}-{1}".format
  light = ((2, 2), (3, 3), (5, 3))  # (d, dof) of the Student laws that stay unbent
  heavy = ((1, 1), (2, 1), (3, 2), (5, 2))
  laws = {
    normal: _gaussian(_dense(1, 0.75)),
    **{f"1v1-additive-{e}": _additive(e) for e in (0.1, 0.75)},
    **{
      f"multinormal-dense-{d}-{d}-0.5": _gaussian(_dense(d, 0.5)) for d in (2, 3, 5, 25, 50)
    },
    **{sparse_of(d): _gaussian(sparse(d)) for d in (2, 3, 5, 25)},
    **{student_of(d, dof): _student(d, dof) for d, dof in heavy + light},
  }
  bent = [f"{word}-{normal}" for word in ("normal_cdf", "wiggly", "half_cube")]
  bent += [f"swissroll_x-normal_cdf-{normal}"]
  bent += [f"asinh-{student_of(d, dof)}" for d, dof in heavy]
  for words in ("normal_cdf", "half_cube", "spiral", "spiral-normal_cdf"):
    bent += [f"{words}-{sparse_of(d)}" for d in (3, 5, 25)]
  for name in bent:
    laws[name] = bend(laws[name.partition("-")[2]], *_bends(name))
  uniform = laws[f"normal_cdf-{normal}"]
  laws["1v1-bimodal-0.75"] = bend(uniform, _bimodal(0.3, 0, 5), _bimodal(0.5, -1, 3))
  return laws


TASKS = _tasks()
