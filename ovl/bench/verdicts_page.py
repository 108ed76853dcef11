"""The page of `ovl bench verdicts`: what is out of reach, then every line."""

from __future__ import annotations

import json

from ovl.bench.claims import CLAIMS, CONSERVATIVE, HOLDS, MEANS, OUT
from ovl.report import Section, Table
from ovl.types import Row

WORDS = (HOLDS, CONSERVATIVE, OUT)


def sections(rows: list[Row], level: float) -> list[Section]:
  """Counts of words, a table of claims, tables of lines and of worlds."""
  lines = [row for row in rows if row.num_seeds is not None]
  judged = [row for row in lines if row.metric in CLAIMS or row.metric in MEANS]
  worlds = list(dict.fromkeys(row.task for row in lines))
  out = [row for row in judged if row.verdict == OUT]
  return [
    Section("The answer", [_counts(lines, judged, worlds, level)], lead=True),
    Section("Out of reach", table=_lines(out)),
    Section("Every claim over all worlds", table=_claims(judged)),
    Section("Every line", table=_lines(judged)),
    Section("Every world", table=_worlds(lines, worlds)),
  ]


def _counts(lines: list[Row], judged: list[Row], worlds: list[str], level: float) -> str:
  cells = sum(row.n_eval or 0 for row in lines if row.metric == "false_cell")
  draws = sum(row.num_seeds or 0 for row in lines if row.metric == "seconds")
  seconds = sum(row.value or 0.0 for row in lines if row.metric == "seconds")
  counts = ", ".join(f"{sum(row.verdict == w for row in judged)} {w}" for w in WORDS)
  return (
    f"{len(worlds)} worlds, {draws:,} draws, {cells:,} cells that know nothing, "
    f"{seconds / 60:.0f} minutes. {len(judged)} lines: {counts}. Words come from intervals "
    f"at {1 - (1 - level) / max(len(judged), 1):.5f} (Bonferroni over the lines: with "
    f"probability {level:g} no word is wrong by chance)."
  )


def _of(row: Row) -> str:
  return str(json.loads(row.setting)["of"]) if row.setting else ""


def _claims(judged: list[Row]) -> Table:
  lines = []
  for name, claim in CLAIMS.items():
    mine = [row for row in judged if row.metric == name]
    if not mine:
      continue
    words = [str(sum(row.verdict == word for row in mine)) for word in WORDS]
    trials = sum(row.n_eval or 0 for row in mine)
    hits = round(sum((row.value or 0.0) * (row.n_eval or 0) for row in mine))
    rate = f"{hits / trials:.2%}"
    counts = [str(len(mine)), *words, f"{hits:,}", f"{trials:,}", rate]
    lines.append([claim.said, _stated(mine[0]), *counts])
  heads = ("counted", "stated", "lines", "hold", "conservative", "out of reach", "hits")
  return Table((*heads, "trials", "rate"), "tnnnnnnnn", lines)


def _stated(row: Row) -> str:
  if row.metric in MEANS:
    return "at most 0"
  least, most = CLAIMS[row.metric].stated
  return f"{100 * most:.3g} %" if least == most else f"{100 * least:g} to {100 * most:g} %"


def _lines(judged: list[Row]) -> Table:
  lines = []
  for row in judged:
    claim = CLAIMS.get(row.metric)
    said = claim.said if claim else MEANS[row.metric]
    of = f" ({_of(row)})" if row.setting else ""
    assert row.value is not None
    assert row.low is not None
    assert row.high is not None
    if claim:
      numbers = f"{row.value:.2%}", f"{row.low:.2%} to {row.high:.2%}", f"{row.n_eval:,}"
    else:
      ends = f"{row.low:+.5f} to {row.high:+.5f}"
      numbers = f"{row.value:+.5f}", ends, str(row.num_seeds)
    lines.append([row.task, said + of, _stated(row), *numbers, row.verdict])
  heads = ("world", "counted", "stated", "rate or mean", "interval", "trials", "word")
  return Table(heads, "htnnnnt", lines, notes=[] if lines else ["No line."])


def _worlds(lines: list[Row], worlds: list[str]) -> Table:
  out = []
  for name in worlds:
    mine = {row.metric: row for row in lines if row.task == name}
    untested, seconds = mine.get("untested"), mine["seconds"]
    cells = "" if untested is None else f"{untested.n_eval:,}"
    few = "" if untested is None else f"{untested.value:,.0f}"
    assert seconds.value is not None
    each = seconds.value / (seconds.num_seeds or 1)
    out.append([name, str(seconds.num_seeds), cells, few, f"{each:.2f}"])
  heads = ("world", "draws", "cells that know nothing", "of those untested")
  return Table((*heads, "seconds a draw"), "tnnnn", out)
