"""Methods from outside the package, of every kind; what `load` keeps and what it runs."""

import gc
import importlib
import pathlib
import sys
import textwrap
import weakref

import jax
import numpy as np
import pytest

import ovl
from ovl.load import KINDS, _load, defaults, kind_of, load, names
from ovl.types import BadInput

KEY = jax.random.key(0)
INSIDE = {
  "datasets": "digits", "models": "mlp", "critics": "hsic", "mitigations": "l2",
  "erasers": "leace", "releases": "gaussian",
}  # fmt: skip
SETTING = {
  "datasets": {"task": "digit"}, "models": {"hidden": (3,)}, "mitigations": {},
  "critics": {"kernel": "linear"}, "erasers": {"tol": 0.01}, "releases": {"clip": 2.0},
}  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.syspath_prepend(str(tmp_path))
  return tmp_path


@pytest.fixture(params=sorted(KINDS))
def kind(request):
  return request.param


def write(kind, path):
  """A method from outside: a copy of the package's own, with its settings."""
  source = importlib.import_module(f"ovl.{kind}.{INSIDE[kind]}").__file__
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(pathlib.Path(source).read_text())


def alike(one, two):
  assert type(one).__name__ == type(two).__name__
  assert one._fields == two._fields


def test_every_kind_from_a_file_a_module_and_made(kind, here):
  write(kind, here / "some-folder" / "mine.py")
  write(kind, here / "outer" / f"{kind}_mine.py")
  own = load(kind, INSIDE[kind], **SETTING[kind])
  for name in ("some-folder/mine.py", f"outer.{kind}_mine"):
    alike(load(kind, name, **SETTING[kind]), own)
    assert set(SETTING[kind]) <= set(defaults(kind, name))
    with pytest.raises(BadInput, match="has no setting 'colour'"):
      load(kind, name, colour=1)
  assert load(kind, own) is own
  with pytest.raises(BadInput, match="is a dict, expected a name or"):
    load(kind, {})
  with pytest.raises(BadInput, match=f"a {KINDS[kind]} that is given made"):
    load(kind, own, colour=1)


def test_a_critic_and_an_eraser_from_a_file_do_what_the_packages_do(here):
  write("critics", here / "c.py")
  write("erasers", here / "e.py")
  z = np.random.default_rng(0).normal(size=(60, 4))
  s = (z[:, 0] > 0).astype(int)
  view = ovl.View.of(z, s)
  values = [load("critics", name).value((), view, KEY) for name in ("hsic", "c.py")]
  assert values[0] == values[1]
  own, mine = ovl.erase(z, s), ovl.erase(z, s, "e.py", rank=1)
  np.testing.assert_array_equal(own(z), mine(z))
  np.testing.assert_array_equal(ovl.ConceptEraser("e.py").fit_transform(z, s), own(z))
  given = load("erasers", "leace")
  np.testing.assert_array_equal(ovl.ConceptEraser(given).fit_transform(z, s), own(z))


def test_a_saved_eraser_says_which_file_it_would_run(here):
  """A file of numbers from somebody else runs no code that nobody named."""
  write("erasers", here / "e.py")
  z = np.random.default_rng(0).normal(size=(60, 4))
  one = ovl.erase(z, z[:, 0] > 0, "e.py")
  one.save("one.npz")
  with pytest.raises(BadInput, match=r"'e.py' is not of the package; .* method='e.py'"):
    ovl.FittedEraser.load("one.npz")
  back = ovl.FittedEraser.load("one.npz", method="e.py")
  np.testing.assert_array_equal(back(z), one(z))


def test_what_is_asked_of_a_critic_that_is_made():
  critic = load("critics", "hsic", attribute="continuous")
  assert load("critics", critic, attribute="continuous") is critic
  with pytest.raises(BadInput, match="reads continuous attributes, not discrete ones"):
    load("critics", critic, attribute="discrete")
  with pytest.raises(BadInput, match=r"expected a name or an ovl[.]Eraser"):
    load("erasers", critic)


def test_which_kind_a_method_is(here):
  write("mitigations", here / "m.py")
  write("critics", here / "outer" / "crit.py")
  both = ("critics", "mitigations")
  found = [kind_of(name, both) for name in ("irene", "l2", "m.py", "outer.crit")]
  assert found == ["critics", "mitigations", "mitigations", "critics"]
  with pytest.raises(BadInput, match="'irine' is unknown: did you mean 'irene'"):
    kind_of("irine", both)
  with pytest.raises(BadInput, match=r"the file has no function eraser\(\)"):
    kind_of("m.py", ("erasers",))


@pytest.mark.parametrize(
  ("name", "said"),
  [
    ("../../x", "is unknown"),
    ("my/critic", "is unknown"),
    ("..", "is unknown"),
    (".x", "is unknown"),
    ("no.such", "ModuleNotFoundError: No module named 'no'"),
    ("../no.py", "no such file"),
    ("bad.py", "SyntaxError"),
    ("broken.py", "NameError: name 'nothing' is not defined"),
    ("empty.py", "the file has no function critic()"),
  ],
)
def test_what_is_no_method_is_one_readable_line(here, name, said):
  pathlib.Path("bad.py").write_text("def critic(:\n")
  pathlib.Path("broken.py").write_text("nothing\n")
  pathlib.Path("empty.py").write_text("")
  with pytest.raises(BadInput) as error:
    load("critics", name)
  assert f"critics.name={name!r}" in str(error.value)
  assert said in str(error.value)
  assert "\n" not in str(error.value)
  assert not list(here.rglob("*x*"))  # a name is read from, never written to


def test_a_file_is_run_as_it_stands_and_by_itself(here, monkeypatch):
  """Also changed within a second at equal length; also what dataclasses look up."""
  monkeypatch.setattr(sys, "dont_write_bytecode", False)
  text = """
    from __future__ import annotations
    from dataclasses import dataclass
    from ovl.types import Mitigation
    @dataclass
    class Scale:
      by: float = {}
    def mitigation(): return Mitigation(penalty=lambda params, weight: Scale().by * weight)
  """
  for folder, by in (("a", 3.0), ("b", 4.0), ("a", 5.0)):
    path = here / folder / "mine.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(textwrap.dedent(text.format(by)))
    assert load("mitigations", f"{folder}/mine.py").penalty((), 1.0) == by
  assert not list(here.rglob("__pycache__"))


def test_data_sets_are_kept_by_nobody():
  data = load("datasets", "digits")
  again = load("datasets", "digits")
  assert data.x is not again.x
  rows = weakref.ref(data.x)
  del data
  gc.collect()
  assert rows() is None


def test_what_is_kept_is_bounded_and_the_same_object():
  assert load("critics", "hsic") is load("critics", "hsic")
  assert _load.cache_info().maxsize <= 256
  assert all(names(kind) for kind in KINDS)
