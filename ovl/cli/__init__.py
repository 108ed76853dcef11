"""`ovl VERB [PATH] --config=NAME_OR_FILE[:arg,...] --config.section.key=value`."""

from __future__ import annotations

import pathlib
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from absl import flags, logging
from ml_collections import ConfigDict, config_flags

import ovl
from ovl import processes
from ovl.cli import machine
from ovl.cli.ahead import doctor, planned
from ovl.cli.experiment import complete, configs, keys, named
from ovl.load import nearest
from ovl.report import compare
from ovl.run import Verb, reopened, run, verb, verbs
from ovl.run import complete as done
from ovl.run import named as named_run
from ovl.types import BadInput

COUNTS = ("none", "one", "two")


def define(one: Verb, argv: Sequence[str], config: ConfigDict | None) -> flags.FlagValues:
  """The flags of a verb, on values of their own."""
  values = flags.FlagValues()
  if config is not None:
    config_flags.DEFINE_config_dict(
      "config", config, flag_values=values, sys_argv=list(argv), lock_config=True
    )
  for name, default, said in (*COMMON, *one.flags):
    if isinstance(default, bool):
      flags.DEFINE_bool(name, default, said, flag_values=values)
    elif isinstance(default, float):
      flags.DEFINE_float(name, default, said, flag_values=values)
    elif isinstance(default, int):
      flags.DEFINE_integer(name, default, said, flag_values=values)
    else:
      flags.DEFINE_string(name, default, said, flag_values=values)
  return values


WORKDIR = ("workdir", "", "where results go; default ovl-runs/VERB-CONFIG")
COMMON = (
  WORKDIR,
  *machine.FLAGS,
  ("strict", False, "exit 1 where a network or a job of a sweep was lost"),
  ("debug", False, "show the traceback of an error"),
)


def usage(name: str = "") -> str:
  """What `--help` prints."""
  if not name:
    lines = ["usage: ovl VERB [PATH] [--flags]", "", "verbs:"]
    lines += [f"  {name:8} {verb(name).said}" for name in verbs()]
    lines += ["  report   draws a finished run again, or two side by side"]
    lines += ["  plan     what a verb's training needs, on devices nobody has to have"]
    lines += ["  doctor   devices, versions, extras"]
    return "\n".join([*lines, "", "ovl VERB --help tells the flags; ovl --version"])
  one = verb(name)
  lines = [f"usage: ovl {name} {one.paths[1]} [--flags]", "", one.said, "", "flags:"]
  if one.config:
    lines += [
      "  --config=NAME   an experiment or file, its words after a colon: digits:cnn"
    ]
  lines += [f"  --{name:13} {said}" for name, _, said in (*one.flags, *COMMON)]
  if one.config:
    lines += ["  --config.section.key=value   changes one setting of the experiment"]
    lines += ["", "experiments: " + ", ".join(configs())]
  lines += ["exit status: 0 done, 1 --fail_above, 2 bad input, 130 interrupted"]
  return "\n".join(lines)


def parse(
  name: str, one: Verb, words: list[str]
) -> tuple[flags.FlagValues, list[str], str]:
  """Words after the verb -> flags, the paths, the run's label.

  Raises:
    BadInput: an unknown flag, experiment, key or type; names the nearest.
  """
  paths = [word for word in words if not word.startswith("-")]
  if len(paths) > one.paths[0]:
    what, most = ", ".join(paths), COUNTS[one.paths[0]]
    names = f": {one.paths[1]}" if one.paths[1] else ""
    raise BadInput(f"ovl {name}: {len(paths)} paths ({what}); expected {most}{names}")
  others, config, label = [word for word in words if word.startswith("-")], None, name
  if one.config:
    config, label, others = named(others, one.experiment(paths) or one.config)
    complete(config, others, one.settings)
  known = [flag for flag, _, _ in (*COMMON, *one.flags)]
  known += ["config"] * bool(one.config)
  try:
    values = define(one, ["ovl", *others], config)
    values(["ovl", *others])
  except flags.UnrecognizedFlagError as error:
    if error.flagname.startswith("config.") and config is not None:
      known = [f"config.{key}" for key in keys(config)]
    raise BadInput(
      f"--{error.flagname} is unknown: {nearest(error.flagname, known)}"
    ) from error
  except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
    said = error.args[0] if error.args else error  # str() of a KeyError is its repr
    raise BadInput(f"bad flag: {' '.join(str(said).split())}") from error
  return values, paths, label


def _flags(values: flags.FlagValues) -> dict[str, Any]:
  return {name: values[name].value for name in values}


def perform(name: str, words: list[str]) -> int:
  """Runs a verb, or says that its run is complete; returns the exit status."""
  one = verb(name)
  values, paths, label = parse(name, one, words)
  given = _flags(values)
  config = {} if given.get("config") is None else given["config"].to_dict()
  config = named_run(name, config | one.asked(paths, given))
  if one.config:
    given["workdir"] = given["workdir"] or f"ovl-runs/{_stem(name)}-{_label(paths, label)}"
  directory = pathlib.Path(given["workdir"]) if given["workdir"] else None
  with machine.prepared(given):
    return _performed(name, config, directory, given)


def _performed(
  name: str, config: dict[str, Any], directory: pathlib.Path | None, given: dict[str, Any]
) -> int:
  """The same, of a config and a folder; the first of several processes speaks."""
  if directory is not None and done(directory, config, _warn):
    result = reopened(directory)
    _say(f"{directory} is complete: nothing to do")
  else:
    with machine.shown(given["log_every"]) as progress:
      result, _ = run(name, config, directory, progress, _note)
  if not processes.first():
    return 0
  _say(result.table())
  if directory is not None:
    _say(f"report: {directory / 'report.html'}; rows: {directory / 'rows.csv'}")
  failures = verb(name).gate(result, given)
  if given["strict"]:
    failures += [f"--strict: {lost}" for lost in result.about.lost]
  for line in failures:
    _say(line)
  return 1 if failures else 0


def _config(name: str, words: list[str]) -> dict[str, Any]:
  """Of a verb and the words after it."""
  one = verb(name)
  values, paths, _ = parse(name, one, words)
  given = _flags(values)
  config = {} if given.get("config") is None else given["config"].to_dict()
  return named_run(name, config | one.asked(paths, given))


def _stem(name: str) -> str:
  return pathlib.Path(name).stem


def _label(paths: list[str], label: str) -> str:
  """A run on given files is called after them."""
  return _stem(paths[0]) if paths and pathlib.Path(paths[0]).exists() else label


def _note(text: str) -> None:
  """A line on stderr, so that stdout holds results alone."""
  sys.stderr.write(f"{text}\n")


def _warn(text: str) -> None:
  """The same, as errors begin."""
  _note(f"ovl: {text}")


def _warned(
  message: Warning | str, category: type[Warning], *where: Any, **more: Any
) -> None:
  """Warnings of ours as a line; those of libraries are for those who write programs."""
  if issubclass(category, UserWarning):
    _warn(str(message))


REPORT = """usage: ovl report W
       ovl report W1 W2 [--workdir=DIR]

draws a finished run again, from its workdir alone; or two side by side: the same cells,
and what they differ by, as a table and, with --workdir, as DIR/compare.html"""


def redraw(words: list[str]) -> int:
  """`ovl report W`, `ovl report W1 W2`: finished runs, from their workdirs alone."""
  if {"-h", "--help"} & set(words):
    _say(REPORT)
    return 0
  values = flags.FlagValues()
  flags.DEFINE_string(*WORKDIR, flag_values=values)
  try:
    _, *paths = values(["ovl", *words])
  except flags.Error as error:
    raise BadInput(f"ovl report: {' '.join(str(error).split())}") from error
  if len(paths) not in (1, 2):
    what = f"{len(paths)} workdirs" if paths else "no workdir"
    raise BadInput(f"ovl report: {what}; expected W of a finished run, or W1 W2")
  if len(paths) == 1 and values.workdir:
    raise BadInput("ovl report W draws into W; --workdir is for W1 W2")
  found = [reopened(path) for path in paths]
  if len(found) == 1:
    _say(found[0].table())
    _say(f"report: {found[0].draw(paths[0])}")
    return 0
  first, second = (compare.Side(paths[i], *found[i]) for i in (0, 1))
  _say(compare.text(first, second))
  if values.workdir:
    _say(f"report: {compare.write(first, second, pathlib.Path(values.workdir))}")
  return 0


def _say(text: str) -> None:
  sys.stdout.write(text + "\n")
  sys.stdout.flush()


def main(argv: Sequence[str]) -> int:
  """Runs a command line; returns the exit status."""
  with warnings.catch_warnings():
    warnings.showwarning = _warned
    return _main(argv)


def _main(argv: Sequence[str]) -> int:
  words = list(argv[1:])
  debug = "--debug" in words
  # Libraries log tracebacks of what is said in a line here.
  logging.set_verbosity(logging.ERROR if debug else logging.FATAL)
  if not words or words[0] in ("-h", "--help", "help"):
    _say(usage())
    return 0
  if words[0] == "--version":
    _say(f"ovl {ovl.__version__}")
    return 0
  try:
    name = words[0]
    if name == "report":
      return redraw([word for word in words[1:] if word != "--debug"])
    if name == "plan":
      return planned([word for word in words[1:] if word != "--debug"], _config)
    if name == "doctor":
      return doctor()
    if {"-h", "--help"} & set(words):
      _say(usage(name))
      return 0
    return perform(name, words[1:])
  except processes.Stopped:
    _note("\nstopped: what was done is kept, the same command goes on from there")
    return 0
  except KeyboardInterrupt:
    sys.stderr.write("\ninterrupted; the same command resumes\n")
    return 130
  except (BadInput, FloatingPointError) as error:
    if debug:
      raise
    sys.stderr.write(f"ovl: {error}\n")
    return 2


def console() -> None:
  """The console script."""
  sys.exit(main(sys.argv))
