"""The report from made-up rows: whole, safe to open, and honest about what is missing."""

from __future__ import annotations

import pathlib
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from ovl import report
from ovl.report import plots
from ovl.report.table import read
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
  return report.write(rows, META | meta, directory).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> pathlib.Path:
  """A report with every verdict."""
  return report.write(fake(EVERY), META, tmp_path_factory.mktemp("whole")).parent


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
  assert report.table(fake(EVERY)).count(verdict) == 3


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
  assert "[red]a[/red]" in report.table(rows)


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
    path = report.write(some, {"title": "T"}, tmp_path / str(number))
    shown = path.read_text(encoding="utf-8").split("<body>")[1]
    assert not re.search(r"\bnan\b|None|Undefined", re.sub(r"<svg.*?</svg>", "", shown))


def test_a_quantity_is_read_by_r2(tmp_path):
  rows = fake({"age": (0.5, "leaks")}, metric="r2")
  text = page(rows, tmp_path)
  words = re.findall(r"<text[^>]*>([^<]*)</text>", text)
  assert "R²" in words
  assert "accuracy" not in words
  assert ">R²</div>" in text


def test_same_rows_same_bytes(whole, tmp_path):
  report.write(fake(EVERY), META, tmp_path)
  paths = sorted(path.relative_to(whole) for path in whole.rglob("*.*"))
  assert len(paths) == 5
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
  lines = report.table(rows[::-1]).splitlines()
  assert lines[-1] == "... and 20 more in rows.csv"
  assert len(lines) <= 44
  assert max(map(len, lines)) <= 100
  order = [int(n) for n in re.findall(r"layer(\d+)", "".join(lines))]
  assert order == [*range(30), *range(10)]
  assert "0.40 [0.36, 0.44]" in report.table(rows[::-1])


def test_a_large_audit_keeps_its_text_size():
  layers = tuple(f"block{i}/attention" for i in range(30))
  found = read(fake({f"attribute {i}": (0.5, "leaks") for i in range(20)}, layers, 2))
  width, height = plots.heatmap(found).get_size_inches()
  assert 12 < width < 20
  assert 10 < height < 20
  assert len(plots.depth(found).axes) == 40


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
