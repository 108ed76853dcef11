"""`ovl mi X Y`: mutual information of two arrays, in nats."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from ovl.about import run_id
from ovl.inputs import array
from ovl.mi.api import mutual_information
from ovl.mi.estimate import Estimate
from ovl.report import mi as page
from ovl.run import Result, Run, Verb
from ovl.types import BadInput, Row

SETTINGS = ("method", "seeds", "level", "groups", "kind", "seed")
WANTED = "X Y: an .npy, or FILE:NAME of an .npz, CSV or Parquet"


def asked(paths: list[str], flags: Mapping[str, Any]) -> dict[str, Any]:
  """The two arrays and how they are read."""
  if len(paths) != 2:
    raise BadInput(f"ovl mi: {len(paths)} paths; expected {WANTED}")
  return {"x": paths[0], "y": paths[1]} | {name: flags[name] for name in SETTINGS}


def study(run: Run) -> Result:
  """Reads, estimates, and lays out the rows."""
  given = dict(run.config)
  x, y = array(given["x"]), array(given["y"])
  groups = array(given["groups"]) if given["groups"] else None
  methods = [word for word in given["method"].split(",") if word]
  run.begin()
  with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", UserWarning)
    found = mutual_information(
      x, y, methods, groups=groups, kind=given["kind"] or None, seeds=given["seeds"],
      level=given["level"], seed=given["seed"], progress=run.progress,
    )  # fmt: skip
  doubts = [str(doubt.message) for doubt in caught]
  for doubt in doubts:
    run.say(f"note: {doubt}")
  base = Row(run=run_id(given), kind="mi", dataset="arrays", subject="given")
  about = run.about(
    verb="mi",
    title=f"What {given['x']} knows of {given['y']}",
    num_models=1,
    unit="examples" if groups is None else "groups",
    level=given["level"],
    readers=[one.method for one in found],
    groups=None if groups is None else len(np.unique(groups)),
    notes=[said(one) for one in found],
    warnings=doubts,
  )
  return Result([row for one in found for row in rows(one, base)], about)


def rows(one: Estimate, base: Row) -> list[Row]:
  """An estimate as rows: what is told, as a share of H(S), and what is certified."""
  base = base._replace(
    method=one.method, level=one.level, n_train=one.n_train, n_eval=one.n_eval, num_seeds=1,
    chance=0.0,
  )  # fmt: skip
  found = [
    base._replace(
      metric="information", unit=one.unit or "score", bound=one.bound, value=one.nats,
      low=one.low, high=one.high, p=one.p, flag=one.flag,
    )
  ]  # fmt: skip
  if np.isfinite(one.share):
    found.append(base._replace(metric="share", unit="share of H(S)", value=one.share))
  if np.isfinite(one.certified_low):
    found.append(
      base._replace(
        metric="certified_low", unit="nats", bound="lower", value=one.certified_low
      )
    )
  return found


def said(one: Estimate) -> str:
  """What there is to say of an estimate besides its numbers."""
  critics = f"{one.seeds} critic{'s' * (one.seeds > 1)}"
  why = f"; {one.why}" if one.why else ""
  return (
    f"{one.method}: {one.units:,} units, {critics}, chance 0, intervals at "
    f"{one.level:.0%}{why}"
  )


VERB = Verb(
  said="mutual information of two arrays, in nats, with an interval and a flag",
  study=study,
  page=page,
  keys=("x", "y", *SETTINGS),
  paths=(2, WANTED),
  flags=(
    ("method", "auto", "names of critics, by commas; auto lets the stop part pick"),
    ("seeds", 5, "critics in an ensemble"),
    ("level", 0.95, "of intervals"),
    ("groups", "", "units whose rows are not independent: a file as X and Y"),
    ("kind", "", "discrete or continuous, where y should not be read as it looks"),
    ("seed", 0, "of the split, the critics and the resampling"),
  ),
  asked=asked,
)
