"""Rows -> pictures and one HTML page. Knows no method."""

from __future__ import annotations

import pathlib
from typing import Any

from ovl.about import About
from ovl.files import write_bytes, write_text
from ovl.report.table import LEAKING as LEAKING
from ovl.types import Row


def text(page: Any, rows: list[Row], about: About) -> str:
  """A short table for the terminal.

  Args:
    page: the module that lays out the rows of a verb.
    rows: of one run.
    about: what they do not say.
  """
  return page.text(rows, about)


def write(
  page: Any, rows: list[Row], about: About, directory: pathlib.Path
) -> pathlib.Path:
  """Writes `report.html` and `plots/NAME.svg|png`.

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
  html, pictures = page.page(rows, about)
  for name, picture in pictures.items():
    write_text(directory / "plots" / f"{name}.svg", picture.svg)
    write_bytes(directory / "plots" / f"{name}.png", picture.png)
  home = directory / "report.html"
  write_text(home, html)
  return home
