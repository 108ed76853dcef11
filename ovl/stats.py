"""One-off statistics in NumPy: entropies, influence values, intervals, permutations, Holm.

Every metric comes with its *influence values* psi_i: metric(resampled rows) is about
metric + mean of psi over the resampled rows. So one function gives intervals for all of
them, over examples or over groups, and one for several models tested on shared examples.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize, special

LEAST_P = 1e-12  # of a t test: further out no tail is known

Metric = tuple[float, np.ndarray]  # value, influence values [N]


def entropy(codes_N: np.ndarray, num: int) -> float:
  """Plug-in H(S) in nats of codes `0..num-1`."""
  p_K = np.bincount(codes_N, minlength=num) / max(len(codes_N), 1)
  return float(special.entr(p_K).sum())


SMOOTHING = (1e-3, 1e-2, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 1e3)


def label_table(s_N: np.ndarray, y_N: np.ndarray, C: int, K: int) -> np.ndarray:
  """p(s|y) `[C, K]`, shrunk to the add-one marginal by pseudo-rows: rare labels too."""
  count_CK, marginal_K = _counts(s_N, y_N, C, K)
  pseudo = smoothing(s_N, y_N, C, K)[0]
  return (count_CK + pseudo * marginal_K) / (count_CK.sum(1, keepdims=True) + pseudo)


def _counts(
  s_N: np.ndarray, y_N: np.ndarray, C: int, K: int
) -> tuple[np.ndarray, np.ndarray]:
  count_CK = np.zeros((C, K))
  np.add.at(count_CK, (y_N, s_N), 1.0)
  return count_CK, (count_CK.sum(0) + 1.0) / (len(s_N) + K)


def smoothing(s_N: np.ndarray, y_N: np.ndarray, C: int, K: int) -> tuple[float, float]:
  """The pseudo-rows of a label table with the lowest leave-one-out cross-entropy.

  That cross-entropy estimates H(S|Y) from above, also with as many labels as rows, where
  the plug-in estimate falls to 0.

  Returns:
    pseudo-rows, and the cross-entropy in nats.
  """
  count_CK, marginal_K = _counts(s_N, y_N, C, K)
  total_C = count_CK.sum(1)
  costs = []
  for pseudo in SMOOTHING:
    left_CK = np.maximum(count_CK - 1, 0) + pseudo * marginal_K
    held_CK = left_CK / (np.maximum(total_C - 1, 0)[:, None] + pseudo)
    costs.append(-(count_CK * np.log(held_CK)).sum() / max(len(s_N), 1))
  best = int(np.argmin(costs))
  return SMOOTHING[best], float(costs[best])


# ---- metrics with influence values -------------------------------------------------


def mean(x_N: np.ndarray) -> Metric:
  """The mean of per-row numbers."""
  value = float(x_N.mean())
  return value, x_N - value


def recall(correct_N: np.ndarray, s_N: np.ndarray, k: int) -> Metric:
  """Share of class k that is predicted as k."""
  is_k = s_N == k
  value = float(correct_N[is_k].mean())
  return value, is_k * (correct_N - value) * (len(s_N) / is_k.sum())


def average(metrics: list[Metric]) -> Metric:
  """The mean of several metrics of the same rows."""
  return (
    float(np.mean([value for value, _ in metrics])),
    np.mean([psi for _, psi in metrics], 0),
  )


def auc(score_N: np.ndarray, positive_N: np.ndarray) -> Metric:
  """Area under the ROC curve, ties counted half, with the DeLong placements.

  References:
    DeLong, DeLong, Clarke-Pearson (1988), Biometrics 44(3).
  """
  pos, neg = score_N[positive_N], score_N[~positive_N]
  above = _share_below(neg, pos)  # of each positive: share of negatives below it
  below = 1.0 - _share_below(pos, neg)
  value = float(above.mean())
  psi = np.empty(len(score_N))
  psi[positive_N] = (above - value) * (len(psi) / len(pos))
  psi[~positive_N] = (below - value) * (len(psi) / len(neg))
  return value, psi


def _share_below(reference: np.ndarray, x: np.ndarray) -> np.ndarray:
  ordered = np.sort(reference)
  left = np.searchsorted(ordered, x, "left")
  right = np.searchsorted(ordered, x, "right")
  return (left + right) / (2.0 * len(ordered))


# ---- intervals ---------------------------------------------------------------------


def unit_sums(psi_N: np.ndarray, unit_N: np.ndarray | None) -> np.ndarray:
  """Sums of influence values within each unit (a group, or the row itself)."""
  if unit_N is None:
    return psi_N
  _, code_N = np.unique(unit_N, return_inverse=True)
  return np.bincount(code_N, weights=psi_N)


def excess(
  values_S: np.ndarray, level: float, examples_var: float = 0.0
) -> tuple[float, float, float, float]:
  """t interval of a mean over models of numbers that have no influence values.

  var = s^2 / S + what their common examples cause; S - 1 degrees of freedom.

  Returns:
    mean, one-sided p of mean > 0, low, high. Values that are all equal are no evidence
    (p = 1), and one model has no interval (nan).
  """
  S = len(values_S)
  middle = float(np.mean(values_S))
  if S < 2:
    return middle, np.nan, np.nan, np.nan
  variance = float(np.var(values_S, ddof=1)) / S + examples_var
  if _rounding(variance, middle):
    return middle, 1.0, middle, middle
  return _interval(middle, [(variance, S - 1)], level)


def _rounding(variance: float, value: float) -> bool:
  return bool(np.sqrt(variance) <= 1e-9 * max(1.0, abs(value)))


def _interval(
  value: float, parts: list[tuple[float, float]], level: float
) -> tuple[float, float, float, float]:
  """Of a value whose variance has parts, each with its degrees of freedom and t interval.

  The one-sided p of value > 0 is the tail whose interval just reaches 0.
  """

  def half(tail: float) -> float:
    squares = [special.stdtrit(freedom, tail) ** 2 * var for var, freedom in parts]
    return float(np.sqrt(sum(squares)))

  log_p = np.log(LEAST_P)
  if half(LEAST_P) > abs(value):
    log_p = optimize.brentq(lambda x: half(np.exp(x)) - abs(value), log_p, np.log(0.5))
  tail, wide = float(np.exp(log_p)), half((1 - level) / 2)
  return value, tail if value > 0 else 1 - tail, value - wide, value + wide


def shared_variance(
  psi_SN: list[np.ndarray], unit_SN: list[np.ndarray]
) -> tuple[float, float]:
  """Variance of a mean over models when their common units are drawn again together.

  With the share h_u of a unit among the rows and the sum e_u of its influence values, a
  share each, the variance is sum e_u^2 / (1 - h_u): unbiased where units are equally
  noisy, whatever their sizes. Its degrees of freedom are (sum v_u)^2 / sum v_u^2 - 1 with
  v_u = h_u^2 (1 - h_u): of equal units their number less one, of one large group and
  some small ones next to nothing.

  Args:
    psi_SN: influence values of each model's test rows.
    unit_SN: the unit (example id or group) of each of those rows.

  Returns:
    the variance and its degrees of freedom; nan and 0 of a single unit.

  References:
    Bell and McCaffrey (2002), "Bias reduction in standard errors for linear regression
    with multi-stage samples", Survey Methodology 28(2).
  """
  units = np.concatenate(unit_SN)
  each = np.concatenate([np.full(len(psi), 1 / len(psi)) for psi in psi_SN]) / len(psi_SN)
  e_U = unit_sums(np.concatenate(psi_SN) * each, units)
  h_U = unit_sums(each, units)
  if len(h_U) < 2:
    return np.nan, 0.0
  v_U = np.square(h_U) * (1 - h_U)
  freedom = v_U.sum() ** 2 / np.square(v_U).sum() - 1
  return float((np.square(e_U) / (1 - h_U)).sum()), float(freedom)


def floored(metric: Metric) -> Metric:
  """max(value, 0): what a negative estimate would be read as; flat where it is floored."""
  value, psi_N = metric
  return (value, psi_N) if value > 0 else (0.0, np.zeros_like(psi_N))


def over_models_and_examples(
  metrics: list[Metric], units: list[np.ndarray], level: float
) -> tuple[float, float, float, float]:
  """t interval of a mean over models, for new models *and* new examples.

  With x_s the number of model s, the mean varies by s^2 / S, s^2 the variance of x_s, and
  by c, the mean covariance of two models that shared examples cause (from their influence
  values, `shared_variance`). Both are unbiased: models on disjoint examples have c = 0,
  copies of one model s^2 = 0. Half the width is sqrt(t(S - 1)^2 s^2 / S + t(units)^2 c):
  it covers as stated where either is alone, and a little more in between (one common
  number of degrees of freedom, after Satterthwaite, covers .87 to .93 of two or three
  models). A single model has the variance of its examples alone.

  Args:
    metrics: of each model.
    units: what each model's rows belong to (example id, or group).
    level: two-sided coverage.

  Returns:
    mean, one-sided p of mean > 0, low, high; nan where the units have less than one
    degree of freedom: one of them, or one that has nearly all rows.

  References:
    Zou and Donner (2008), "Construction of confidence limits about effect measures: a
    general approach", Statistics in Medicine 27(10), for sums of two parts.
  """
  S = len(metrics)
  value = float(np.mean([v for v, _ in metrics])) if S else np.nan
  psi = [psi for _, psi in metrics]
  together, of_units = shared_variance(psi, units) if S else (np.nan, 0.0)
  if of_units < 1 - 1e-9:
    return value, np.nan, np.nan, np.nan
  spread, shared = 0.0, together
  if S > 1:
    own = sum(
      shared_variance([psi_N], [unit_N])[0]
      for psi_N, unit_N in zip(psi, units, strict=True)
    )
    shared = max((S * S * together - own) / (S * (S - 1)), 0.0)
    spread = float(np.var([v for v, _ in metrics], ddof=1)) / S
  if _rounding(spread + shared, value):
    return value, 0.0 if value > 1e-9 else 1.0, value, value
  return _interval(value, [(spread, max(S - 1, 1)), (shared, of_units)], level)


def paired(
  a: list[Metric], b: list[Metric], units: list[np.ndarray], level: float
) -> tuple[float, float, float, float]:
  """`over_models_and_examples` of a_s - b_s, the two read on the same rows.

  Returns:
    mean difference, one-sided p of mean > 0, low, high.
  """
  differences = [
    (x - y, psi_x - psi_y) for (x, psi_x), (y, psi_y) in zip(a, b, strict=True)
  ]
  return over_models_and_examples(differences, units, level)


# ---- tests -------------------------------------------------------------------------


def holm(p: np.ndarray) -> np.ndarray:
  """Holm's step-down adjusted p-values; nan is not counted.

  References:
    Holm (1979), Scandinavian Journal of Statistics 6(2).
  """
  adjusted = np.full(len(p), np.nan)
  valid = np.flatnonzero(~np.isnan(p))
  order = valid[np.argsort(p[valid], kind="stable")]
  steps = (len(order) - np.arange(len(order))) * p[order]
  adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(order) else []
  return adjusted


def combine(p_S: np.ndarray) -> float:
  """One p-value from one a model: min(1, 2 x median), valid under any dependence.

  References:
    Ruschendorf (1982); Vovk and Wang (2020), Biometrika 107(4), for the factor 2.
  """
  p_S = p_S[~np.isnan(p_S)]
  if len(p_S) == 0:
    return np.nan
  return float(p_S[0]) if len(p_S) == 1 else float(min(1.0, 2 * np.median(p_S)))


def permutation_p(observed: float, null_P: np.ndarray) -> float:
  """(1 + #{null >= observed}) / (1 + P); ties within rounding count against us."""
  slack = 1e-9 * max(1.0, abs(observed))
  return float((1 + (null_P >= observed - slack).sum()) / (1 + len(null_P)))


def draws_needed(cells: int, alpha: float, models: int) -> int:
  """Permutations so that a Holm-adjusted combined p can reach a fifth of alpha."""
  factor = 2 if models > 1 else 1
  return int(np.ceil(5 * factor * max(cells, 1) / alpha)) - 1
