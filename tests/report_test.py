"""The report from made-up rows: whole, safe to open, and honest about what is missing."""

from __future__ import annotations

import pathlib
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from ovl import report
from ovl.about import About
from ovl.report import audit, drawing, front, removal, unlearn
from ovl.report import depth as depths
from ovl.report import heatmap as heatmaps
from ovl.report.cells import read
from ovl.types import BadInput, Row

VERDICTS = (
  "overlearned",
  "passed through",
  "leaks",
  "entailed by the task",
  "no evidence",
  "too few examples",
  "constant attribute",
)
META = {
  "verb": "audit",
  "title": "Digits",
  "task": "digit >= 5",
  "num_models": 4,
  "unit": "models",
  "split": {"train": 800, "probe": 400, "stop": 100, "test": 500},
  "attributes": {"identity": {"kind": "discrete", "classes": 10, "entropy": 2.3}},
  "reduced": {"conv": [[8, 8, 32], 512]},
  "versions": {"python": "3.11"},
  "config": {"seed": 0},
}


def fake(
  attributes: dict[str, tuple[float, str]],
  layers: tuple[str, ...] = ("fc1", "fc2", "logits"),
  seeds: int = 4,
  twins: bool = True,
  metric: str = "accuracy",
) -> list[Row]:
  """Rows as an audit writes them: attribute -> (share, verdict), the same at any depth."""
  rng = np.random.default_rng(0)
  rows: list[Row] = []

  def add(value: float, layer: str, name: str, what: str, subject: str, **more) -> None:
    judged = more.get("verdict") not in VERDICTS[-2:]
    common = {
      "subject": subject,
      "layer": layer,
      "layer_index": layers.index(layer) if layer in layers else None,
      "width": 64 if layer else None,
      "attribute": name,
      "classes": None if metric == "r2" else 10,
      "metric": what,
    }
    each = value + 0.03 * rng.standard_normal(seeds)
    more = {"num_seeds": seeds, "level": 0.95} | more
    if judged:
      more |= {"value": value, "low": value - 0.04, "high": value + 0.04}
      for seed in range(seeds):
        rows.append(Row(**common, seed=seed, value=each[seed]))
    rows.append(Row(**common, **more))

  add(0.97, "", "", "task_accuracy", "trained")
  for name, (share, verdict) in attributes.items():
    add(0.35, "", name, metric, "label")
    add(0.1, "", name, metric, "majority")
    add(0.8, "input", name, metric, "raw")
    add(0.8, "input", name, "share_beyond_task", "raw")
    for depth, layer in enumerate(layers):
      here = share * (1 - 0.3 * depth / len(layers))
      known = {"p": 0.0004, "method": "mlp", "flag": "reliable"}
      if verdict in VERDICTS[-2:]:
        known = {}
      add(here, layer, name, "share_beyond_task", "trained", verdict=verdict, **known)
      add(0.1 + 0.8 * here, layer, name, metric, "trained")
      add(0.11, layer, name, metric, "permuted")
      rows.append(rows[-1]._replace(metric="recall", setting='{"class":"3"}'))
      low = rows[-1]._replace(metric="detectable_share", subject="trained", value=0.034)
      rows.append(low._replace(setting="", low=None, high=None))
      if twins:
        add(here / 2, layer, name, "share_beyond_task", "untrained")
        add(0.1 + 0.4 * here, layer, name, metric, "untrained")
        note = "reduced" if verdict == "passed through" else ""
        add(here / 2, layer, name, "excess_share", "trained", p=0.002, verdict=note)
  return rows


EVERY = {verdict[:-2]: (0.9 - i / 8, verdict) for i, verdict in enumerate(VERDICTS)}


def page(rows: list[Row], directory: pathlib.Path, **meta) -> str:
  about = About(**META | meta)
  return report.write(audit, rows, about, directory).read_text(encoding="utf-8")


def table(rows: list[Row]) -> str:
  return report.text(audit, rows, About(**META))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> pathlib.Path:
  """A report with every verdict."""
  home = tmp_path_factory.mktemp("whole")
  return report.write(audit, fake(EVERY), About(**META), home).parent


def test_page_needs_nothing_but_itself(whole):
  text = (whole / "report.html").read_text(encoding="utf-8")
  assert "<script" not in text.lower()
  assert not re.search(r"(src|href)\s*=\s*[\"']?\s*(\w+:)?//", text)
  assert not re.search(r"@import|url\(\s*[\"']?(?!#)", text)
  assert text.count("<svg") == 2
  for name in ("heatmap", "depth"):
    ElementTree.parse(whole / "plots" / f"{name}.svg")
    assert (whole / "plots" / f"{name}.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("verdict", VERDICTS)
def test_every_verdict_is_shown(verdict, whole):
  text = (whole / "report.html").read_text(encoding="utf-8")
  body = text.split("<h2>Verdicts</h2>")[1].split("</table>")[0]
  assert body.count(f"</span>{verdict}") == 3
  assert table(fake(EVERY)).count(verdict) == 3


def test_names_are_text_everywhere(tmp_path):
  evil = {"<script>alert(1)</script>": (0.5, "leaks"), "$x_$": (0.4, "overlearned")}
  rows = fake(evil, layers=("<b>", "$\\frac$", "[red]a[/red]"))
  text = page(rows, tmp_path, title="<i>", warnings=["<u>"], model="a & b")
  for raw in ("<script", "<b>", "<i>", "<u>", "a & b"):
    assert raw not in text
  assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
  for name in ("heatmap", "depth"):
    svg = ElementTree.parse(tmp_path / "plots" / f"{name}.svg")
    words = [node.text for node in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert "$x_$" in words
    assert "$\\frac$" in words
  assert "[red]a[/red]" in table(rows)


def test_one_model_without_a_twin(tmp_path):
  rows = fake({"sex": (0.4, "leaks")}, layers=("fc",), seeds=1, twins=False)
  text = page(rows, tmp_path, num_models=1, unit="examples")
  assert "another training run" in text
  assert "its origin stays open" in text
  assert "excess by training" not in text
  assert "Excess test" not in text


def test_only_the_title_is_needed(tmp_path):
  rows = fake({v: (0.5, v) for v in VERDICTS}, ("fc",), metric="r2")
  empty = [row._replace(value=None, low=None, high=None, p=None) for row in rows]
  nan = [row._replace(value=np.nan, low=np.nan, high=np.nan) for row in rows]
  for number, some in enumerate((rows, empty, nan, [])):
    path = report.write(audit, some, About("audit", "T", {}), tmp_path / str(number))
    for one in (path, path.with_suffix(".md")):
      shown = re.sub(r"<svg.*?</svg>", "", one.read_text(encoding="utf-8"), flags=re.DOTALL)
      assert not re.search(r"\bnan\b|None|Undefined", shown)


def test_a_quantity_is_read_by_r2(tmp_path):
  rows = fake({"age": (0.5, "leaks")}, metric="r2")
  text = page(rows, tmp_path)
  words = re.findall(r"<text[^>]*>([^<]*)</text>", text)
  assert "R²" in words
  assert "accuracy" not in words
  assert ">R²</div></td>" in text


def test_same_rows_same_bytes(whole, tmp_path):
  page(fake(EVERY), tmp_path)
  paths = sorted(path.relative_to(whole) for path in whole.rglob("*.*"))
  assert len(paths) == 6
  for path in paths:
    assert (whole / path).read_bytes() == (tmp_path / path).read_bytes()


def test_the_answer_follows_the_verdicts(tmp_path):
  some = {
    "identity": (0.9, "overlearned"),
    "ink": (0.5, "passed through"),
    "coin": (0.0, "no evidence"),
    "half": (0.01, "entailed by the task"),
    "rare": (0.0, "too few examples"),
  }
  lead = page(fake(some), tmp_path).split("The answer")[1].split("</section>")[0]
  said = [" ".join(s.split()) for s in re.findall(r"<p>(.*?)</p>", lead, re.DOTALL)]
  assert said[0].startswith("In 6 of 12 judged cells")
  assert "identity (3 of 3 layers, most in fc1: 0.90)" in said[1]
  assert "ink (3 of 3 layers, most in fc1: 0.50)" in said[2]
  assert "coin (80 % power to find a share of 0.034 or more)" in said[3]
  assert said[4].endswith(": half.")
  assert said[5] == "Not judged (too few examples): rare."
  quiet = page(fake({"coin": (0.0, "no evidence")}), tmp_path)
  assert "No attribute could be read beyond" in quiet


def test_table_is_short_and_in_order(tmp_path):
  layers = tuple(f"layer{i}" for i in range(30))
  rows = fake({"b": (0.5, "leaks"), "a" * 99: (0.4, "leaks")}, layers)
  lines = table(rows[::-1]).splitlines()
  assert lines[-1] == "... and 20 more in rows.csv"
  assert len(lines) <= 44
  assert max(map(len, lines)) <= 100
  order = [int(n) for n in re.findall(r"layer(\d+)", "".join(lines))]
  assert order == [*range(30), *range(10)]
  assert "0.40 [0.36, 0.44]" in table(rows[::-1])


def test_a_large_audit_keeps_its_text_size():
  layers = tuple(f"block{i}/attention" for i in range(30))
  found = read(fake({f"attribute {i}": (0.5, "leaks") for i in range(20)}, layers, 2))
  width, height = heatmaps.heatmap(found).get_size_inches()
  assert 12 < width < 20
  assert 10 < height < 20
  assert len(depths.depth(found).axes) == 40


def test_the_style_of_the_caller_is_left_alone(tmp_path):
  import matplotlib as mpl

  small = fake({"sex": (0.4, "leaks")}, ("fc",))
  with mpl.rc_context({"text.usetex": True, "font.size": 30}):
    before = dict(mpl.rcParams)
    page(small, tmp_path)
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("name", ["plots/heatmap.svg", "plots/depth.png", "report.html"])
def test_a_file_that_cannot_be_written_is_named(name, tmp_path):
  (tmp_path / name).mkdir(parents=True)
  with pytest.raises(BadInput, match=f"cannot write .*{name}"):
    page(fake({"sex": (0.4, "leaks")}, ("fc",)), tmp_path)


# ---- an unlearning study -------------------------------------------------------------


def study(
  points: dict[tuple[str, str], tuple[float, float]],
  layers: tuple[str, ...] = ("fc2",),
  attribute: str = "colour",
) -> list[Row]:
  """Rows as `ovl unlearn` writes them: (subject, setting) -> (share left, accuracy)."""
  base = Row(kind="unlearn", attribute=attribute, level=0.95, num_seeds=3)
  label = base._replace(subject="label", metric="share", value=0.1, low=0.08, high=0.12)
  rows = [label, label._replace(subject="majority", value=0.0, low=0.0, high=0.0)]

  def ends(row: Row, value: float, wide: float = 0.03) -> Row:
    return row._replace(value=value, low=value - wide, high=value + wide)

  for layer in layers:
    for number, ((subject, setting), (left, accuracy)) in enumerate(points.items()):
      row = base._replace(subject=subject, setting=setting, layer=layer)
      rows.append(ends(row._replace(metric="share", seed=1, num_seeds=None), 9 * left))
      rows.append(ends(row._replace(metric="share"), left))
      rows.append(ends(row._replace(metric="task_accuracy", attribute=""), accuracy))
      beyond = ends(row._replace(metric="share_beyond_task", p=0.004), left)
      if subject == "no_penalty":
        rows.append(beyond._replace(verdict="leaks"))
      else:
        said = "removed" if left < 0.1 else "reduced"
        flag = "critic_fooled" if left > 0.3 else ""
        rows.append(beyond._replace(verdict=said, flag=flag))
        rows.append(ends(row._replace(metric="task_cost"), 0.97 - accuracy))
        rows.append(ends(row._replace(metric="removed_share"), 0.8 - left))
      rows.append(row._replace(metric="on_front", value=float(number % 2), level=None))
      known = (
        '{"attacker": "mlp"}' if not setting else setting[:-1] + ', "attacker": "mlp"}'
      )
      rows.append(ends(row._replace(metric="share", setting=known), left / 2))
      read = row._replace(metric="critic_information", method="irene", unit="nats")
      rows.append(ends(read, left))
  return rows


POINTS = {
  ("no_penalty", ""): (0.8, 0.97),
  ("untrained", ""): (0.3, 0.1),
  ("irene", '{"weight": 0.3}'): (0.4, 0.96),
  ("irene", '{"weight": 3.0}'): (0.05, 0.91),
  ("leace", ""): (0.2, 0.9),
}


def lost(rows: list[Row], what: float | None) -> list[Row]:
  return [r._replace(value=what, low=what, high=what, p=what) for r in rows]


def shown(path: pathlib.Path) -> str:
  """What a reader of the page sees, without pictures and settings."""
  body = path.read_text(encoding="utf-8").split("<body>")[1].split("<details>")[0]
  return re.sub(r"<svg.*?</svg>", "", body, flags=re.DOTALL)


def forget(rows: list[Row], directory: pathlib.Path, **meta) -> pathlib.Path:
  about = About(**{"verb": "unlearn", "title": "T", "config": {}} | meta)
  return report.write(unlearn, rows, about, directory)


def points(rows: list[Row]) -> str:
  return report.text(unlearn, rows, About("unlearn", "T", {}))


def test_points_are_read_back():
  spots = {(s.subject, s.weight): s for s in removal.read(study(POINTS)) if s.layer}
  assert list(spots) == [
    ("no_penalty", ""), ("untrained", ""), ("irene", "0.3"), ("irene", "3"), ("leace", ""),
  ]  # fmt: skip
  one = spots["irene", "3"]
  assert one.by_metric["share"].value == 0.05  # of all attackers, not of one or one seed
  assert one.attackers["mlp"].value == 0.025
  assert one.read["irene"].value == 0.05
  assert (one.on_front, one.verdict) == (True, "removed")


def test_removal_table_has_a_line_a_point():
  lines = points(study(POINTS)).splitlines()
  assert sum("irene" in line for line in lines) == 2
  assert not any("majority" in line for line in lines)
  (line,) = (line for line in lines if "irene*" in line)
  numbers = "0.910 [0.880, 0.940] 0.060 0.05 [0.02, 0.08] 0.05 [0.02, 0.08]"
  assert " ".join(line.split()) == f"irene* 3 {numbers} removed"
  (line,) = (line for line in lines if "0.3 " in line and "irene" in line)
  assert line.endswith("reduced, critic fooled")
  assert max(map(len, lines)) <= 132
  assert "* on the front" in lines[-1]


def test_names_of_subjects_are_no_markup(tmp_path):
  evil = {("no_penalty", ""): (0.8, 0.97)} | {
    (name, ""): (0.4, 0.9)
    for name in ("[red]a[/red]", "<script>alert(1)</script>", "$\\frac$", "a & b")
  }
  rows = study(evil, layers=("<b>", "$x_$"), attribute="<u>")
  assert "[red]a[/red]" in points(rows)
  path = forget(rows, tmp_path, title="<i>", warnings=["<s>"], notes=["<q>"])
  text = path.read_text(encoding="utf-8")
  for raw in ("<script", "<b>f", "<u>", "<i>", "<s>", "<q>", "a & b"):
    assert raw not in text
  assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
  svg = ElementTree.parse(tmp_path / "plots/front.svg")
  words = [node.text for node in svg.iter("{http://www.w3.org/2000/svg}text")]
  assert "$\\frac$" in words
  assert "$x_$" in words


def test_unlearning_page_needs_nothing_but_itself(tmp_path):
  loud = ["irene: seeds [1] diverged and are left out"]
  path = forget(study(POINTS), tmp_path, warnings=loud)
  text = path.read_text(encoding="utf-8")
  assert "<script" not in text.lower()
  assert not re.search(r"(src|href)\s*=\s*[\"']?\s*(\w+:)?//", text)
  assert text.count("<svg") == 1
  assert "irene: seeds [1] diverged" in text
  assert "95 % intervals" in text
  said = " ".join(shown(path).split())
  assert "a fresh attacker reads 0.80 [0.77, 0.83] of colour" in said
  assert "1 of 3 points removed it; of these the cheapest is irene at weight 3" in said
  assert "0.05 [0.02, 0.08] left, 0.060 [0.030, 0.090] of task accuracy lost" in said
  assert "the cheapest is irene at weight 0.3" in said
  ElementTree.parse(tmp_path / "plots/front.svg")
  assert (tmp_path / "plots/front.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("layers", [("fc2",), ("fc1", "fc2"), ("a", "b", "c")])
def test_the_front_has_a_panel_a_layer(layers):
  spots = removal.read(study(POINTS, layers))
  figure = front.front(spots)
  assert len(figure.axes) == len(layers)
  for axes in figure.axes:
    at = np.concatenate([line.get_xydata() for line in axes.lines if len(line.get_xdata())])
    assert np.isfinite(at).all()
  words = [text.get_text() for text in figure.legends[0].get_texts()]
  assert words == ["no_penalty", "untrained", "irene", "leace", "front", "task label alone"]


def test_nothing_of_the_front_is_cut_off():
  long = POINTS | {("a name of thirty characters ab", ""): (0.5, 0.5)}
  spots = removal.read(study(long, ("fc1", "fc2")))

  def drawn():
    figure = front.front(spots)
    edge = figure.bbox
    FigureCanvasAgg(figure).draw()
    (legend,) = figure.legends
    for part in (legend, *figure.axes):
      box = part.get_tightbbox()
      assert box.x0 >= edge.x0
      assert box.x1 <= edge.x1
      assert box.y0 >= edge.y0
      assert box.y1 <= edge.y1
    return figure

  drawing.render("front", drawn, "", "")  # in the style of the house


def test_a_study_without_a_layer_is_an_empty_picture(tmp_path):
  text = shown(forget([], tmp_path))
  assert "No point removed it." in text


@pytest.mark.parametrize("what", [None, np.nan])
def test_points_without_numbers_are_left_out_of_page_and_picture(what, tmp_path):
  rows = study(POINTS, ("fc1", "fc2"))
  gone = [r for r in rows if r.subject == "irene"]
  some = [r for r in rows if r.subject != "irene"] + lost(gone, what)
  dead = Row(kind="unlearn", subject="end", layer="fc1", metric="share_beyond_task")
  some.append(dead._replace(verdict="diverged", num_seeds=0, attribute="colour"))
  no_ends = [r._replace(low=what, high=what) for r in rows]
  cases = (some, no_ends, lost(rows, what), [r for r in rows if r.metric != "share"])
  for number, mine in enumerate(cases):
    path = forget(mine, tmp_path / str(number))
    assert not re.search(r"\bnan\b|None|Undefined", shown(path))
    svg = (tmp_path / str(number) / "plots/front.svg").read_text(encoding="utf-8")
    assert "nan" not in svg
    assert "nan" not in points(mine)
  assert "diverged" in shown(tmp_path / "0/report.html")


def test_same_study_same_bytes(tmp_path):
  for name in ("a", "b"):
    forget(study(POINTS), tmp_path / name)
  for path in ("report.html", "report.md", "plots/front.svg", "plots/front.png"):
    assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()
