"""`ovl VERB [PATH] --config=NAME_OR_FILE[:arg,...] --config.section.key=value`."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from absl import flags, logging
from ml_collections import ConfigDict, config_flags
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

import ovl
from ovl import results
from ovl.audit import run as run_audit
from ovl.load import nearest
from ovl.types import BadInput

VERBS = {
  "audit": "what does each layer know of each attribute, beyond the task? "
  "Of a config's own networks, or of activations: an .npz or a folder",
}


def configs() -> dict[str, pathlib.Path]:
  """The experiments that come with the package, by name."""
  here = pathlib.Path(ovl.__file__).parent
  inside, checkout = here / "configs", here.parent / "configs"
  folder = inside if inside.is_dir() else checkout
  return {path.stem: path for path in sorted(folder.glob("[!_]*.py"))}


def define(argv: Sequence[str], config: ConfigDict) -> flags.FlagValues:
  """The flags of every verb, on values of their own."""
  values = flags.FlagValues()
  config_flags.DEFINE_config_dict(
    "config", config, flag_values=values, sys_argv=list(argv), lock_config=True
  )
  flags.DEFINE_string(
    "workdir", None, "where results go; default ovl-runs/VERB-CONFIG", flag_values=values
  )
  flags.DEFINE_float(
    "fail_above",
    None,
    "exit 1 if any leaking cell's share beyond the task is surely above this",
    flag_values=values,
  )
  flags.DEFINE_bool("debug", False, "show the traceback of an error", flag_values=values)
  return values


def usage(verb: str = "") -> str:
  """What `--help` prints."""
  if not verb:
    lines = ["usage: ovl VERB [PATH] [--flags]", "", "verbs:"]
    lines += [f"  {name:8} {said}" for name, said in VERBS.items()]
    return "\n".join([*lines, "", "ovl VERB --help tells the flags; ovl --version"])
  values = define([], ConfigDict())
  lines = [f"usage: ovl {verb} [PATH] [--flags]", "", VERBS[verb], "", "flags:"]
  lines += ["  --config=NAME   an experiment or file, its words after a colon: digits:cnn"]
  own = ("workdir", "fail_above", "debug")
  lines += [f"  --{name:13} {values[name].help}" for name in own]
  lines += ["  --config.section.key=value   changes one setting of the experiment"]
  lines += ["", "experiments: " + ", ".join(configs())]
  lines += ["exit status: 0 done, 1 --fail_above, 2 bad input, 130 interrupted"]
  return "\n".join(lines)


def _config(words: list[str], default: str) -> tuple[ConfigDict, str, list[str]]:
  """The experiment that `--config=` names, its label, and the other words."""
  named, others = default, []
  for word in words:
    if word.startswith("--config="):
      named = word.removeprefix("--config=")
    elif word == "--config":
      raise BadInput("--config: write --config=NAME")
    else:
      others.append(word)
  name, _, arg = named.partition(":")
  spec = importlib.util.spec_from_file_location("ovl_config", _config_file(name))
  assert spec is not None
  assert spec.loader is not None
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  try:
    config = module.get_config(arg) if arg else module.get_config()
  except ValueError as error:
    raise BadInput(f"--config={named}: {error}") from error
  label = "-".join([pathlib.Path(name).stem, *(w for w in arg.split(",") if w)])
  return config, label, others


def _config_file(name: str) -> pathlib.Path:
  if name.endswith(".py"):
    if not pathlib.Path(name).is_file():
      raise BadInput(f"--config={name}: no such file")
    return pathlib.Path(name)
  known = configs()
  if name not in known:
    raise BadInput(
      f"--config={name} is unknown: {nearest(name, list(known))}\n"
      "expected an experiment's name, or a file that ends in .py"
    )
  return known[name]


def parse(verb: str, words: list[str]) -> tuple[flags.FlagValues, str, str]:
  """Words after the verb -> flags, the path (or ""), the run's label.

  Raises:
    BadInput: an unknown flag, experiment, key or type; names the nearest.
  """
  paths = [word for word in words if not word.startswith("-")]
  if len(paths) > 1:
    raise BadInput(f"ovl {verb}: {len(paths)} paths ({', '.join(paths)}); expected one")
  named = [word for word in words if word.startswith("-")]
  config, label, others = _config(named, "arrays" if paths else "digits")
  try:
    values = define(["ovl", *others], config)
    values(["ovl", *others])
  except flags.UnrecognizedFlagError as error:
    known = ["config", "workdir", "fail_above", "debug"]
    if error.flagname.startswith("config."):
      known = [f"config.{key}" for key in _keys(config)]
    raise BadInput(
      f"--{error.flagname} is unknown: {nearest(error.flagname, known)}"
    ) from error
  except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
    said = error.args[0] if error.args else error  # str() of a KeyError is its repr
    raise BadInput(f"bad flag: {' '.join(str(said).split())}") from error
  if paths:
    label = pathlib.Path(paths[0]).stem
  return values, (paths[0] if paths else ""), label


def _keys(config: ConfigDict) -> list[str]:
  nested = [
    [f"{key}.{inner}" for inner in _keys(value)] if isinstance(value, ConfigDict) else [key]
    for key, value in config.items()
  ]
  return [name for some in nested for name in some]


@contextmanager
def _progress() -> Iterator[Any]:
  """A bar on stderr, so that stdout holds results alone."""
  console = Console(stderr=True)
  bar = Progress(
    TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console
  )
  with bar:
    task = bar.add_task("starting", total=1.0)

    def progress(share: float, said: str) -> None:
      bar.update(task, completed=share, description=said)

    yield progress


def audit(values: flags.FlagValues, path: str, label: str) -> int:
  """`ovl audit`."""
  config: ConfigDict = values.config
  directory = pathlib.Path(values.workdir or f"ovl-runs/audit-{label}")
  above = values.fail_above
  if results.is_complete(directory):
    results.claim(directory, _plain(config, path))
    _say(f"{directory} is complete: nothing to do; report: {directory / 'report.html'}")
    found = ovl.Audit(results.read(directory), {})
  else:
    with _progress() as progress:
      found, page = run_audit(_plain(config, path), directory, progress)
    _say(found.table())
    _say(f"report: {page}")
  failures = [] if above is None else found.failures(above)
  for row in failures:
    _say(
      f"above {above:g}: {row.layer} knows {row.attribute}: {row.value:.3f} "
      f"[{row.low:.3f}, {row.high:.3f}] of H(S|Y), {row.verdict}"
    )
  return 1 if failures else 0


def _plain(config: ConfigDict, path: str) -> dict[str, Any]:
  """The config as JSON holds it, with the path of given activations."""
  plain = config.to_dict()
  return plain | ({"path": os.path.abspath(path)} if path else {})


def _say(text: str) -> None:
  sys.stdout.write(text + "\n")
  sys.stdout.flush()


def main(argv: Sequence[str]) -> int:
  """Runs a command line; returns the exit status."""
  words = list(argv[1:])
  debug = "--debug" in words
  logging.set_verbosity(logging.ERROR)
  if not words or words[0] in ("-h", "--help", "help"):
    _say(usage())
    return 0
  if words[0] == "--version":
    _say(f"ovl {ovl.__version__}")
    return 0
  try:
    verb = words[0]
    if verb not in VERBS:
      raise BadInput(f"ovl {verb}: unknown verb: {nearest(verb, list(VERBS))}")
    if {"-h", "--help"} & set(words):
      _say(usage(verb))
      return 0
    return {"audit": audit}[verb](*parse(verb, words[1:]))
  except KeyboardInterrupt:
    sys.stderr.write("\ninterrupted; the same command resumes\n")
    return 130
  except (BadInput, FloatingPointError) as error:
    if debug:
      raise
    sys.stderr.write(f"ovl: {error}\n")
    return 2


def run() -> None:
  """The console script."""
  sys.exit(main(sys.argv))
