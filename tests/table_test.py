"""One table, three drawings: words stay words, and the shape is what was said."""

import re
from html.parser import HTMLParser

import pytest

from ovl import report
from ovl.about import About
from ovl.report import page, table
from ovl.report.table import Table
from ovl.types import Row

EVIL = (
  "a | b",
  "<script>alert(1)</script>",
  "[click](http://x.y)",
  "[red]x[/red]",
  "two\nlines\x1b[31m",
  "`code` *bold* _it_ ~~no~~ $x_$ \\",
  "&lt;",
)
EMPTY = ("meta", "br", "hr", "path", "use", "image", "rect")


class Tags(HTMLParser):
  """The tree of a page: what is open, what was closed wrongly, its words."""

  def __init__(self, text):
    super().__init__()
    self.open, self.wrong, self.words, self.rows = [], [], [], []
    self.feed(text)

  def handle_starttag(self, tag, attrs):
    if tag not in EMPTY:
      self.open.append(tag)
    if tag == "tr":
      self.rows.append(0)
    if tag in ("td", "th"):
      self.rows[-1] += 1

  def handle_startendtag(self, tag, attrs):
    pass

  def handle_endtag(self, tag):
    if tag not in EMPTY and (not self.open or self.open.pop() != tag):
      self.wrong.append((tag, self.getpos()))

  def handle_data(self, data):
    self.words.append(data)


class Toy:
  """A page from outside the package."""

  @staticmethod
  def terminal(rows, about):
    return table.pivot(rows, ("subject", "setting"), "metric")

  @classmethod
  def sections(cls, rows, about):
    return [
      report.Section("Asked", ["# no heading", "1. no list"], lead=True),
      report.Section("Found", table=cls.terminal(rows, about), terms=[("a_b", "*c*")]),
      report.Section("More", source="x: <y>", note="> no quotation", folded=True),
    ]


def plain(text):
  """Without sources, and what the page itself makes bold."""
  text = re.sub(r"^(```+)\n.*?\n\1\n", "", text, flags=re.DOTALL | re.MULTILINE)
  return text.replace("**Warning.**", "").replace("- **a_b**", "")


def toy(word):
  rows = [
    Row(subject=word, metric="m", value=0.5, low=0.4, high=0.6),
    Row(subject=word, metric="m", setting='{"dose": 3}', value=0.25),
    Row(subject="b", metric=word, verdict="diverged"),
    Row(subject="b", metric="m", seed=1, value=9.0),
  ]
  return rows, About("toy.py", word, {"seed": 0}, warnings=[word], notes=[word])


@pytest.mark.parametrize("word", EVIL)
def test_no_word_is_a_mark(word, tmp_path):
  rows, about = toy(word)
  said = " ".join("".join(c if c.isprintable() else " " for c in word).split())
  assert said in report.text(Toy, rows, about)
  home = report.write(Toy, rows, about, tmp_path)
  tags = Tags(home.read_text(encoding="utf-8"))
  assert tags.wrong == tags.open == []
  assert tags.words.count(word) >= 5  # title twice, warning, note, subject, metric
  assert "<script" not in home.read_text(encoding="utf-8")
  text = home.with_suffix(".md").read_text(encoding="utf-8")
  lines = [line for line in text.splitlines() if line.startswith("|")]
  bare = [line.replace("\\\\", "").replace("\\|", "") for line in lines]
  assert {line.count("|") for line in bare} == {5}
  assert not re.search(r"(?<!\\)[<`*$]|\]\(http|^# no|^1\. no|^> no", plain(text), re.M)
  assert "\\# no heading" in text
  assert "1\\. no list" in text


def test_pivot_drops_no_aggregate_and_joins_what_shares_a_place():
  rows, _ = toy("a")
  made = table.pivot(rows, ("subject", "setting", "layer"), "metric")
  assert list(made.heads) == ["subject", "setting", "m", "a"]
  assert made.kinds == "htnn"
  assert made.lines == [
    ["a", "", "0.500 [0.400, 0.600]", ""],
    ["a", "dose 3", "0.250", ""],
    ["b", "", "", "diverged"],
  ]
  twice = [Row(metric="m", method=name, value=1.0) for name in "xy"]
  (line,) = table.pivot(twice, ("subject",), "metric").lines
  assert line == ["x 1.000; y 1.000"]


def test_a_line_of_another_length_is_refused():
  with pytest.raises(ValueError, match="2 columns"):
    Table(("a", "b"), "tt", [["1"]])
  with pytest.raises(ValueError, match="2 columns"):
    Table(("a", "b"), "t", [])


def test_what_a_line_is_about_is_said_once():
  made = Table(("a", "n"), "hn", [["x", "1"], ["x", "2"], ["y", "3"]])
  one = page.Page("T", [], [report.Section(table=made)])
  text = page.html(one)
  assert text.count('rowspan="2"') == 1
  assert text.count('<th scope="row">') == 1
  tags = Tags(text)
  assert tags.rows == [2, 2, 1, 2]
  lines = table.terminal(made).splitlines()
  assert [line.split() for line in lines[2:]] == [["x", "1"], ["x", "2"], ["y", "3"]]
  assert lines[-1].endswith("3")  # numbers to the right
  assert table.markdown(made).splitlines()[1] == "|---|--:|"


def test_several_tables_and_all_of_a_wide_one():
  class Two(Toy):
    @staticmethod
    def terminal(rows, about):
      return [Table(("a" * 300, "b"), "tt", [["c" * 300, "d"]], "above", ["below"])] * 2

  text = report.text(Two, [], About("x", "T", {}))
  assert text.count("c" * 300) == text.count("above") == text.count("below") == 2


def test_closed_sections_and_files_are_at_the_end(tmp_path):
  rows, about = toy("a")
  text = report.write(Toy, rows, about, tmp_path).read_text(encoding="utf-8")
  assert text.index("Asked") < text.index('class="lead warn"') < text.index("Found")
  assert "<summary>More</summary>" in text
  assert "x: &lt;y&gt;" in text
  assert text.index("rows.csv") < text.index("<summary>Configuration</summary>")


def test_a_picture_of_any_name_stays_in_its_folder(tmp_path):
  one = report.Picture("../../block0/<i>", "<svg></svg>", b"png", "alt")
  made = page.Page("T", [], [report.Section(picture=one)])
  report.save(made, tmp_path / "w", "report")
  (png,) = (tmp_path / "w/plots").glob("*.png")
  assert {path.name for path in tmp_path.iterdir()} == {"w"}
  assert f"(plots/{png.name})" in (tmp_path / "w/report.md").read_text()
