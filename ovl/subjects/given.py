"""Activations that a person brought as subjects."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple, cast

import numpy as np

from ovl import split as splitting
from ovl import taps
from ovl.arrays import Arrays
from ovl.judge import cells
from ovl.judge.cells import Frame
from ovl.subjects.subject import Subject


class Brought(NamedTuple):
  """Given arrays, ready to be judged.

  Attributes:
    subjects: "trained", and "untrained" where there are twins.
    frame: the rows.
    layers: every tap in depth order.
    seeds: the number of each model.
    y_N: task codes of all rows.
    task_labels: their names; one without a task.
    reduced: tap -> shape and width read, where fewer columns are read than there are.
    warnings: what must not be overlooked.
  """

  subjects: list[Subject]
  frame: Frame
  layers: list[str]
  seeds: list[int]
  y_N: np.ndarray
  task_labels: tuple[str, ...]
  reduced: dict[str, Any]
  warnings: list[str]


def brought(given: Arrays, max_width: int | None, seed: int) -> Brought:
  """Splits and narrows activations; copies of a model count once.

  Args:
    given: checked arrays.
    max_width: taps wider than this are pooled and projected; see `ovl.taps.Given`.
    seed: of the splits.
  """
  given, copies = _distinct(given)
  N = next(iter(given.taps.values())).shape[1]
  y_N = np.zeros(N, np.int32) if given.task is None else given.task.values
  labels = ("",) if given.task is None else given.task.labels
  frame = _frame(given, y_N, len(labels), seed)
  reduced: dict[str, Any] = {}

  def tap(name: str, z_SN: np.ndarray) -> np.ndarray:
    given_SND = taps.Given(name, z_SN, frame.rows_SN, max_width, frame.sizes[0])
    # A tap is in memory while it is read; one whose columns had to be chosen stays.
    chosen = given_SND.shape[-1] < given_SND.whole
    z_SND = cast(np.ndarray, np.asarray(given_SND) if chosen else given_SND)
    shape = z_SN.shape[2:]
    if int(np.prod(shape, dtype=int)) > z_SND.shape[-1]:
      reduced[name] = [list(shape), z_SND.shape[-1]]
    return z_SND

  sources = {"trained": given.taps, "untrained": given.untrained}
  subjects = [
    Subject(
      subject, {name: tap(name, source[name]) for name in given.taps if name in source}
    )
    for subject, source in sources.items()
  ]
  seeds = list(given.seeds) if given.seeds is not None else [0]
  return Brought(
    subjects, frame, list(given.taps), seeds, y_N, labels, reduced, [*given.doubts, *copies]
  )


def _frame(given: Arrays, y_N: np.ndarray, classes: int, seed: int) -> Frame:
  """A split a model: the given one in an order of its own, or a fresh one."""
  S = len(next(iter(given.taps.values())))
  shares = {k: v for k, v in splitting.SHARES.items() if k != "train"}
  parts = []
  for s in range(S):
    if given.split is not None:
      gen = np.random.default_rng([seed, s])
      parts.append({k: gen.permutation(np.flatnonzero(given.split == k)) for k in shares})
    else:
      parts.append(splitting.split(y_N, given.groups, shares, seed + s))
  fixed = given.split is not None
  return cells.frame(splitting.stack(parts), y_N, classes, given.groups, fixed)


def _distinct(given: Arrays) -> tuple[Arrays, list[str]]:
  """The models that are no copy of an earlier one, and what is to be said of the others."""
  S = len(next(iter(given.taps.values())))
  first: dict[str, int] = {}
  for s in range(S):
    digest = hashlib.sha256()
    for source in (given.taps, given.untrained):
      for z_SN in source.values():
        digest.update(np.ascontiguousarray(z_SN[s]).view(np.uint8).data)
    first.setdefault(digest.hexdigest(), s)
  keep = list(first.values())
  if len(keep) == S:
    return given, []
  taps, untrained = (
    {name: z_SN[keep] for name, z_SN in source.items()}
    for source in (given.taps, given.untrained)
  )
  seeds = None if given.seeds is None else tuple(given.seeds[s] for s in keep)
  said = f"{S - len(keep)} of {S} models are copies of others: counted once"
  return given._replace(taps=taps, untrained=untrained, seeds=seeds), [said]
