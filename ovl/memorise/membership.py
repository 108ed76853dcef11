r"""Who was in the training set, from one table of K models and n examples.

`member_KN` says which model was trained on which example; `value_KN` what each model says
of each: right or not, or the margin log p_y / (1 - p_y). Everything here reads those two.

References:
  Feldman and Zhang (2020), https://arxiv.org/abs/2008.03703 (memorisation, influence);
  Carlini et al. (2022), https://arxiv.org/abs/2112.03570 (LiRA);
  Zarifzadeh, Liu and Shokri (2024), https://arxiv.org/abs/2312.03262 (RMIA).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from scipy import stats

from ovl.memorise.nulls import share_interval
from ovl.types import BadInput

LEAST_SPREAD = 1e-3  # of a margin: below it two numbers are one


class Estimate(NamedTuple):
  """An estimate for each of many, and its standard error; nan where a side is empty."""

  value: np.ndarray
  error: np.ndarray


class Point(NamedTuple):
  """A point of an attack's curve, with its exact interval.

  Attributes:
    fpr: false positive rate asked for.
    tpr: share of members above the threshold that at most that many others reach.
    low: of its interval over members.
    high: likewise.
    reached: the false positive rate that was reached.
  """

  fpr: float
  tpr: float
  low: float
  high: float
  reached: float


def _check(member_KN: np.ndarray, value_KN: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  member, value = np.asarray(member_KN, bool), np.asarray(value_KN)
  if member.ndim != 2 or member.shape[0] != len(value):
    raise BadInput(
      f"members have shape {member.shape}, outputs {value.shape}: expected [models, "
      "examples] both"
    )
  if len(member) < 2:
    raise BadInput("models=1: a comparison of models with and without needs at least 2")
  return member, value


def margin(p_KNC: np.ndarray, y_N: np.ndarray) -> np.ndarray:
  """log p_y - log (1 - p_y), `[K, N]`, from log-probabilities `[K, N, C]` in float64."""
  log_p = np.asarray(p_KNC, np.float64)
  place = np.broadcast_to(np.asarray(y_N)[None, :, None], (*log_p.shape[:2], 1))
  mine = np.take_along_axis(log_p, place, -1)[..., 0]
  rest = log_p.copy()
  np.put_along_axis(rest, place, -np.inf, -1)
  return mine - np.logaddexp.reduce(rest, -1)


def memorisation(member_KN: np.ndarray, value_KN: np.ndarray) -> Estimate:
  r"""Mean of the models with an example minus mean of those without, `[N]`.

  .. math:: mem_i = E[v_i | i \in S] - E[v_i | i \notin S]

  Args:
    member_KN: which model saw which example.
    value_KN: right (0 or 1), or a margin.
  """
  member, value = _check(member_KN, value_KN)
  sides = []
  for side in (member, ~member):
    K_N = side.sum(0)
    total = np.where(side, value, 0).sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
      mean_N = total / K_N
      square = np.where(side, np.square(value - mean_N), 0).sum(0)
      sides.append((mean_N, square / (K_N - 1) / K_N))
  (p1, v1), (p0, v0) = sides
  return Estimate(p1 - p0, np.sqrt(v1 + v0))


def influence(member_KN: np.ndarray, value_KM: np.ndarray, chunk: int = 4096) -> Estimate:
  """Of every training example on every test example, `[N, M]`: two matrix products.

  Args:
    member_KN: which model saw which training example.
    value_KM: what each model says of each test example.
    chunk: training examples at once.
  """
  member, value = _check(member_KN, value_KM)
  v, v2 = np.asarray(value, np.float32), np.square(np.asarray(value, np.float32))
  total, total2 = v.sum(0), v2.sum(0)
  out, error = [], []
  for at in range(0, member.shape[1], chunk):
    m = member[:, at : at + chunk].astype(np.float32)
    k1 = m.sum(0)[:, None]
    k0 = len(m) - k1
    s1, q1 = m.T @ v, m.T @ v2
    with np.errstate(invalid="ignore", divide="ignore"):
      a, b = s1 / k1, (total - s1) / k0
      va = np.maximum(q1 / k1 - a * a, 0) / (k1 - 1)
      vb = np.maximum((total2 - q1) / k0 - b * b, 0) / (k0 - 1)
      out.append(a - b)
      error.append(np.sqrt(va + vb))
  return Estimate(np.concatenate(out), np.concatenate(error))


def halves(member_KN: np.ndarray, value_KN: np.ndarray) -> float:
  """How well memorisation repeats: correlation of its estimates by two halves of models."""
  member, value = _check(member_KN, value_KN)
  a, b = (memorisation(member[i::2], value[i::2]).value for i in (0, 1))
  fine = np.isfinite(a) & np.isfinite(b)
  return float(np.corrcoef(a[fine], b[fine])[0, 1])


# ---- attacks -----------------------------------------------------------------------------


def lira(
  member_KN: np.ndarray,
  margin_KN: np.ndarray,
  way: Literal["online", "offline"] = "online",
  fixed_variance: bool = False,
) -> np.ndarray:
  r"""Likelihood ratio attack on every model by all others, `[K, N]`, high: a member.

  .. math:: \Lambda = \log N(\phi; \mu_{in}, \sigma_{in}^2)
            - \log N(\phi; \mu_{out}, \sigma_{out}^2)

  or, offline, :math:`\log P(N(\mu_{out}, \sigma_{out}^2) < \phi)` by the others without
  the example alone. Moments leave the attacked model out. nan where fewer than two others
  are on a side that is needed.

  Args:
    member_KN: which model saw which example.
    margin_KN: see `margin`.
    way: "online" or "offline".
    fixed_variance: one variance for all examples: right for few models.
  """
  member, phi = _check(member_KN, margin_KN)
  phi = np.asarray(phi, np.float64)
  mu_in, sd_in = _others(member, phi, fixed_variance)
  mu_out, sd_out = _others(~member, phi, fixed_variance)
  if way == "offline":
    return stats.norm.logcdf(phi, mu_out, sd_out)
  if way != "online":
    raise BadInput(f"way={way!r}: expected online or offline")
  return stats.norm.logpdf(phi, mu_in, sd_in) - stats.norm.logpdf(phi, mu_out, sd_out)


def _others(
  side_KN: np.ndarray, phi_KN: np.ndarray, fixed: bool
) -> tuple[np.ndarray, np.ndarray]:
  """Mean and spread over the models of a side, without the model itself, `[K, N]`."""
  w = side_KN.astype(np.float64)
  # Centred first, so that subtracting sums loses nothing.
  centre_N = phi_KN.mean(0)
  d = phi_KN - centre_N
  count = w.sum(0) - w
  total, square = (w * d).sum(0) - w * d, (w * d * d).sum(0) - w * d * d
  with np.errstate(invalid="ignore", divide="ignore"):
    mean = np.where(count >= 2, total / count, np.nan)
    variance = np.maximum(square - count * mean**2, 0) / (count - 1)
  if fixed:
    freedom = np.where(count >= 2, count - 1, 0)
    pooled = np.nansum(variance * freedom, 1) / np.maximum(freedom.sum(1), 1)
    variance = np.where(np.isnan(variance), np.nan, pooled[:, None])
  return mean + centre_N, np.maximum(np.sqrt(variance), LEAST_SPREAD)


def rmia(
  member_KN: np.ndarray,
  p_KN: np.ndarray,
  p_KZ: np.ndarray,
  gamma: float = 1.0,
  offline: float | None = None,
) -> np.ndarray:
  r"""Robust attack on every model by all others, `[K, N]`: share of z that x beats.

  .. math:: Pr_z\Big[\frac{p_\theta(x) / \bar p(x)}{p_\theta(z) / \bar p(z)}
            \ge \gamma\Big]

  with the mean over models :math:`\bar p(x) = (\bar p_{in} + \bar p_{out}) / 2`, or
  offline :math:`((1 + a)\, \bar p_{out}(x) + 1 - a) / 2`.

  Args:
    member_KN: which model saw which example.
    p_KN: each model's probability of the true class of each example.
    p_KZ: likewise of a population that no model was trained on.
    gamma: how much x must beat z.
    offline: a; None: online.
  """
  member, p = _check(member_KN, p_KN)
  p, p_KZ = np.asarray(p, np.float64), np.asarray(p_KZ, np.float64)
  if p_KZ.shape[:1] != p.shape[:1] or p_KZ.shape[1] < 1:
    raise BadInput(f"the population has shape {p_KZ.shape}: expected {len(p)} models")
  out_bar = _mean_of_others(~member, p)
  if offline is None:
    bar = (out_bar + _mean_of_others(member, p)) / 2
  else:
    bar = ((1 + offline) * out_bar + 1 - offline) / 2
  bar_z = _mean_of_others(np.ones_like(p_KZ, bool), p_KZ)
  ratio_x, ratio_z = p / np.maximum(bar, 1e-30), np.sort(p_KZ / np.maximum(bar_z, 1e-30), 1)
  found = [
    np.searchsorted(z, x / gamma, "right") for x, z in zip(ratio_x, ratio_z, strict=True)
  ]
  return np.where(np.isnan(bar), np.nan, np.stack(found) / p_KZ.shape[1])


def _mean_of_others(side_KN: np.ndarray, p_KN: np.ndarray) -> np.ndarray:
  w = side_KN.astype(np.float64)
  count = w.sum(0) - w
  with np.errstate(invalid="ignore", divide="ignore"):
    return np.where(count > 0, ((w * p_KN).sum(0) - w * p_KN) / count, np.nan)


# ---- how good an attack is ---------------------------------------------------------------


def tpr_at_fpr(
  score: np.ndarray, member: np.ndarray, fpr: float = 0.01, level: float = 0.95
) -> Point:
  """True positive rate where at most a share `fpr` of non-members is called a member.

  Raises:
    BadInput: only members or only others; a rate below what so many others can show.
  """
  score, member = np.asarray(score).ravel(), np.asarray(member, bool).ravel()
  fine = ~np.isnan(score)
  ins, outs = score[fine & member], score[fine & ~member]
  if not len(ins) or not len(outs):
    raise BadInput(f"{len(ins)} members and {len(outs)} others: expected some of both")
  most = int(np.floor(fpr * len(outs) + 1e-9))
  if most < 1:
    raise BadInput(f"fpr={fpr}: {len(outs)} non-members cannot show it")
  # Above the (most + 1)-th largest of the others are at most `most` of them, ties or not.
  edge = np.partition(outs, -(most + 1))[-(most + 1)] if most < len(outs) else -np.inf
  caught = int((ins > edge).sum())
  low, high = share_interval(caught, len(ins), level)
  return Point(fpr, caught / len(ins), low, high, float((outs > edge).mean()))


def over_networks(
  score_KN: np.ndarray, member_KN: np.ndarray, fpr: float = 0.01, level: float = 0.95
) -> Point:
  """The same of K networks at one threshold, its interval by a jackknife over networks.

  Each network is left out in turn, threshold and all; the attack itself is not made anew.

  Args:
    score_KN: of every network on every example, nan where there is none.
    member_KN: which network saw which example.
    fpr: false positive rate of all networks together.
    level: of the t interval.

  References:
    Efron and Stein (1981), Ann. Statist. 9(3).
  """
  whole, K = tpr_at_fpr(score_KN, member_KN, fpr), len(score_KN)
  if K < 3:
    raise BadInput(f"models={K}: a jackknife needs at least 3")
  keep = ~np.eye(K, dtype=bool)
  without = np.array([tpr_at_fpr(score_KN[k], member_KN[k], fpr).tpr for k in keep])
  error = float(np.sqrt((K - 1) / K * np.square(without - without.mean()).sum()))
  half = error * float(stats.t.ppf((1 + level) / 2, K - 1))
  return whole._replace(low=max(whole.tpr - half, 0.0), high=min(whole.tpr + half, 1.0))


def roc(score: np.ndarray, member: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """False and true positive rates at every threshold, from (0, 0) to (1, 1)."""
  score, member = np.asarray(score).ravel(), np.asarray(member, bool).ravel()
  fine = ~np.isnan(score)
  order = np.argsort(-score[fine], kind="stable")
  score, member = score[fine][order], member[fine][order]
  last = np.append(np.diff(score) != 0, True)  # ties move together
  tpr = np.cumsum(member)[last] / max(member.sum(), 1)
  fpr = np.cumsum(~member)[last] / max((~member).sum(), 1)
  return np.append(0.0, fpr), np.append(0.0, tpr)
