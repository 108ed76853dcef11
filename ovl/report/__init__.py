"""Rows -> pictures and one HTML page. Knows no method."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import markupsafe

from ovl.report import removal
from ovl.report.table import read, text
from ovl.results import write_text
from ovl.types import BadInput, Row

if TYPE_CHECKING:
  from ovl.report.plots import Picture


def table(rows: Iterable[Row]) -> str:
  """A short table for the terminal: one line an attribute and layer."""
  return text(read(rows))


def write(
  rows: Iterable[Row], meta: Mapping[str, Any], directory: pathlib.Path
) -> pathlib.Path:
  """Writes `report.html` and `plots/heatmap|depth.svg|png`.

  Args:
    rows: of one audit.
    meta: what rows do not say: `title` and, as far as known, what was asked, how it was
      measured and where it ran.
    directory: the workdir; `rows.csv` is expected beside the page.

  Returns:
    The path of the page.

  Raises:
    BadInput: the folder cannot be written, or the disk is full.
  """
  from ovl.report import page, plots  # matplotlib takes a second; the table needs none

  found = read(rows)
  pictures = plots.draw(found)
  _save(pictures, directory)
  home = directory / "report.html"
  write_text(home, page.render(found, meta, pictures))
  return home


def removal_table(rows: Iterable[Row]) -> str:
  """A short table for the terminal: one line a subject, setting and layer."""
  return removal.text(removal.read(rows))


def write_removal(
  rows: Iterable[Row], meta: Mapping[str, Any], directory: pathlib.Path
) -> pathlib.Path:
  """Writes `report.html` and `plots/front.svg|png` of an unlearning study."""
  from ovl.report import front, page, plots

  spots = removal.read(rows)
  pictures = plots.render({"front": lambda: front.front(spots)})
  _save(pictures, directory)
  home = directory / "report.html"
  levels = {s.level for spot in spots for s in spot.by_metric.values() if s.level}
  text_ = page.template("removal.html").render(
    spots=spots,
    meta=meta,
    answer=removal.answer(spots),
    attribute=next((s.attribute for s in spots if s.attribute), ""),
    picture=markupsafe.Markup(pictures["front"].svg),
    attackers=list(dict.fromkeys(name for spot in spots for name in spot.attackers)),
    layers=list(dict.fromkeys(s.layer for s in spots if s.placed)),
    level=round(100 * max(levels, default=0.95)),
  )
  write_text(home, text_)
  return home


def _save(pictures: Mapping[str, Picture], directory: pathlib.Path) -> None:
  for name, picture in pictures.items():
    write_text(directory / "plots" / f"{name}.svg", picture.svg)
    path = directory / "plots" / f"{name}.png"
    try:
      path.write_bytes(picture.png)
    except OSError as error:
      raise BadInput(f"cannot write {path}: {error.strerror}") from error
