"""Gaussian mixtures, bent by bijections: laws no closed form knows ("Bend and Mix")."""

from __future__ import annotations

import numpy as np

from ovl.datasets._known import Law, Map, Mixture, bend, pick, sample, sparse, spiral
from ovl.types import Dataset


def dataset(task: str = "1v1-X-0.9", n: int = 10_000, seed: int = 0) -> Dataset:
  """Draws from a bent mixture; the ids are those of the benchmark's second version.

  The truth is the mean of log p(x, y) - log p(x) - log p(y) over 4 to 16 million
  draws of the mixture before it is bent, which leaves I(X; Y) as it is.

  Args:
    task: one of `TASKS`: X, AI, galaxy, waves, concentric Gaussians, and the sparse
      Gaussian of which a fraction of rows ("inliers") has Y independent of X.
    n: rows.
    seed: of the sample.

  Returns:
    x `[n, dx]`, attribute "y" `[n, dy]`, truth["y"] in nats (standard error 0.0004 or
    less).

  Raises:
    BadInput: another task.

  References:
    Czyż, Grabowski, Vogt, Beerenwinkel and Marx (2025), On the Properties and
    Estimation of Pointwise Mutual Information Profiles,
    https://arxiv.org/abs/2310.10240
  """
  mixture, f = pick(TASKS, task)
  law = bend(Law(mixture.draw, TRUTH[task]), f, np.copy)
  return sample("known_mi_bent", law, n, seed)


def _even(mean_KD: np.ndarray, cov_KDD: np.ndarray, dx: int = 1) -> Mixture:
  return Mixture(np.full(len(mean_KD), 1 / len(mean_KD)), mean_KD, cov_KDD, dx)


def _cross(correlation: float) -> Mixture:
  """Two Gaussians of opposite correlation: both margins are standard normal."""
  off_22 = correlation * (1 - np.eye(2))
  return _even(np.zeros((2, 2)), np.stack([np.eye(2) - off_22, np.eye(2) + off_22]))


def _letters() -> Mixture:
  """The strokes of "A" and "I"."""
  slope = 0.95 * np.sqrt(0.04 * 0.2)
  mean_K2 = np.array([(1, 0), (1, 1), (1, -1), (-0.8, -0.2), (-1.2, 0), (-0.4, 0)])
  variance_K2 = [(0.01, 0.2), *[(0.05, 0.001)] * 2, (0.03, 0.001), *[(0.04, 0.2)] * 2]
  cov_K22 = np.stack([np.diag(v) for v in variance_K2])
  cov_K22[4:, 0, 1] = cov_K22[4:, 1, 0] = slope, -slope
  return _even(mean_K2.astype(float), cov_K22)


def _balls(distance: float) -> Mixture:
  """Two unit balls; Y is the third coordinate."""
  mean_23 = np.outer([-1, 1], np.full(3, distance / 2))
  return _even(mean_23, np.tile(np.eye(3), (2, 1, 1)), dx=2)


def _stripes(count: int) -> Mixture:
  """Thin Gaussians side by side in X; the height of Y repeats with period 4."""
  k_K = np.arange(count)
  mean_K3 = 1.5 * np.stack([k_K, 0 * k_K, k_K % 4], 1)
  return _even(mean_K3, np.tile(np.diag([0.1, 1, 0.1]), (count, 1, 1)), dx=2)


def _wave(x_N2: np.ndarray) -> np.ndarray:
  """Shears the first coordinate by a sine of the second, then rescales."""
  sheared_N = x_N2[:, 0] + 5 * np.sin(3 * x_N2[:, 1])
  return np.stack([0.1 * sheared_N - 0.8, 0.5 * x_N2[:, 1]], 1)


def _shells(dx: int, count: int) -> Mixture:
  """X ~ N(0, k^2 1), Y ~ N(k, 0.01^2), k uniform on 1..count."""
  k_K = np.arange(1, count + 1)
  mean_KD = np.zeros((count, dx + 1))
  mean_KD[:, -1] = k_K
  cov_KDD = k_K[:, None, None] ** 2 * np.eye(dx + 1)
  cov_KDD[:, -1, -1] = 1e-4
  return _even(mean_KD, cov_KDD, dx)


def _inliers(d: int, fraction: float) -> Mixture:
  """The sparse Gaussian with probability 1 - fraction, else its margins' product."""
  cov_KDD = np.stack([sparse(d), np.eye(2 * d)])
  return Mixture(np.array([1 - fraction, fraction]), np.zeros((2, 2 * d)), cov_KDD, d)


TASKS: dict[str, tuple[Mixture, Map]] = {
  "1v1-X-0.9": (_cross(0.9), np.copy),
  "1v1-AI": (_letters(), np.copy),
  "2v1-galaxy-0.5-3.0": (_balls(3.0), spiral(0, 1, 0.5)),
  "2v1-waves-12-5.0-3.0": (_stripes(12), _wave),
  **{
    f"{dx}v1-concentric_gaussians-{k}": (_shells(dx, k), np.copy)
    for dx, k in ((3, 5), (5, 5), (25, 5), (3, 10), (5, 10))
  },
  **{
    f"mult-sparse-w-inliers-{d}-{d}-2-2.0-{p}": (_inliers(d, p), np.copy)
    for p in (0.2, 0.5)
    for d in (5, 25)
  },
}
INLIERS = {0.2: 0.63584, 0.5: 0.26958}  # coordinates beyond the pairs add nothing
TRUTH = {
  "1v1-X-0.9": 0.40845,
  "1v1-AI": 0.77611,
  "2v1-galaxy-0.5-3.0": 0.49436,
  "2v1-waves-12-5.0-3.0": 1.30713,
  "3v1-concentric_gaussians-5": 0.45537,
  "5v1-concentric_gaussians-5": 0.62718,
  "25v1-concentric_gaussians-5": 1.19044,
  "3v1-concentric_gaussians-10": 0.55990,
  "5v1-concentric_gaussians-10": 0.75126,
  **{
    f"mult-sparse-w-inliers-{d}-{d}-2-2.0-{p}": truth
    for p, truth in INLIERS.items()
    for d in (5, 25)
  },
}
