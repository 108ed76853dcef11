"""A grid of config overrides -> jobs, and which of them are this process's."""

from __future__ import annotations

import ast
import itertools
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ovl import cli, run, workdir
from ovl.contents import contents
from ovl.files import slug
from ovl.types import BadInput


class Job(NamedTuple):
  """One command line of a sweep.

  Attributes:
    verb: which program.
    overrides: dotted key of the config -> value.
    words: after `ovl VERB`.
    directory: its workdir.
    config: what the words make of the experiment.
  """

  verb: str
  overrides: dict[str, Any]
  words: list[str]
  directory: pathlib.Path
  config: dict[str, Any]

  @property
  def name(self) -> str:
    """Of its workdir and log."""
    return self.directory.name

  @property
  def log(self) -> pathlib.Path:
    """Where what it says is kept."""
    return self.directory.parent / "logs" / f"{self.name}.txt"

  @property
  def said(self) -> str:
    """What is its own, in words."""
    return ", ".join(f"{key}={value}" for key, value in self.overrides.items()) or "run"

  @property
  def complete(self) -> bool:
    """Whether a finished run of this config, on these very files, lies there.

    Only reads: several processes may ask at once. Where it says no without need, the verb
    itself says that there is nothing to do.
    """
    if not workdir.is_complete(self.directory):
      return False
    mine = json.loads(json.dumps(self.config))  # tuples as lists
    theirs, files = (
      json.loads((self.directory / name).read_text(encoding="utf-8"))
      for name in ("config.json", "contents.json")
    )
    # How many devices share the work is not what was asked.
    mine, theirs = (
      {key: value for key, value in one.items() if key != "mesh"} for one in (mine, theirs)
    )
    return mine == theirs and files == contents(self.config)


def home(verb: str, config: str) -> pathlib.Path:
  """Where a sweep goes by default."""
  name, _, words = config.partition(":")
  label = [pathlib.Path(verb).stem, pathlib.Path(name).stem, *words.split(",")]
  return pathlib.Path("ovl-runs", "-".join(["sweep", *filter(None, label)]))


def jobs(
  verb: str, config: str, sweeps: Sequence[str], words: Sequence[str], out: pathlib.Path
) -> list[Job]:
  """The grid: the last of the overrides changes fastest.

  Args:
    verb: which program.
    config: an experiment's name or file; "": the verb's own.
    sweeps: "KEY=VALUE,VALUE,..." each.
    words: more paths and flags, the same for all jobs.
    out: the folder of all workdirs.

  Raises:
    BadInput: anything that the verb's command line would refuse, before any job starts.
  """
  if (out / "config.json").exists():
    raise BadInput(f"--out={out} is the workdir of a run; expected a folder of workdirs")
  if any(word.startswith(("--workdir", "--config=")) for word in words):
    raise BadInput("after --: the sweep gives each job its --config and --workdir itself")
  axes = [_axis(sweep) for sweep in sweeps]
  keys = [key for key, _ in axes]
  for key in keys:
    if keys.count(key) > 1:
      raise BadInput(f"--sweep={key}=...: given twice; write its values in one")
  found = []
  for texts in itertools.product(*(values for _, values in axes)):
    overrides = dict(zip(keys, map(_value, texts), strict=True))
    asked = [f"--config={config}"] * bool(config)
    asked += [f"--config.{key}={text}" for key, text in zip(keys, texts, strict=True)]
    name = slug(",".join(f"{k}={v!r}" for k, v in overrides.items())) if keys else "run"
    asked = [*words, *asked, f"--workdir={out / name}"]
    found.append(Job(verb, overrides, asked, out / name, _config(verb, asked)))
  return found


def _config(verb: str, words: list[str]) -> dict[str, Any]:
  """What a command line asks for, as `ovl` itself reads it."""
  one = run.verb(verb)
  values, paths, _ = cli.parse(verb, one, words)
  given = {flag: values[flag].value for flag in values}
  tree = given.get("config")
  config = {} if tree is None else tree.to_dict()
  return run.named(verb, config | one.asked(paths, given))


def _axis(sweep: str) -> tuple[str, list[str]]:
  """The key and its texts; a comma inside brackets or quotes belongs to a value."""
  key, equals, text = sweep.partition("=")
  key = key.strip().removeprefix("config.")
  texts, depth, quote = [""], 0, ""
  for char in text:
    if quote:
      quote = "" if char == quote else quote
    elif char in "'\"":
      quote = char
    else:
      depth += (char in "([{") - (char in ")]}")
    if char == "," and not depth and not quote:
      texts.append("")
    else:
      texts[-1] += char
  texts = [text.strip() for text in texts]
  if not (key and equals and all(texts)):
    raise BadInput(f"--sweep={sweep}: expected KEY=VALUE,VALUE,... without empty values")
  values = [repr(_value(text)) for text in texts]
  for text, value in zip(texts, values, strict=True):
    if values.count(value) > 1:
      raise BadInput(f"--sweep={sweep}: {text} is there twice")
  return key, texts


def _value(text: str) -> Any:
  """A number, tuple or text; true and false as flags know them."""
  if text.lower() in ("true", "false"):
    return text.lower() == "true"
  try:
    return ast.literal_eval(text)
  except (ValueError, SyntaxError):
    return text


def share(
  index: int | None, count: int | None, environment: Mapping[str, str]
) -> tuple[int, int]:
  """Which part of the jobs is this process's: every `count`-th, from `index` on.

  Args:
    index: as given; else SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX.
    count: as given; else SLURM_ARRAY_TASK_COUNT. What Kubernetes does not tell must be
      given: hosts that work on one job together have an index too.
    environment: of the process.

  Raises:
    BadInput: an index without a count, a count without an index, or one outside of it.
  """
  task = {
    name: int(environment.get(f"SLURM_ARRAY_TASK_{name}", default))
    for name, default in (("ID", -1), ("MIN", 0), ("STEP", 1), ("COUNT", 0))
  }
  if count is None and index is None and task["COUNT"]:
    index, count = (task["ID"] - task["MIN"]) // max(task["STEP"], 1), task["COUNT"]
  if count is None and index is None:
    return 0, 1
  if count is None:
    raise BadInput(f"--index={index} without --count: expected both")
  if index is None:
    known = ("SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX")
    index = next((int(environment[name]) for name in known if name in environment), None)
  if index is None:
    raise BadInput(
      f"--count={count} without --index: expected it, or one of {', '.join(known)} in the "
      "environment"
    )
  if not 0 <= index < count:
    raise BadInput(
      f"part {index} of {count}: expected 0 to {count - 1}; of an array with gaps, give "
      "--count"
    )
  return index, count
