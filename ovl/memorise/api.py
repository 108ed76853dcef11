"""Scores of anybody's models: softmax outputs in, rows out, and always a null."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from ovl import stats
from ovl.about import About
from ovl.memorise import nulls, scores
from ovl.run import Result
from ovl.types import BadInput, Row

Null = Literal["paired", "exchangeable", "none"]
KEYS = ("clean", "feature", "references")


class _Given(NamedTuple):
  """What came, as probabilities: `[S, N, K]`, references `[S, R, N, K]` or None."""

  clean: np.ndarray
  feature: np.ndarray
  references: np.ndarray | None


def memorise(
  outputs_in: Mapping[str, Any],
  outputs_out: Mapping[str, Any] | None = None,
  *,
  label: int,
  y: Any = None,
  null: Null | None = None,
  threshold: float = 0.1,
  level: float = 0.95,
) -> Result:
  """Whether models remember a feature, from what they say of test images.

  Args:
    outputs_in: of S models trained with the feature: "clean" `[S, N, K]` probabilities on
      N images, "feature" the same with the feature on each, and optionally "references"
      `[S, R, N, K]` with R other features of the same law on each.
    outputs_out: the same of S twins that were trained without; pairs by place.
    label: the class of the example that carried the feature.
    y: `[N]` classes of the images: scores that know the label then look at images of that
      class alone, as published; None: at all.
    null: "paired" with twins, "exchangeable": the feature's rank among the references;
      "none": no test, and a warning. None: every one there are outputs for.
    threshold: of the spurious score.
    level: of intervals; tests are at 1 - level.

  Returns:
    A `Result`; its rows have `spurious_score`, `m_shift` and more of every model,
    `excess_...` against twins, `exposure_bits` among references.

  Raises:
    BadInput: no probabilities; shapes that differ; neither twins nor references and no
      null="none"; one pair of models.

  References:
    See `ovl.memorise.scores` and `ovl.memorise.nulls`.
  """
  ins = _read(outputs_in, "outputs_in")
  outs = None if outputs_out is None else _read(outputs_out, "outputs_out")
  if outs is not None and outs.clean.shape != ins.clean.shape:
    raise BadInput(
      f"outputs_out has shape {outs.clean.shape}: expected twins of {ins.clean.shape}"
    )
  tests = _tests(ins, outs, null)
  S, N, K = ins.clean.shape
  if not 0 <= label < K:
    raise BadInput(f"label={label}: the outputs have classes 0..{K - 1}")
  same = np.ones(N, bool) if y is None else np.asarray(y) == label
  if same.shape != (N,) or not same.any():
    raise BadInput(f"y: expected the classes of {N} images, some of them {label}")
  base = Row(kind="memorise", num_seeds=None, n_eval=N, classes=K, level=level)
  rows, sides = [], {"planted": ins, "unplanted": outs}
  scored = {
    name: _scored(side, label, same, threshold)
    for name, side in sides.items()
    if side is not None
  }
  for name, by_metric in scored.items():
    rows += _of_side(base._replace(subject=name), by_metric, level)
  if "paired" in tests:
    rows += _against_twins(base, scored["planted"], scored["unplanted"], level)
  if "exchangeable" in tests:
    rows += _among_references(base, ins, label, same, level)
  loud = [] if tests else ["no null was asked for: none of these scores says memorised"]
  about = About(
    "memorise", "is a feature remembered?", {}, num_models=S, level=level, warnings=loud,
    split={"test": N},
  )  # fmt: skip
  return Result(rows, about)


def _read(given: Mapping[str, Any], name: str) -> _Given:
  for key in given:
    if key not in KEYS:
      raise BadInput(f"{name}[{key!r}] is unknown: expected {', '.join(KEYS)}")
  for key in KEYS[:2]:
    if key not in given:
      raise BadInput(f"{name} has no {key!r}: expected {', '.join(KEYS)}")
  clean, feature = (scores.check(f"{name}[{k!r}]", given[k]) for k in KEYS[:2])
  if clean.shape != feature.shape:
    raise BadInput(f"{name}: clean has shape {clean.shape}, feature {feature.shape}")
  if (more := given.get("references")) is None:
    return _Given(clean, feature, None)
  more = np.asarray(more)
  S, N, K = clean.shape
  if more.ndim != 4 or more.shape[0] != S or more.shape[2:] != (N, K):
    raise BadInput(
      f"{name}['references'] has shape {more.shape}: expected [{S}, R, {N}, {K}]"
    )
  flat = scores.check(f"{name}['references']", more.reshape(-1, N, K))
  return _Given(clean, feature, flat.reshape(more.shape))


def _tests(ins: _Given, outs: _Given | None, null: Null | None) -> list[str]:
  able = [
    name
    for name, there in (("paired", outs), ("exchangeable", ins.references))
    if there is not None
  ]
  if null == "none":
    return []
  if null is None:
    if not able:
      raise BadInput(
        "a score without a null says nothing: give outputs_out of twins, or references, or "
        "say null='none'"
      )
    return able
  if null not in ("paired", "exchangeable"):
    raise BadInput(f"null={null!r}: expected paired, exchangeable or none")
  if null not in able:
    what = "outputs_out of twins" if null == "paired" else "outputs_in['references']"
    raise BadInput(f"null={null!r} needs {what}")
  return [null]


def _scored(
  side: _Given, label: int, same: np.ndarray, threshold: float
) -> dict[str, np.ndarray]:
  """Every score `[S]`."""
  c, u = side.clean, side.feature
  out = {
    "spurious_score": scores.spurious_score(c, u, label, threshold).mean(1),
    "m_shift": scores.shift(c, u, label)[:, same].mean(1),
    "m_shift_label_free": scores.shift_label_free(c, u)[0],
  }
  if side.references is not None:
    refs = np.moveaxis(side.references, 1, 0)
    mean = lambda values: np.mean([v.mean(1) for v in values], 0)  # noqa: E731
    out |= {
      "m_label_free": mean([scores.m_label_free(c, u, r) for r in refs]),
      "m_label_known": mean(
        [scores.m_label_known(u[:, same], r[:, same], label) for r in refs]
      ),
      "m_argmax": mean([scores.m_argmax(c, u, r) for r in refs]),
    }
    if same.sum() > 1:
      p_S = scores.legacy_pvalue(u[:, same], refs[0][:, same], label)
      out["legacy_pvalue"] = p_S
  return out


def _of_side(base: Row, by_metric: Mapping[str, np.ndarray], level: float) -> list[Row]:
  rows = [
    base._replace(seed=s, metric=metric, value=float(value), level=None)
    for metric, values in by_metric.items()
    for s, value in enumerate(values)
  ]
  for metric, values in by_metric.items():
    mean, _, low, high = stats.excess(values, level)
    rows.append(
      base._replace(
        num_seeds=len(values), metric=metric, value=mean, low=_known(low), high=_known(high)
      )
    )
  return rows


def _known(end: float) -> float | None:
  return None if np.isnan(end) else float(end)


def _against_twins(
  base: Row, planted: Mapping[str, Any], unplanted: Mapping[str, Any], level: float
) -> list[Row]:
  rows = []
  for metric, values in planted.items():
    if metric not in unplanted or metric == "legacy_pvalue":
      continue
    d = nulls.paired(values, unplanted[metric], level)
    sure = d.p <= 1 - level and d.low > 0
    rows.append(
      base._replace(
        subject="planted", metric=f"excess_{metric}", value=d.mean, low=d.low, high=d.high,
        p=d.p, num_seeds=len(values), verdict="memorised" if sure else "no evidence",
      )
    )  # fmt: skip
  return rows


def _among_references(
  base: Row, ins: _Given, label: int, same: np.ndarray, level: float
) -> list[Row]:
  """The rank of the feature's shift among those of the references."""
  assert ins.references is not None
  c, mine = ins.clean, base._replace(subject="planted", metric="exposure_bits", unit="bits")
  own = scores.shift(c, ins.feature, label)[:, same].mean(1)
  theirs = np.stack(
    [scores.shift(c, r, label)[:, same].mean(1) for r in np.moveaxis(ins.references, 1, 0)],
    1,
  )
  found = nulls.exposure(own, theirs)
  rows = [
    mine._replace(seed=s, value=float(bits), p=float(p), chance=found.null_bits, level=None)
    for s, (bits, p) in enumerate(zip(found.bits_S, found.p_S, strict=True))
  ]
  mean, _, low, high = stats.excess(found.bits_S, level)
  sure = found.p <= 1 - level
  return [
    *rows,
    mine._replace(
      num_seeds=len(own), value=mean, low=_known(low), high=_known(high), p=found.p,
      chance=found.null_bits, verdict="memorised" if sure else "no evidence",
    ),
  ]  # fmt: skip
