"""The page of an unlearning study: every point, and the front of accuracy and leakage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import markupsafe

from ovl.about import About
from ovl.report import removal
from ovl.types import Row

if TYPE_CHECKING:
  from ovl.report.plots import Picture


def text(rows: list[Row], about: About) -> str:
  """One line a subject, setting and layer."""
  del about
  return removal.text(removal.read(rows))


def page(rows: list[Row], about: About) -> tuple[str, dict[str, Picture]]:
  """The page, and its picture."""
  from ovl.report import front, page, plots

  spots = removal.read(rows)
  pictures = plots.render({"front": lambda: front.front(spots)})
  html = page.template("removal.html").render(
    spots=spots,
    meta=about._asdict(),
    answer=removal.answer(spots),
    attribute=next((s.attribute for s in spots if s.attribute), ""),
    picture=markupsafe.Markup(pictures["front"].svg),
    attackers=list(dict.fromkeys(name for spot in spots for name in spot.attackers)),
    layers=list(dict.fromkeys(s.layer for s in spots if s.placed)),
    level=round(100 * about.level),
  )
  return html, pictures
