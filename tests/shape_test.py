"""The shape of the code: files, functions and signatures of a size that can be read."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent
FILE, FUNCTION, PARAMETERS = 300, 60, 6
# Rooms whose functions take few parameters.
FEW = ("judge", "subjects", "readings", "audit", "unlearn", "mi", "grid")
# What is over today; an entry that is no longer needed fails.
LONG_FILES: set[str] = set()
LONG_FUNCTIONS: set[str] = set()
WIDE = {
  "grid/measure:measure",
  "grid/sweep:sweep",
}


def rows(path):
  return len(path.read_text().splitlines())


def functions(path):
  """Every function of a file, `outer.inner`, with its lines of code and its parameters.

  A docstring and the signature are no code; `self` and `cls` are no parameters.
  """

  def walk(node, where):
    for child in ast.iter_child_nodes(node):
      name = where
      if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        name = f"{where}.{child.name}" if where else child.name
      if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
        body = child.body[ast.get_docstring(child) is not None :]
        lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
        args = child.args
        named = [a.arg for a in (*args.posonlyargs, *args.args, *args.kwonlyargs)]
        more = (args.vararg is not None) + (args.kwarg is not None)
        count = len([a for a in named if a not in ("self", "cls")]) + more
        yield name, lines, count
      yield from walk(child, name)

  yield from walk(ast.parse(path.read_text()), "")


def doors():
  """Names that `ovl` itself offers, and the programs behind them."""
  tree = ast.parse((ROOT / "ovl" / "__init__.py").read_text())
  return {
    alias.name
    for node in ast.walk(tree)
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
  }


def over(root):
  """Files, functions and signatures that are too large, as the lists above name them."""
  files, long, wide = set(), set(), set()
  public = doors()
  for path in sorted((root / "ovl").rglob("*.py")):
    place = path.relative_to(root / "ovl").with_suffix("").as_posix()
    if rows(path) > FILE:
      files.add(place)
    for name, lines, count in functions(path):
      if lines > FUNCTION:
        long.add(f"{place}:{name}")
      if place.split("/")[0] in FEW and count > PARAMETERS and name not in public:
        wide.add(f"{place}:{name}")
  return files, long, wide


@pytest.mark.parametrize("which", [0, 1, 2], ids=["files", "functions", "parameters"])
def test_everything_is_of_reading_size(which):
  found, known = over(ROOT)[which], (LONG_FILES, LONG_FUNCTIONS, WIDE)[which]
  assert sorted(found - known) == [], "too large: split it, or bundle what travels together"
  assert sorted(known - found) == [], "no longer too large: take it off the list"


def test_the_test_sees(tmp_path, monkeypatch):
  (tmp_path / "ovl" / "judge").mkdir(parents=True)
  (tmp_path / "ovl" / "__init__.py").write_text("from ovl.judge.a import door\n")
  monkeypatch.setitem(globals(), "ROOT", tmp_path)
  body = "\n".join(["  x = 1"] * 61)
  (tmp_path / "ovl" / "judge" / "a.py").write_text(
    f"def f(a, b, c, d, e, *, g, h):\n  '''Doc.'''\n{body}\n"
    "class C:\n  def m(self, a, b, c, d, e, f): pass\n"
    "def door(a, b, c, d, e, f, g): pass\n"
  )
  (tmp_path / "ovl" / "long.py").write_text("\n" * 301)
  assert over(tmp_path) == ({"long"}, {"judge/a:f"}, {"judge/a:f"})
