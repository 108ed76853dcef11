"""Lanes -> the grid: buckets widths, pads, calls the program, brings results home."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Key

from ovl import mesh
from ovl.grid.program import Data, Predictions
from ovl.grid.train import Schedule
from ovl.progress import Progress, quiet
from ovl.types import Critic, Found, Lane

BUCKETS = (128, 512, 1024, 2048)  # taps between two edges are padded to their widest


class Labels(NamedTuple):
  """The attributes of one kind, of the same rows.

  Attributes:
    s_SAN: codes, or normal scores.
    mask_SAN: 1 where known.
    classes_AK: which outputs exist.
  """

  s_SAN: np.ndarray
  mask_SAN: np.ndarray
  classes_AK: np.ndarray


def sweep(
  program: Callable[..., Predictions],
  critic: Critic,
  lanes: list[Lane],
  labels: Labels,
  task_SNC: np.ndarray,
  key_S: Key[Array, " s"],
  sizes: tuple[int, int, int],
  schedule: Schedule,
  devices: Mesh,
  report: Progress = quiet,
) -> list[Found]:
  """One critic over all lanes: a program per width bucket, called lane by lane.

  Args:
    program: `ovl.grid.run`, jitted with its settings static.
    critic: what is fitted.
    lanes: the taps.
    labels: the attributes.
    task_SNC: the task label one-hot; `C` = 1 where there is no task: then the second
      variant (with the label) would repeat the first and is left out.
    key_S: one key a model.
    sizes: rows of the probe, stop and test part.
    schedule: for critics that train by their loss.
    devices: the mesh.
    report: called between lanes.

  Returns:
    One `Found` a lane, variants in the order alone, with the task label.
  """
  C = task_SNC.shape[-1] if task_SNC.shape[-1] > 1 else 0
  widest: dict[int, int] = {}
  bucket_of = [int(np.searchsorted(BUCKETS, lane.z_SND.shape[-1])) for lane in lanes]
  for lane, bucket in zip(lanes, bucket_of, strict=True):
    widest[bucket] = max(widest.get(bucket, 0), lane.z_SND.shape[-1])
  key_S = mesh.put(key_S, devices, "seed")
  found = []
  for number, (lane, bucket) in enumerate(zip(lanes, bucket_of, strict=True)):
    S, N, width = lane.z_SND.shape
    D = widest[bucket]
    z_SND = np.zeros((S, N, D + C), np.float32)
    z_SND[..., :width] = np.asarray(lane.z_SND)
    alone_D = np.arange(D + C) < width
    features_VD = alone_D[None]
    if C:
      z_SND[..., D:] = task_SNC
      features_VD = np.stack([alone_D, alone_D | (np.arange(D + C) >= D)])
    data = Data(
      mesh.put(z_SND[None], devices, None, "seed"),
      mesh.put(labels.s_SAN, devices, "seed"),
      mesh.put(labels.mask_SAN, devices, "seed"),
      mesh.put(features_VD[None], devices),
      mesh.put(labels.classes_AK, devices),
    )
    out = program(critic, data, key_S, sizes=sizes, schedule=schedule, mesh=devices)
    found.append(Found(*(np.asarray(x[0]) for x in mesh.get(out))))
    report((number + 1) / len(lanes), f"{lane.subject} {lane.layer}")
  return found
