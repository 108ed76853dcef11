"""A run's folder belongs to a config and to what the config's files hold."""

import json
import pathlib

import pytest

from ovl import load, workdir
from ovl.contents import contents
from ovl.types import BadInput

MODEL = """
from ovl import load
def model(classes=2):
  return load("models", "mlp", classes=classes, hidden=({width},))
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.delenv("OVL_DATA", raising=False)
  for folder in ("data/mnist", "nets/0/a", "acts/taps"):
    pathlib.Path(folder).mkdir(parents=True)
  for name in ("data/mnist/x.gz", "nets/0/a/p", "acts/taps/fc.npy", "acts.npz"):
    pathlib.Path(name).write_bytes(b"1")
  for name in ("net.py", "critic.py", "push.py", "data.py"):
    pathlib.Path(name).write_text("a = 1\n")
  return tmp_path


CONFIG = {
  "seed": 0,
  "dataset": {"name": "data.py", "data_dir": "data"},
  "model": {"name": "net.py"},
  "fit": {"checkpoint": "nets"},
  "audit": {"critics": ("linear", "critic.py")},
  "unlearn": {"penalties": {"push.py": {}}},
}


@pytest.mark.parametrize(
  ("config", "file", "name"),
  [
    ({"path": "acts.npz"}, "acts.npz", "path"),
    ({"path": "acts"}, "acts/taps/fc.npy", "path"),
    (CONFIG, "data/mnist/x.gz", "dataset.data_dir"),
    (CONFIG, "nets/0/a/p", "fit.checkpoint"),
    (CONFIG, "net.py", "net.py"),
    (CONFIG, "critic.py", "critic.py"),
    (CONFIG, "push.py", "push.py"),
    (CONFIG, "data.py", "data.py"),
  ],
)
@pytest.mark.parametrize("status", ["complete", "running"])
def test_a_run_on_other_content_is_moved_aside(here, config, file, name, status):
  home = pathlib.Path("w")
  assert workdir.claim(home, config) == ""
  workdir.record(home, status, 0.0)
  (home / "rows.csv").write_text("old")
  assert workdir.claim(home, config) == ""  # as it was: the same run
  assert (home / "rows.csv").is_file()
  for number in (1, 2):
    pathlib.Path(file).write_text(f"b = {number}\n")
    said = workdir.claim(home, config)
    assert name in said
    assert f"w.{number}" in said
    assert "\n" not in said
    assert sorted(p.name for p in home.iterdir()) == ["config.json", "contents.json"]
  assert pathlib.Path("w.1/rows.csv").read_text() == "old"
  assert workdir.is_complete(pathlib.Path("w.1")) == (status == "complete")


def test_a_new_file_or_another_name_in_a_folder_is_other_content(here):
  config = {"path": "acts"}
  before = contents(config)
  pathlib.Path("acts/taps/fc.npy").rename("acts/taps/fc9.npy")
  renamed = contents(config)
  pathlib.Path("acts/taps/more.npy").write_bytes(b"2")
  assert len({c["path"] for c in (before, renamed, contents(config))}) == 3


def test_runs_below_a_folder_are_none_of_its_content(here):
  config = {"path": "acts"}
  workdir.claim(pathlib.Path("acts/w"), config)
  workdir.record(pathlib.Path("acts/w"), "complete", 0.0)
  assert workdir.claim(pathlib.Path("acts/w"), config) == ""


def test_a_folder_of_unknown_content_is_not_trusted(here):
  workdir.claim(pathlib.Path("w"), {"path": "acts.npz"})
  pathlib.Path("w/contents.json").unlink()
  assert "w.1" in workdir.claim(pathlib.Path("w"), {"path": "acts.npz"})


def test_a_config_without_files_has_no_content_and_needs_none(here):
  config = {"dataset": {"name": "digits"}, "model": {"name": "mlp"}}
  assert contents(config) == {}
  workdir.claim(pathlib.Path("w"), config)
  pathlib.Path("w/contents.json").unlink()  # as earlier versions wrote it
  assert workdir.claim(pathlib.Path("w"), config) == ""


def test_the_folder_of_all_data_counts_for_data_sets_that_read_it(here, monkeypatch):
  monkeypatch.setenv("OVL_DATA", "data")
  assert contents({"dataset": {"name": "digits"}}) == {}
  one = contents({"dataset": {"name": "adult", "data_dir": None}})
  assert one == {"dataset.data_dir": one["dataset.data_dir"]}


@pytest.mark.parametrize(
  "config",
  [{"path": "no.npz"}, {"fit": {"checkpoint": "no"}}, {"model": {"name": "no.py"}}],
)
def test_what_is_missing_is_said_and_nothing_is_moved(here, config):
  home = pathlib.Path("w")
  home.mkdir()
  (home / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
  with pytest.raises(BadInput, match=r"no\S* does not exist"):
    workdir.claim(home, config)
  assert home.is_dir()
  assert not pathlib.Path("w.1").exists()


def test_another_config_is_refused_also_on_other_content(here):
  workdir.claim(pathlib.Path("w"), {"path": "acts.npz", "seed": 0})
  pathlib.Path("acts.npz").write_bytes(b"2")
  with pytest.raises(BadInput, match="another config"):
    workdir.claim(pathlib.Path("w"), {"path": "acts.npz", "seed": 1})


def test_a_method_whose_file_changed_is_made_anew(here):
  pathlib.Path("net.py").write_text(MODEL.format(width=3))
  one = load("models", "net.py")
  assert load("models", "net.py") is one
  pathlib.Path("net.py").write_text(MODEL.format(width=4))
  assert load("models", "net.py") is not one


def test_a_dotted_module_is_content_and_is_not_run(here, monkeypatch):
  monkeypatch.syspath_prepend(str(here))
  pathlib.Path("mine").mkdir()
  pathlib.Path("mine/push.py").write_text("raise SystemExit\n")
  config = {"unlearn": {"penalties": {"p": {"method": "mine.push"}}}}
  one = contents(config)
  assert list(one) == ["mine.push"]
  pathlib.Path("mine/push.py").write_text("a = 2\n")
  assert contents(config) != one
  assert contents({"dataset": {"task": "no.such"}, "model": {"name": "mine."}}) == {}
