"""Sections -> one self-contained HTML page, and the same as Markdown."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import jinja2
import markupsafe

from ovl.about import About
from ovl.files import slug
from ovl.report.table import Table, escaped, interval, markdown, number, paragraph
from ovl.types import Row


class Picture(NamedTuple):
  """One figure.

  Attributes:
    name: of its files, such as plots/NAME.svg and plots/NAME.png.
    svg: without a header, for the page.
    png: for slides.
    alt: what it shows, for those who cannot see it.
    caption: below it.
    style: classes of style.css: "depth" shrinks with the page, "depth few" to any size.
  """

  name: str
  svg: str
  png: bytes
  alt: str = ""
  caption: str = ""
  style: str = ""

  @property
  def path(self) -> str:
    """Of its files, without suffix: any name stays below plots/."""
    return f"plots/{slug(self.name)}"


class Section(NamedTuple):
  """A part of a page, made of rows and about alone; what is not given is not there.

  Attributes:
    title: a heading.
    sentences: a paragraph each.
    picture: a figure.
    table: numbers.
    terms: words and what they mean.
    note: small print.
    source: text that keeps its lines, such as a config.
    files: beside the page, to be linked.
    lead: whether it stands in the box on top of the page.
    minor: whether its heading is a lower one.
    folded: whether it opens when it is asked for.
  """

  title: str = ""
  sentences: Sequence[str] = ()
  picture: Picture | None = None
  table: Table | None = None
  terms: Sequence[tuple[str, str]] = ()
  note: str = ""
  source: str = ""
  files: Sequence[str] = ()
  lead: bool = False
  minor: bool = False
  folded: bool = False


class Page(NamedTuple):
  """What `html` and `markdown` lay out.

  Attributes:
    title: of the page.
    facts: a line of what it is about.
    sections: in their order; those that lead come first.
    warnings: what must not be overlooked.
    notes: of the data and the method.
  """

  title: str
  facts: Sequence[str]
  sections: Sequence[Section]
  warnings: Sequence[str] = ()
  notes: Sequence[str] = ()

  @property
  def pictures(self) -> list[Picture]:
    """Of all sections."""
    return [one.picture for one in self.sections if one.picture is not None]


def of(sections: Sequence[Section], rows: list[Row], about: About) -> Page:
  """The page of a run: what its verb says, and what every page says.

  Args:
    sections: of the verb.
    rows: of the run.
    about: what they do not say.
  """
  page = Page(about.title, _facts(rows, about), sections, about.warnings, about.notes)
  end = [_closing(page, about)]
  if about.config:
    config = json.dumps(about.config, indent=2, ensure_ascii=False, default=str)
    end.append(Section("Configuration", source=config, folded=True))
  return page._replace(sections=[*sections, *end])


def _facts(rows: list[Row], about: About) -> list[str]:
  named = {"data": about.dataset, "task": about.task, "network": about.model}
  facts = [f"{word} {name}" for word, name in named.items() if name]
  if about.num_models > 1 or about.split:
    facts.append(f"{about.num_models} model{'s' * (about.num_models != 1)}")
  if about.split:
    parts = (f"{part} {count}" for part, count in about.split.items())
    facts.append(f"{', '.join(parts)} rows")
  for row in rows:
    if (row.subject, row.metric, row.seed) == ("trained", "task_accuracy", None):
      facts.append(f"task accuracy {interval(row, 3)}")
  return facts


def _closing(page: Page, about: About) -> Section:
  ran = []
  if about.devices:
    seconds = "" if about.wall_s is None else f" in {number(about.wall_s, 0)} s"
    ran.append(f"Ran on {about.devices}{seconds}.")
  if about.git:
    ran.append(f"Commit {about.git}.")
  if about.versions:
    named = (f"{name} {version}" for name, version in about.versions.items())
    ran.append(", ".join(named) + ".")
  return Section(
    "Numbers and settings",
    ["Every number, also those of single models, is in the rows beside this page."],
    files=["rows.csv", "rows.jsonl", *(f"{one.path}.png" for one in page.pictures)],
    note=" ".join(ran),
  )


def html(page: Page) -> str:
  """The page as text; every word in it is escaped."""
  here = pathlib.Path(__file__).parent
  env = jinja2.Environment(
    loader=jinja2.FileSystemLoader(here),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
  )
  env.filters["drawing"] = lambda picture: markupsafe.Markup(picture.svg)
  return env.get_template("page.html").render(page=page)


def text(page: Page) -> str:
  """The page as Markdown; no word in it is a mark."""
  out = [f"# {escaped(page.title)}"]
  if page.facts:
    out.append(paragraph(" · ".join(page.facts)))
  leads = [one for one in page.sections if one.lead]
  for one in leads:
    out += _section(one)
  out += [f"**Warning.** {escaped(warning)}" for warning in page.warnings]
  out += map(paragraph, page.notes)
  for one in page.sections:
    if not one.lead:
      out += _section(one)
  return "\n\n".join(out) + "\n"


def _section(one: Section) -> list[str]:
  out = [f"{'###' if one.minor else '##'} {escaped(one.title)}"] if one.title else []
  out += map(paragraph, one.sentences)
  if one.picture is not None:
    out.append(f"![{escaped(one.picture.alt)}]({one.picture.path}.png)")
    out += [paragraph(one.picture.caption)] if one.picture.caption else []
  if one.table is not None:
    out.append(markdown(one.table))
  if one.terms:
    pairs = (f"- **{escaped(word)}**: {escaped(meaning)}" for word, meaning in one.terms)
    out.append("\n".join(pairs))
  if one.files:
    out.append(", ".join(f"[{name}]({name})" for name in one.files))
  if one.source:
    longest = max(map(len, re.findall("`+", one.source)), default=0)
    fence = "`" * max(3, longest + 1)  # which no line of the source can close
    out.append(f"{fence}\n{one.source}\n{fence}")
  return out + ([paragraph(one.note)] if one.note else [])
