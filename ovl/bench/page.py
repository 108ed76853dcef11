"""The pages of the studies, each by its own file."""

from __future__ import annotations

from dataclasses import replace

from ovl.about import About
from ovl.bench import mi_page, verdicts_page
from ovl.bench.study import of
from ovl.report import Section, Table
from ovl.types import Row


def terminal(rows: list[Row], about: About) -> list[Table]:
  """The table of every section, below its title and what was said before."""
  tables: list[Table] = []
  words: list[str] = []
  for one in sections(rows, about):
    words += one.sentences
    if one.table is not None:
      tables.append(replace(one.table, caption=" ".join([*words, f"{one.title}:"])))
      words = []
  return tables


def sections(rows: list[Row], about: About) -> list[Section]:
  """Those of the study that the config is of."""
  if of(about.config) == "mi":
    return mi_page.sections(rows)
  return verdicts_page.sections(rows, about.level)
