"""Boosted trees on the host: an attacker that is no network, in the form of a critic."""

from __future__ import annotations

from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from ovl.judge.cells import Column, Frame
from ovl.types import Found, Lane

ROWS = 2000  # of the probe part that trees learn from, at most
SETTINGS: dict[str, Any] = {
  "max_iter": 30, "learning_rate": 0.15, "max_leaf_nodes": 15, "max_bins": 63,
  "early_stopping": False,
}  # fmt: skip


def read(lanes: list[Lane], cols: list[Column], frame: Frame, seed: int) -> list[Found]:
  """Boosted trees of every lane, attribute and model, alone and with the task label.

  Args:
    lanes: the taps.
    cols: attributes of one kind.
    frame: the rows; trees learn from at most `ROWS` of the probe part.
    seed: of the rows that are drawn.

  Returns:
    What a critic's `Found` holds, a lane; trees always end by themselves.

  References:
    Friedman (2001), "Greedy function approximation: a gradient boosting machine"; Ke et
    al. (2017), LightGBM, on whose histograms scikit-learn's are modelled.
  """
  return [_lane(lane, cols, frame, seed) for lane in lanes]


def _lane(lane: Lane, cols: list[Column], frame: Frame, seed: int) -> Found:
  """Outputs `[S, V, A, N, K]` of the stop and the test part."""
  K = max(c.outputs for c in cols)
  stop, test = [], []
  for s, z_ND in enumerate(np.asarray(lane.z_SND)):
    inputs = [z_ND]
    if frame.C > 1:
      task = np.eye(frame.C, dtype=np.float32)[frame.y_SN[s]]
      inputs.append(np.concatenate([z_ND, task], 1))
    with threadpool_limits(1):  # small trees spend their time waiting for threads
      outputs = [[_padded(_one(z, c, frame, s, seed), K) for c in cols] for z in inputs]
    stop.append(np.stack([np.stack([one[0] for one in each]) for each in outputs]))
    test.append(np.stack([np.stack([one[1] for one in each]) for each in outputs]))
  stop_SVANK, test_SVANK = np.stack(stop), np.stack(test)
  return Found(stop_SVANK, test_SVANK, np.ones(stop_SVANK.shape[:3], bool))


def _padded(parts: tuple[np.ndarray, np.ndarray], K: int) -> list[np.ndarray]:
  """Classes that another attribute has and this one has not are impossible."""
  return [
    np.pad(x_NK, ((0, 0), (0, K - x_NK.shape[1])), constant_values=-30.0) for x_NK in parts
  ]


def note(column: Column, frame: Frame) -> str:
  """What a reader must know where trees learn from fewer rows than critics do."""
  known = int(column.mask_SN[:, frame.part("probe")].sum(1).max())
  if known <= ROWS:
    return ""
  return f"Boosted trees learn from {ROWS} of the {known} rows of the probe part."


def sample(s_N: np.ndarray, y_N: np.ndarray, seed: int) -> np.ndarray:
  """At most `ROWS` rows, each task label and each value of the attribute in its share.

  Every so-many-th row in the order of (y, s), rows of equal rank in random order.
  """
  N = len(s_N)
  if N <= ROWS:
    return np.arange(N)
  order_N = np.lexsort((np.random.default_rng(seed).random(N), s_N, y_N))
  place_N = ((np.arange(ROWS) + 0.5) * N / ROWS).astype(int)
  return np.sort(order_N[place_N])


def _one(
  z_ND: np.ndarray, column: Column, frame: Frame, s: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
  from sklearn import ensemble  # half a second that only trees need

  probe, stop, test = (frame.part(name) for name in ("probe", "stop", "test"))
  known = column.mask_SN[s, probe]
  z, labels, y = z_ND[probe][known], column.s_SN[s, probe][known], frame.y_SN[s, probe]
  rows = sample(labels, y[known], seed)
  given = z[rows], labels[rows]
  settings = SETTINGS | {"random_state": seed}
  if column.kind == "continuous":
    model = ensemble.HistGradientBoostingRegressor(**settings).fit(*given)
    there = column.mask_SN[s, stop]
    error = column.s_SN[s, stop][there] - model.predict(z_ND[stop][there])
    scale = np.log(max(float(np.sqrt(np.square(error).mean())), 1e-3))
    means = [model.predict(z_ND[part]) for part in (stop, test)]
    at_stop, at_test = (np.stack([m, np.full_like(m, scale)], 1) for m in means)
    return at_stop, at_test
  model = ensemble.HistGradientBoostingClassifier(**settings).fit(*given)
  out = []
  for part in (stop, test):
    log_q = np.full((len(z_ND[part]), column.outputs), -30.0, np.float32)
    log_q[:, model.classes_] = np.log(model.predict_proba(z_ND[part]) + 1e-12)
    out.append(log_q)
  return out[0], out[1]
