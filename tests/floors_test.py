"""Who may import whom: read from the source, so that no late import escapes."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent
# room -> floor. A room is a file of ovl/ or a folder of it; inside a folder files may
# import one another, unless they are methods.
FLOORS = {
  **dict.fromkeys(
    [
      "types",
      "rng",
      "stats",
      "bounds",
      "nn",
      "kernels",
      "neighbours",
      "columns",
      "split",
      "pooling",
      "chain",
      "exchange",
      "processes",
      "progress",
      "files",
      "about",
      "contents",
      "posterior",
      "ranks",
      "inputs",
      "gang",
    ],
    0,
  ),
  **dict.fromkeys(["mesh", "load", "checkpoint", "results", "arrays", "workdir"], 1),
  **dict.fromkeys(
    ["datasets", "models", "critics", "mitigations", "erasers", "releases"], 2
  ),
  **dict.fromkeys(
    ["taps", "grid", "judge", "step", "plant", "report", "concepts", "erasure"], 3
  ),
  "kept": 3.1,
  "verbs": 3.1,
  "run": 3.2,  # the frame of programs
  **dict.fromkeys(["fit", "readings", "mi", "eraser"], 3.4),  # what they are made of
  "subjects": 3.6,
  **dict.fromkeys(["audit", "unlearn", "memorise"], 4),
  "plan": 4.5,  # rehearses verbs
  "bench": 5,  # measures programs through their doors
  "cli": 6,
  **dict.fromkeys(["sweep", "__main__"], 7),  # command lines of cli's
}
METHODS = {"datasets", "models", "critics", "mitigations", "erasers", "releases"}
FLAX_ONLY_IN = "models"


def _imports(path):
  """Every module a file names, also inside functions and under TYPE_CHECKING."""
  package = path.relative_to(ROOT).with_suffix("").parts
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      base = node.module or ""
      if node.level:
        base = ".".join([*package[: len(package) - node.level], *base.split(".")]).rstrip(
          "."
        )
      if base.removeprefix("ovl.") not in METHODS:  # the folder itself is no method
        yield base
      yield from (f"{base}.{alias.name}" for alias in node.names)


def _room(module):
  parts = module.split(".")
  return parts[1] if parts[0] == "ovl" and len(parts) > 1 else None


def violations(files):
  """Lines that say which file looks up, sideways, or into an unknown room."""
  found = []
  for path in files:
    parts = path.relative_to(ROOT / "ovl").with_suffix("").parts
    if parts == ("__init__",):
      continue
    room = parts[0]
    if room not in FLOORS:
      found.append(f"{path.name}: the room {room!r} has no floor")
      continue
    for module in _imports(path):
      if module.split(".")[0] == "flax" and room != FLAX_ONLY_IN:
        found.append(f"{'/'.join(parts)} imports flax; only ovl/models may")
      other = _room(module)
      if other is None or module == "ovl.__version__":
        continue
      if other not in FLOORS:
        # `from ovl import load` names ovl.load; `from ovl.types import Row` names
        # ovl.types.Row too: only the first part is a room.
        found.append(f"{'/'.join(parts)} imports the unknown room {other!r}")
      elif other == room:
        shared = module.split(".")[2:3] and module.split(".")[2].startswith("_")
        door = parts[-1] == "__init__"  # may name what lies behind it
        if room in METHODS and len(parts) > 1 and not shared and not door:
          found.append(f"{'/'.join(parts)} imports a sister method: {module}")
      elif not _allowed(room, other):
        found.append(f"{'/'.join(parts)} (floor {FLOORS[room]}) imports {other}")
  return found


def _allowed(room, other):
  mine, its = FLOORS[room], FLOORS[other]
  if mine == 0:
    return other == "types" or (its == 0 and other != room)
  if mine == 2:
    return its == 0
  if mine == 3:
    return its < 2
  if 3 < mine <= 4:
    return its in (0, 1, 3) or 3 < its < mine
  return its < mine or (mine == 1 and its == 0)


def test_no_file_looks_up_or_sideways():
  assert violations((ROOT / "ovl").rglob("*.py")) == []


@pytest.mark.parametrize(
  ("place", "text", "said"),
  [
    ("ovl/stats.py", "from ovl import grid", "floor 0"),
    ("ovl/taps.py", "def f():\n  from ovl.grid import run", "imports grid"),
    ("ovl/taps.py", "from .audit import audit", "imports audit"),
    ("ovl/critics/x.py", "from ovl.critics import mlp", "sister"),
    ("ovl/grid/x.py", "if TYPE_CHECKING:\n  import ovl.critics.mlp", "imports critics"),
    ("ovl/critics/x.py", "import flax.linen", "flax"),
    ("ovl/attic.py", "", "no floor"),
    ("ovl/cli.py", "import ovl.attic", "unknown room"),
  ],
)
def test_the_test_sees(tmp_path, monkeypatch, place, text, said):
  monkeypatch.setitem(globals(), "ROOT", tmp_path)
  path = tmp_path / place
  path.parent.mkdir(parents=True)
  path.write_text(text)
  assert any(said in line for line in violations([path]))


def test_configs_import_ml_collections_alone():
  for path in (ROOT / "configs").glob("*.py"):
    tops = {module.split(".")[0] for module in _imports(path)}
    assert tops <= {"ml_collections", "__future__"}, path


def test_pmap_is_gone_for_good():
  for path in (ROOT / "ovl").rglob("*.py"):
    names = {
      n.attr for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute)
    }
    assert "pmap" not in names, path
