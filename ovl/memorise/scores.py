r"""Scores of memorisation, of any models' outputs, per image and per model.

Names of the outputs: c on an untouched image, u on the image with the feature, r on the
image with a reference feature in the same place; all are probabilities `[S, N, K]`.
Every score is large where the feature is remembered. None of them says so alone: what an
untouched network scores is in `ovl.memorise.nulls`.

References:
  Hartley and Tsaftaris (2022), https://arxiv.org/abs/2205.10079 (label-free: KL);
  Hartley et al. (2023), https://doi.org/10.1038/s41598-023-48034-3 (probability shift);
  Yang, Chou and Chaudhuri (2022), https://arxiv.org/abs/2202.05189 (spurious score).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import stats

from ovl.types import BadInput

LEAST = 1e-7  # probabilities are kept within [LEAST, 1], as published
Label = Literal["u-c", "u-r"]


def check(name: str, p_SNK: np.ndarray) -> np.ndarray:
  """Probabilities `[S, N, K]` in float64; `[N, K]` is one model.

  Raises:
    BadInput: they are none.
  """
  p = np.asarray(p_SNK, np.float64)
  p = p[None] if p.ndim == 2 else p
  if p.ndim != 3 or p.shape[-1] < 2:
    raise BadInput(f"{name} has shape {p.shape}: expected [models, images, classes]")
  bad = p[~(p >= -1e-6) | ~np.isfinite(p)]
  if bad.size:
    raise BadInput(f"{name} holds {bad[0]:.3g}, no probability: give softmax outputs")
  worst = float(np.abs(p.sum(-1) - 1).max())
  if worst > 1e-3:
    raise BadInput(f"{name} holds no probabilities: a row sums to 1 {worst:+.3g} at worst")
  return p


def kl(a_SNK: np.ndarray, b_SNK: np.ndarray) -> np.ndarray:
  """KL(a || b) in nats `[S, N]`, both kept within [1e-7, 1]."""
  a, b = np.clip(a_SNK, LEAST, 1), np.clip(b_SNK, LEAST, 1)
  return (a * np.log(a / b)).sum(-1)


def m_label_free(c: np.ndarray, u: np.ndarray, r: np.ndarray) -> np.ndarray:
  """M2: KL(c || u) - KL(c || r), `[S, N]` nats; no label needed."""
  return kl(c, u) - kl(c, r)


def m_label_known(u: np.ndarray, r: np.ndarray, label: int) -> np.ndarray:
  """-M3: log u[y*] - log r[y*], `[S, N]` nats, y* the label of who carried the feature."""
  u, r = np.clip(u, LEAST, 1), np.clip(r, LEAST, 1)
  return np.log(u[..., label]) - np.log(r[..., label])


def shift(c: np.ndarray, u: np.ndarray, label: int) -> np.ndarray:
  """u[y*] - c[y*], `[S, N]`: the score of 2023 where its label is known."""
  return u[..., label] - c[..., label]


def shift_label_free(c: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """The largest mean shift over labels `[S]`, and that label."""
  mean_SK = (u - c).mean(1)
  return mean_SK.max(-1), mean_SK.argmax(-1)


def m_argmax(
  c: np.ndarray, u: np.ndarray, r: np.ndarray, of: Label = "u-c", one: bool = False
) -> np.ndarray:
  """log u[k] - log r[k], `[S, N]` nats, at the class k that moved most.

  Args:
    c: on untouched images.
    u: with the feature.
    r: with a reference.
    of: what moved: "u-c" (M12, M14) or "u-r" (M13, M15).
    one: one class for all images of a model (M14, M15) or one an image (M12, M13).
  """
  moved = u - (c if of == "u-c" else r)
  moved = moved.mean(1, keepdims=True) if one else moved
  k = np.broadcast_to(moved.argmax(-1)[..., None], (*u.shape[:2], 1))
  u, r = np.clip(u, LEAST, 1), np.clip(r, LEAST, 1)
  return (np.log(np.take_along_axis(u, k, -1)) - np.log(np.take_along_axis(r, k, -1)))[
    ..., 0
  ]


def entropy(p_SNK: np.ndarray) -> np.ndarray:
  """Of every output, `[S, N]` nats."""
  p = np.clip(p_SNK, LEAST, 1)
  return -(p * np.log(p)).sum(-1)


def spurious_score(
  c: np.ndarray, u: np.ndarray, target: int, threshold: float = 0.1
) -> np.ndarray:
  """Whether the target's probability rises by more than the threshold, `[S, N]` bool."""
  return shift(c, u, target) > threshold


def correct(p_SNK: np.ndarray, y_N: np.ndarray) -> np.ndarray:
  """Whether the class is right, `[S, N]` bool."""
  return p_SNK.argmax(-1) == y_N


def legacy_pvalue(u: np.ndarray, r: np.ndarray, label: int) -> np.ndarray:
  """The published test `[S]`: one-sided paired t over the images of one model.

  It asks whether the network reacts to the feature more than to references, not whether
  training caused it: of networks that never saw the feature it is far from uniform.
  """
  values = m_label_known(u, r, label)
  if values.shape[1] < 2:
    return np.full(len(values), np.nan)
  return stats.ttest_1samp(values, 0.0, axis=1, alternative="greater").pvalue
