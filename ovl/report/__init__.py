"""Rows -> tables and one page of sections. Knows no method.

A verb's page is a module, or anything else with two functions:

  terminal(rows, about) -> Table or several
  sections(rows, about) -> list[Section]
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

from ovl.about import About
from ovl.files import write_bytes, write_text
from ovl.report import page as pages
from ovl.report import table as tables
from ovl.report.cells import LEAKING as LEAKING
from ovl.report.page import Page as Page
from ovl.report.page import Picture as Picture
from ovl.report.page import Section as Section
from ovl.report.table import Table as Table
from ovl.report.table import pivot as pivot
from ovl.results import to_dict
from ovl.types import Row


def text(page: Any, rows: list[Row], about: About) -> str:
  """The short table, or tables, for a terminal.

  Args:
    page: the module that lays out the rows of a verb.
    rows: of one run.
    about: what they do not say.
  """
  found = page.terminal(*_kept(rows, about))
  some = [found] if isinstance(found, Table) else found
  return "\n\n".join(map(tables.terminal, some))


def write(
  page: Any, rows: list[Row], about: About, directory: pathlib.Path
) -> pathlib.Path:
  """Writes `report.html`, `report.md` and `plots/NAME.svg|png`.

  Args:
    page: the module that lays out the rows of a verb.
    rows: of one run.
    about: what they do not say.
    directory: the workdir; `rows.csv` is expected beside the page.

  Returns:
    The path of the page.

  Raises:
    BadInput: the folder cannot be written, or the disk is full.
  """
  rows, about = _kept(rows, about)
  return save(pages.of(page.sections(rows, about), rows, about), directory, "report")


def save(page: Page, directory: pathlib.Path, name: str) -> pathlib.Path:
  """Writes NAME.html, NAME.md and the pictures of a page; returns the first's path."""
  for one in page.pictures:
    write_text(directory / f"{one.path}.svg", one.svg)
    write_bytes(directory / f"{one.path}.png", one.png)
  write_text(directory / f"{name}.md", pages.text(page))
  home = directory / f"{name}.html"
  write_text(home, pages.html(page))
  return home


def _kept(rows: list[Row], about: About) -> tuple[list[Row], About]:
  """As they are read back from a workdir: the same words and pictures, then and now."""
  return (
    [Row(**to_dict(row)) for row in rows],
    About(**json.loads(json.dumps(about._asdict()))),
  )
