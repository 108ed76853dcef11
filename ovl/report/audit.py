"""The sections of an audit: answer, pictures, verdicts, how it was measured, controls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ovl.about import About
from ovl.report import words
from ovl.report.answer import answer
from ovl.report.cells import Cell, Found, read
from ovl.report.page import Section
from ovl.report.table import Table, interval, number, p_value, percent, pivot, short, varied
from ovl.types import Row

LINES = 40  # of the table for the terminal


class Column(NamedTuple):
  """One column of a table of cells; unless `always`, it needs a word to be there."""

  head: str
  kind: str
  say: Callable[[Cell], str]
  always: bool = True


def terminal(rows: list[Row], about: About) -> Table:
  """The first cells: verdict, share beyond the task with interval, excess.

  And how many columns were read, where that is not all of some layer.
  """
  del about
  found = read(rows)
  columns = [
    Column("attribute", "t", lambda cell: short(cell.share.attribute, 20)),
    Column("layer", "t", lambda cell: short(cell.share.layer, 16)),
    Column("setting", "t", lambda cell: varied(cell.share.setting), False),
    Column("verdict", "t", _verdict),
    Column("share beyond task", "t", lambda cell: interval(cell.share)),
    Column("excess", "n", lambda cell: number(_of(cell.excess, "value")), False),
    Column("columns read", "t", lambda cell: found.read(cell.share.layer), False),
  ]
  more = len(found.cells) - LINES
  notes = [f"... and {more} more in rows.csv"] if more > 0 else []
  return _table(found.cells[:LINES], columns, notes)


def _table(cells: list[Cell], columns: list[Column], notes: Sequence[str] = ()) -> Table:
  """A line a cell."""
  said = [[column.say(cell) for cell in cells] for column in columns]
  shown = [i for i, column in enumerate(columns) if column.always or any(said[i])]
  return Table(
    [columns[i].head for i in shown],
    "".join(columns[i].kind for i in shown),
    list(zip(*(said[i] for i in shown), strict=True)),
    notes=notes,
  )


def _verdict(cell: Cell) -> str:
  return f"{cell.verdict}, {cell.note}" if cell.note else cell.verdict


def sections(rows: list[Row], about: About) -> list[Section]:
  """The page of an audit."""
  found = read(rows)
  task = bool(about.task) or any(row.task for row in rows)
  some = [
    Section("The question", [words.QUESTION], lead=True),
    Section("The answer", answer(found, task), lead=True),
    *_pictures(found.drawn, about, task),
    Section("Verdicts", table=_verdicts(found), note=words.verdicts(about)),
    Section("What a verdict means", terms=words.VERDICTS, minor=True),
    Section("What a flag means", terms=words.FLAGS, minor=True),
    *words.measured(about, task, any(cell.excess for cell in found.cells)),
    *_controls(found, task),
  ]
  if about.attributes:
    some.append(Section("The attributes", table=_attributes(about)))
  if found.varied:
    down = ("attribute", "layer", "setting", "metric")
    table = pivot(found.varied, down, "subject")
    some.append(Section("Single classes and other critics", table=table, folded=True))
  return some


def _pictures(found: Found, about: About, task: bool) -> list[Section]:
  if not found.cells:
    return []
  # matplotlib takes a second to import; the table needs none.
  from ovl.report.depth import depth
  from ovl.report.drawing import render
  from ovl.report.heatmap import heatmap

  level = percent(about.level)
  few = " few" * (len(found.attributes) < 3)
  return [
    Section(
      "What each layer gives away",
      [words.CELL if task else f"{words.CELL} {words.NO_TASK}"],
      render(
        "heatmap", lambda: heatmap(found), words.HEATMAP_ALT,
        words.HEATMAP.format(level=level),
      ),
    ),
    Section(
      "Along depth",
      picture=render(
        "depth", lambda: depth(found), words.DEPTH_ALT, words.DEPTH.format(level=level),
        f"depth{few}",
      ),
    ),
  ]  # fmt: skip


def _verdicts(found: Found) -> Table:
  columns = [
    Column("attribute", "h", lambda cell: cell.share.attribute),
    Column("layer", "t", lambda cell: cell.share.layer),
    Column("setting", "t", lambda cell: varied(cell.share.setting), False),
    Column("width", "n", lambda cell: _width(found, cell.share)),
    Column("verdict", "v", _verdict),
    Column("share beyond task", "n", lambda cell: interval(cell.share)),
    Column("p", "n", lambda cell: p_value(cell.share.p)),
    Column("excess by training", "n", lambda cell: interval(cell.excess), False),
    Column("p of excess", "n", lambda cell: p_value(_of(cell.excess, "p")), False),
    Column("detectable", "n", lambda cell: number(_of(cell.detectable, "value"), 3)),
    Column("I(Z;S), nats", "n", lambda cell: interval(cell.nats), False),
    Column("certified", "n", lambda cell: cell.bracket, False),
    Column("critic", "t", lambda cell: cell.share.method),
    Column("flag", "t", lambda cell: cell.share.flag.replace("_", " ")),
  ]
  return _table(found.cells, columns)


def _of(row: Row | None, name: str) -> float | None:
  return None if row is None else getattr(row, name)


def _width(found: Found, row: Row) -> str:
  return found.read(row.layer) or ("" if row.width is None else str(row.width))


def _controls(found: Found, task: bool) -> list[Section]:
  """What the layers are compared with: on each layer, and beside all of them."""
  lines, beside = [], []
  for name in found.attributes:
    metric = found.metric(name)
    said = "R²" if metric == "r2" else metric
    for cell in found.drawn.of(name):
      at = [
        found.totals.get((subject, name, cell.share.layer, metric))
        for subject in ("trained", "untrained", "permuted")
      ]
      lines.append([name, said, cell.share.layer, *map(interval, at)])
    flat = [found.flat(subject, name, metric) for subject in ("raw", "label", "majority")]
    beside.append([name, said, *map(interval, flat)])
  if not lines:
    return []
  heads = ("attribute", "metric", "layer", "trained", "untrained", "shuffled attribute")
  others = ("raw input", "task label alone", "most frequent class, or mean")
  return [
    Section("Controls", [words.controls(task)], table=Table(heads, "httnnn", lines)),
    Section(table=Table(("attribute", "metric", *others), "htnnn", beside)),
  ]


def _attributes(about: About) -> Table:
  lines = []
  for name, fact in about.attributes.items():
    counts = [
      "" if fact.get(key) is None else str(fact[key]) for key in ("classes", "known")
    ]
    nats = [number(fact.get(key), 3) for key in ("entropy", "entropy_given_task")]
    lines.append([name, str(fact.get("kind", "")), *counts, *nats])
  heads = ("attribute", "kind", "classes", "known for", "H(S), nats", "H(S|Y), nats")
  return Table(heads, "htnnnn", lines)
