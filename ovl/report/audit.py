"""The page of an audit: cells (one attribute in one layer), their controls, pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ovl.about import About
from ovl.report import table
from ovl.types import Row

if TYPE_CHECKING:
  from ovl.report.plots import Picture


def text(rows: list[Row], about: About) -> str:
  """One line an attribute and layer."""
  del about
  return table.text(table.read(rows))


def page(rows: list[Row], about: About) -> tuple[str, dict[str, Picture]]:
  """The page, and its pictures by name."""
  from ovl.report import page, plots  # matplotlib takes a second; the table needs none

  found = table.read(rows)
  pictures = plots.draw(found)
  return page.render(found, about, pictures), pictures
