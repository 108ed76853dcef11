"""The pages of the studies, each by its own file."""

from __future__ import annotations

from typing import Any

import markupsafe

from ovl.about import About
from ovl.bench import mi_page, verdicts_page
from ovl.bench.study import of
from ovl.types import Row


def text(rows: list[Row], about: About) -> str:
  """The tables as Markdown."""
  if of(about.config) == "mi":
    return mi_page.markdown(rows)
  return verdicts_page.markdown(rows, about.level)


def page(rows: list[Row], about: About) -> tuple[str, dict[str, Any]]:
  """The tables on a page."""
  told, title = markupsafe.escape(text(rows, about)), markupsafe.escape(about.title)
  return f"<!doctype html>\n<title>{title}</title>\n<pre>{told}</pre>\n", {}
