"""Fits an eraser to each model's rows, puts it inside a model, says what it writes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ovl.chain import run
from ovl.load import nearest
from ovl.types import BadInput, Eraser, Erasure, Model, Params

VALUES = 32  # of the concept, at most, that `written` looks at
ROWS = 4096  # at most, that it is read from


def fit(
  eraser: Eraser,
  z_SND: Any,
  s_SNM: Any,
  mask_SN: Any,
  key: Any,
  name: str = "the eraser",
) -> Erasure:
  """A fitted eraser of S models; its arrays lead with S.

  Rows are centred, and divided by their mean standard deviation, in float64 before
  anything is narrowed: neither an offset nor a size costs precision.

  Args:
    eraser: the method.
    z_SND: activations, of any floating type.
    s_SNM: columns of the concept, `[S, N, M]`.
    mask_SN: 1 where the concept is known.
    key: of the randomness of methods that have any.
    name: of the method, in messages.

  Raises:
    BadInput: rows that the method cannot work with.
    FloatingPointError: the method found something that is not finite.
  """
  if eraser.refuse:
    rows_SM = np.einsum("snm,sn->sm", s_SNM, np.asarray(mask_SN) > 0)
    if wrong := eraser.refuse(rows_SM.min(0), np.shape(z_SND)[-1]):
      raise BadInput(f"{name}: {wrong}")
  offset_SD, scale_S, near_SND = narrowed(z_SND, mask_SN)
  arrays = dict(_fit(eraser, near_SND, s_SNM, mask_SN, jax.random.split(key, len(scale_S))))
  if bad := [name for name, x in arrays.items() if not jnp.isfinite(x).all()]:
    raise FloatingPointError(f"the eraser's {', '.join(bad)} is not finite")
  arrays |= {"offset_D": offset_SD, "scale": scale_S}
  return Erasure(arrays, in_units(eraser.apply), eraser.oracle)


def narrowed(z_SND: Any, mask_SN: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Offsets `[S, D]` and scales `[S]` in float64; the rows in those units, float32."""
  offsets, scales, rows = [], [], []
  for z_ND, mask_N in zip(z_SND, np.asarray(mask_SN) > 0, strict=True):
    z_ND = np.asarray(z_ND).astype(np.float64)
    offset_D = z_ND[mask_N].mean(0)
    away_ND = np.where(mask_N[:, None], z_ND - offset_D, 0.0)
    largest = np.abs(away_ND).max()  # squares of 1e-200 are 0
    unit = largest if largest > 0 else 1.0
    scale = unit * np.sqrt(np.square(away_ND[mask_N] / unit).mean())
    offsets.append(offset_D)
    scales.append(scale if scale > 0 else 1.0)
    rows.append((away_ND / scales[-1]).astype(np.float32))
  return np.stack(offsets), np.array(scales), np.stack(rows)


@functools.cache
def in_units(apply: Callable[..., Any]) -> Callable[..., Any]:
  """`apply` of rows as they are given: only the edit passes through the other units."""

  def applied(arrays: dict[str, Any], z_ND: Any, s_NM: Any = None) -> Any:
    near_ND = (z_ND - arrays["offset_D"]) / arrays["scale"]
    return z_ND + (apply(arrays, near_ND, s_NM) - near_ND) * arrays["scale"]

  applied.inner = apply  # type: ignore[attr-defined]
  return applied


def on_host(erasure: Erasure, z_SND: np.ndarray, s_SNM: Any) -> np.ndarray:
  """r(z) of `[S, N, D]`, in float64 but for the edit."""
  offset_SD, scale_S = (np.asarray(erasure.arrays[n]) for n in ("offset_D", "scale"))
  wide_SND = z_SND.astype(np.float64)
  scale_S11 = scale_S[:, None, None]
  near_SND = ((wide_SND - offset_SD[:, None]) / scale_S11).astype(np.float32)
  inner = getattr(erasure.apply, "inner", erasure.apply)
  edited_SND = np.asarray(_apply(inner, erasure.arrays, near_SND, s_SNM), np.float64)
  return wide_SND + (edited_SND - near_SND) * scale_S11


def written(eraser: Eraser, rows: tuple[Any, Any, Any], seed: int) -> np.ndarray:
  """Nats that an oracle writes into rows that know nothing, `[S]`: measured.

  The eraser is fitted to a random half of the rows with the concept shuffled, and edits
  the other half as if each row had each value of it. Of normal rows these then hold

      I = log det(C) / 2 - sum_q w_q log det(C_q) / 2

  with C_q the covariance of what value q (of share w_q) leaves, and C that of all. No
  row has part in both halves, and the same rows are edited for every value, so that of
  an eraser that does nothing it is exactly 0.

  Args:
    eraser: an oracle.
    rows: activations, columns of the concept, and 1 where it is known, as in `fit`.
    seed: of the shuffle and the halves.
  """
  z_SND, s_SNM, mask_SN = rows
  _, _, near_SND = narrowed(z_SND, mask_SN)
  draw = np.random.default_rng(seed)
  found = []
  for near_ND, s_NM, mask_N in zip(near_SND, s_SNM, mask_SN, strict=True):
    known = draw.permutation(np.flatnonzero(mask_N))
    half, other = known[: len(known) // 2], known[len(known) // 2 :][:ROWS]
    shuffled_NM = np.array(s_NM)
    shuffled_NM[half] = shuffled_NM[draw.permutation(half)]
    half_N = np.zeros_like(np.asarray(mask_N, np.float32))
    half_N[half] = 1.0
    key = jax.random.split(jax.random.key(seed), 1)
    arrays = _fit(eraser, near_ND[None], shuffled_NM[None], half_N[None], key)
    values_QM, many_Q = np.unique(shuffled_NM[half], axis=0, return_counts=True)
    if len(values_QM) > VALUES:
      values_QM, many_Q = shuffled_NM[half[:VALUES]], np.ones(VALUES, int)
    share_Q = (many_Q / many_Q.sum()).astype(np.float32)
    arrays = {name: x[0] for name, x in arrays.items()}
    nats = _held(eraser.apply, arrays, near_ND[other], values_QM, share_Q)
    found.append(max(float(nats), 0.0))
  return np.array(found)


def linear(z_SND: Any, s_SNM: Any, mask_SN: Any) -> np.ndarray:
  """Nats that a linear reader of the fitted rows reads beyond noise, `[S]`.

  With the canonical correlations r of n rows, -n sum log(1 - r^2) of independent columns
  is about chi-squared with D rank(s) degrees of freedom (Bartlett); what is above its
  mean and three standard errors, over 2n, is returned, or 0.
  """
  _, _, near_SND = narrowed(z_SND, mask_SN)
  out = np.zeros(len(near_SND))
  for i, (z_ND, s_NM, mask_N) in enumerate(zip(near_SND, s_SNM, mask_SN, strict=True)):
    known = np.asarray(mask_N) > 0
    bases = []
    for x in (z_ND[known].astype(np.float64), s_NM[known].astype(np.float64)):
      u_NR, size_R, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
      bases.append(u_NR[:, size_R > 1e-6 * max(size_R[0], 1e-300)])
    n, (D, R) = known.sum(), (basis.shape[1] for basis in bases)
    if n < 2 * (D + R):
      continue  # so few rows fit anything
    corr_R = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)
    told = -n * np.log1p(-np.minimum(np.square(corr_R), 1 - 1e-12)).sum()
    out[i] = max((told - D * R - 3 * (2 * D * R) ** 0.5) / (2 * n), 0.0)
  return out


def inside(model: Model, tap: str, erasure: Erasure) -> Model:
  """The network with a concept erased after one of its stages.

  Args:
    model: a chain of stages.
    tap: the stage whose output is edited; of `[B, ..., C]` all but B is flattened.
    erasure: of one model, fitted on the rows of that tap.

  Returns:
    A model with the same parameters; later taps are those of the edited network.

  Raises:
    BadInput: a model that is no chain, a tap it does not have, an eraser of several
      models, or one that needs an attribute, which a network is not given.
  """
  names = [stage.name for stage in model.stages]
  if not names:
    raise BadInput("the model is no chain of stages: it cannot be edited inside")
  if tap not in names:
    raise BadInput(f"tap={tap!r} is unknown: {nearest(tap, names)}")
  if erasure.oracle:
    raise BadInput("an oracle eraser needs the attribute, which a network is not given")
  mean_D = erasure.arrays["mean_D"]
  if mean_D.ndim != 1:
    raise BadInput(f"the eraser was fitted on {len(mean_D)} models: pick one, eraser[0]")
  at = names.index(tap)

  def edit(params: Params, state: Params, h_B: Any, **how: Any) -> tuple[Any, Params]:
    h_B, state = model.stages[at].apply(params, state, h_B, **how)
    z_BD = h_B.reshape(h_B.shape[0], -1).astype(jnp.float32)
    if z_BD.shape[1] != len(mean_D):
      raise BadInput(f"tap {tap!r} has {z_BD.shape[1]} columns, the eraser {len(mean_D)}")
    z_BD = erasure.apply(erasure.arrays, z_BD, None)
    return z_BD.reshape(h_B.shape).astype(h_B.dtype), state

  edited = model.stages[at]._replace(apply=edit)
  stages = (*model.stages[:at], edited, *model.stages[at + 1 :])

  def apply(
    params: Params, state: Params, x_B: Any, *, key: Any = None, train: bool = False
  ) -> tuple[Any, dict[str, Any], Params]:
    taps, state = run(stages, params, state, x_B, key=key, train=train)
    return taps["logits"], taps, state

  return Model(model.init, apply, stages)


# ---- programs ------------------------------------------------------------------------


@functools.partial(jax.jit, static_argnames="eraser")
def _fit(eraser: Eraser, z_SND: Any, s_SNM: Any, mask_SN: Any, key_S: Any) -> Any:
  def one(of_model: tuple[Any, ...]) -> dict[str, Any]:
    arrays = eraser.arrays(*of_model)
    counts = ("removed", "dropped")  # the rest as narrow as the rows, in 64-bit mode too
    return {k: x if k in counts else x.astype(of_model[0].dtype) for k, x in arrays.items()}

  # Moments are batched; what iterates over rows runs model by model and stops by model.
  over = jax.lax.map if eraser.statistics is None else lambda f, x: jax.vmap(f)(x)
  return over(one, (z_SND, s_SNM, mask_SN, key_S))


@functools.partial(jax.jit, static_argnums=0)
def _apply(apply: Any, arrays: dict[str, Any], z_SND: Any, s_SNM: Any) -> Any:
  return jax.vmap(apply, (0, 0, None if s_SNM is None else 0))(arrays, z_SND, s_SNM)


@functools.partial(jax.jit, static_argnums=0)
def _held(
  apply: Any, arrays: dict[str, Any], z_ND: Any, values_QM: Any, share_Q: Any
) -> Any:
  sd_D = z_ND.std(0)
  sd_D = jnp.where(sd_D > 0, sd_D, 1.0)
  ridge_DD = 4 * jnp.finfo(z_ND.dtype).eps * len(sd_D) * jnp.eye(len(sd_D))

  def half_log_det(cov_DD: Any) -> Any:
    return jnp.linalg.slogdet(cov_DD + ridge_DD)[1] / 2

  def one(value_M: Any) -> tuple[Any, Any, Any]:
    edited_ND = apply(arrays, z_ND, jnp.broadcast_to(value_M, (len(z_ND), len(value_M))))
    edited_ND = edited_ND / sd_D
    mean_D = edited_ND.mean(0)
    away_ND = edited_ND - mean_D
    cov_DD = away_ND.T @ away_ND / len(z_ND)
    return mean_D, cov_DD, half_log_det(cov_DD)

  with jax.default_matmul_precision("highest"):
    mean_QD, cov_QDD, own_Q = jax.lax.map(one, values_QM)
    away_QD = mean_QD - share_Q @ mean_QD
    whole_DD = jnp.einsum("q,qde->de", share_Q, cov_QDD)
    whole_DD += jnp.einsum("q,qd,qe->de", share_Q, away_QD, away_QD)
    return half_log_det(whole_DD) - share_Q @ own_Q
