"""Leaks of a known size, also of just the size that an audit says it would detect."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ovl.audit import audit
from ovl.bench import columns, truth
from ovl.bench.drawn import NOTHING, Audited, Truth


def seeds_of(models: int) -> dict[str, Any]:
  """The argument `seeds`, where there are several models."""
  return {"seeds": tuple(range(models))} if models > 1 else {}


def planted(
  gen: np.random.Generator, delta: float = 1.5, rows: int = 1000, models: int = 1,
  attributes: int = 1, spread: float = 0.0, same: bool = False, task: bool = False,
  groups: int = 0, exact: bool = True,
) -> Audited:  # fmt: skip
  """Fair coins, each of which shifts a coordinate of its own.

  Args:
    gen: of the draw.
    delta: the shift.
    rows: N.
    models: S; each has noise of its own, unless they are the `same` network.
    attributes: how many coins.
    spread: standard deviation of a model's shift.
    same: all models are one network.
    task: a second coordinate knows a task label that the coins know nothing of.
    groups: of that many groups, half of whose noise is common to a group's rows.
    exact: see `Truth`.
  """
  shape = (1 if same else models, rows, attributes + 2)
  noise = gen.normal(size=shape)
  options = seeds_of(models)
  if groups:
    group_N = np.arange(rows) % groups
    noise = np.sqrt(0.5) * (
      noise + gen.normal(size=(shape[0], groups, shape[2]))[:, group_N]
    )
    options["groups"] = group_N
  if task:
    options["task"] = gen.integers(0, 2, rows)
    noise[..., -1] += 3 * options["task"]
  delta_S = delta + spread * gen.normal(size=(shape[0], 1))
  known = truth.of_coins(delta, spread)
  named = {}
  for i in range(attributes):
    named[f"s{i}"] = gen.integers(0, 2, rows)
    noise[..., i] += delta_S * named[f"s{i}"]
  z = np.repeat(noise, models, 0) if same else noise
  truths = dict.fromkeys(named, Truth(delta != 0, known["information"], known, exact))
  return Audited({"z": z if models > 1 else z[0]}, named, truths, options)


def detected(
  gen: np.random.Generator, rows: int = 1000, width: int = 8, K: int = 2, models: int = 1,
  others: int = 0, alike: bool = False, share: float | None = None,
) -> Audited:  # fmt: skip
  """An attribute whose share is what the audit states as detectable.

  Args:
    gen: of the draw.
    rows: N.
    width: D.
    K: classes.
    models: S, each with noise of its own.
    others: attributes of which z knows nothing: more cells in the family.
    alike: rows come in groups of ten that share z and attribute.
    share: planted; None asks an audit for what it states.
  """
  if share is None:
    share = stated(rows=rows, width=width, K=K, models=models, others=others, alike=alike)
  times = 10 if alike else 1
  s_N = gen.integers(0, K, rows // times)
  z_SND = gen.normal(size=(models, rows // times, width))
  delta = truth.delta_for(share * np.log(K), K) if share else 0.0
  if K == 2:
    z_SND[..., 0] += delta * s_N
  else:
    z_SND[..., :K] += delta * np.eye(K)[s_N]
  s_N, z_SND = np.repeat(s_N, times), np.repeat(z_SND, times, 1)
  options = seeds_of(models)
  if alike:
    options["groups"] = np.repeat(np.arange(rows // times), times)
  named = {"planted": s_N} | {
    f"s{i}": columns.classes(K)(gen, np.zeros(rows)) for i in range(others)
  }
  truths = dict.fromkeys(named, NOTHING)
  truths["planted"] = Truth(True, share * np.log(K), planted=True)
  return Audited({"z": z_SND if models > 1 else z_SND[0]}, named, truths, options)


@functools.cache
def stated(**law: Any) -> float:
  """`detectable_share` of an audit of this shape; whatever z knows, it is the same."""
  blank = detected(np.random.default_rng(0), **law, share=0.0)
  found = audit(blank.taps, blank.attributes, **blank.options, critics="linear")
  (one,) = (
    row.value
    for row in found.rows
    if row.metric == "detectable_share" and row.attribute == "planted"
  )
  assert one is not None
  return one
