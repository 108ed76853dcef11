"""A discrete variable beside a continuous one, with mutual information in closed form."""

from __future__ import annotations

import numpy as np
from scipy.special import xlogy

from ovl.datasets._known import codes, pack, pick
from ovl.types import Attribute, Dataset

TASKS: dict[str, tuple[float, ...]] = {
  "uniform-5": (5,),
  "uniform-5-5-5": (5, 5, 5),
  "poisson-0.0": (0.0,),
  "poisson-0.15": (0.15,),
}


def dataset(task: str = "uniform-5", n: int = 10_000, seed: int = 0) -> Dataset:
  """Draws a law of Gao et al. (2017).

  `uniform-m`: S uniform on 0..m-1, X ~ U(S, S + 2). `uniform-m-...-m` concatenates
  independent copies. `poisson-p`: X ~ Exp(1), Y = 0 with probability p, else
  Poisson(X).

  Args:
    task: one of `TASKS`.
    n: rows.
    seed: of the sample.

  Returns:
    x `[n, dx]`; a single S is the attribute "s", copies and counts are the vector "y";
    truth in nats.

  Raises:
    BadInput: another task.

  References:
    Gao, Kannan, Oh and Viswanath (2017), Estimating Mutual Information for
    Discrete-Continuous Mixtures, https://arxiv.org/abs/1709.06212
  """
  parameters, rng = pick(TASKS, task), np.random.default_rng(seed)
  if task.startswith("poisson"):
    (p,) = parameters
    x_N1 = rng.exponential(size=(n, 1))
    y_N1 = np.where(rng.random((n, 1)) < p, 0, rng.poisson(x_N1)).astype(np.float64)
    return pack("known_mi_mixed", x_N1, Attribute(y_N1, "vector"), inflated_poisson(p))
  m_M = np.array(parameters, int)
  s_NM = rng.integers(m_M, size=(n, len(m_M)))
  x_NM = s_NM + rng.uniform(0, 2, s_NM.shape)
  truth = float((np.log(m_M) - (m_M - 1) / m_M * np.log(2)).sum())
  if len(m_M) == 1:
    return pack("known_mi_mixed", x_NM, codes(s_NM[:, 0], m_M[0]), truth)
  return pack("known_mi_mixed", x_NM, Attribute(s_NM.astype(np.float64), "vector"), truth)


def inflated_poisson(p: float) -> float:
  """I(X; Y) of the zero-inflated Poisson variable, in nats.

  With I_0 = 2 log 2 - gamma - sum_k 2^-k log k, the value at p = 0, and the part of
  {Y = 0}, whose probability is m = (1 + p)/2,

    t(p) = -(1 + p)/4 - p^2/2 log(p) / (1 - p) - m log m,
    I = (1 - p) (I_0 - t(0)) + t(p).

  The paper prints (1 - p) I_0. That is I(X; Y, B), where B tells an inflated zero from
  a drawn one; Y alone says less wherever 0 < p < 1.
  """

  def zeros(q: float) -> float:
    m = (1 + q) / 2
    return float(-(1 + q) / 4 - xlogy(q**2 / 2, q) / (1 - q) - xlogy(m, m))

  k_K = np.arange(1, 80)
  whole = 2 * np.log(2) - np.euler_gamma - (np.log(k_K) * 0.5**k_K).sum()
  return float((1 - p) * (whole - zeros(0)) + zeros(p))
