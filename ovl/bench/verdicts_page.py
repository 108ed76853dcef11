"""The page of `ovl bench verdicts`: what is out of reach, then every line."""

from __future__ import annotations

import json

from ovl.bench.claims import CLAIMS, CONSERVATIVE, HOLDS, MEANS, OUT
from ovl.types import Row


def markdown(rows: list[Row], level: float) -> str:
  """Counts of words, a table of claims, a table of worlds and lines."""
  lines = [row for row in rows if row.num_seeds is not None]
  judged = [row for row in lines if row.metric in CLAIMS or row.metric in MEANS]
  cells = sum(row.n_eval or 0 for row in lines if row.metric == "false_cell")
  worlds = list(dict.fromkeys(row.task for row in lines))
  draws = sum(row.num_seeds or 0 for row in lines if row.metric == "seconds")
  seconds = sum(row.value or 0.0 for row in lines if row.metric == "seconds")
  counts = ", ".join(
    f"{sum(row.verdict == said for row in judged)} {said}"
    for said in (HOLDS, CONSERVATIVE, OUT)
  )
  text = [
    f"{len(worlds)} worlds, {draws:,} draws, {cells:,} cells that know nothing, "
    f"{seconds / 60:.0f} minutes. {len(judged)} lines: {counts}. Words come from intervals "
    f"at {1 - (1 - level) / max(len(judged), 1):.5f} (Bonferroni over the lines: with "
    f"probability {level:g} no word is wrong by chance).",
    "",
  ]
  text += _table_of_lines("Out of reach", [r for r in judged if r.verdict == OUT])
  text += ["## Every claim over all worlds", "", *_table_of_claims(judged), ""]
  text += _table_of_lines("Every line", judged)
  text += ["## Every world", "", *_table_of_worlds(lines, worlds), ""]
  return "\n".join(text)


def _of(row: Row) -> str:
  return str(json.loads(row.setting)["of"]) if row.setting else ""


def _table_of_claims(judged: list[Row]) -> list[str]:
  out = [
    "| counted | stated | lines | hold | conservative | out of reach | hits | trials "
    "| rate |",
    "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
  ]
  for name, claim in CLAIMS.items():
    mine = [row for row in judged if row.metric == name]
    if not mine:
      continue
    words = " | ".join(
      str(sum(row.verdict == said for row in mine)) for said in (HOLDS, CONSERVATIVE, OUT)
    )
    trials = sum(row.n_eval or 0 for row in mine)
    hits = round(sum((row.value or 0.0) * (row.n_eval or 0) for row in mine))
    out.append(
      f"| {claim.said} | {_stated(mine[0])} | {len(mine)} | {words} | {hits:,} "
      f"| {trials:,} | {hits / trials:.2%} |"
    )
  return out


def _stated(row: Row) -> str:
  if row.metric in MEANS:
    return "at most 0"
  least, most = CLAIMS[row.metric].stated
  return f"{100 * most:.3g} %" if least == most else f"{100 * least:g} to {100 * most:g} %"


def _table_of_lines(title: str, judged: list[Row]) -> list[str]:
  out = [f"## {title}", ""]
  if not judged:
    return [*out, "No line.", ""]
  out += [
    "| world | counted | stated | rate or mean | interval | trials | word |",
    "|---|---|--:|--:|--:|--:|---|",
  ]
  for row in judged:
    claim = CLAIMS.get(row.metric)
    said = claim.said if claim else MEANS[row.metric]
    of = f" ({_of(row)})" if row.setting else ""
    assert row.value is not None
    assert row.low is not None
    assert row.high is not None
    if claim:
      numbers = f"{row.value:.2%} | {row.low:.2%} to {row.high:.2%} | {row.n_eval:,}"
    else:
      numbers = f"{row.value:+.5f} | {row.low:+.5f} to {row.high:+.5f} | {row.num_seeds}"
    out.append(f"| {row.task} | {said}{of} | {_stated(row)} | {numbers} | {row.verdict} |")
  return [*out, ""]


def _table_of_worlds(lines: list[Row], worlds: list[str]) -> list[str]:
  out = [
    "| world | draws | cells that know nothing | of those untested | seconds a draw |",
    "|---|--:|--:|--:|--:|",
  ]
  for name in worlds:
    mine = {row.metric: row for row in lines if row.task == name}
    untested, seconds = mine.get("untested"), mine["seconds"]
    cells = "" if untested is None else f"{untested.n_eval:,}"
    few = "" if untested is None else f"{untested.value:,.0f}"
    assert seconds.value is not None
    each = seconds.value / (seconds.num_seeds or 1)
    out.append(f"| {name} | {seconds.num_seeds} | {cells} | {few} | {each:.2f} |")
  return out
