"""`ovl VERB [PATH] --config=NAME_OR_FILE[:arg,...] --config.section.key=value`."""

from __future__ import annotations

import math
import os
import pathlib
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from absl import flags, logging
from ml_collections import ConfigDict, config_flags
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

import ovl
from ovl import results
from ovl.audit import run as run_audit
from ovl.bench import STUDIES, study
from ovl.bench import run as run_bench
from ovl.cli.experiment import complete, configs, keys, named
from ovl.inputs import array
from ovl.load import nearest
from ovl.mi.table import table as mi_table
from ovl.types import BadInput
from ovl.unlearn import Unlearning
from ovl.unlearn import run as run_unlearn


class Verb(NamedTuple):
  """A word of the command line.

  Attributes:
    said: one sentence of help.
    run: `(flags, paths, label) -> exit status`.
    config: the experiment it runs by default; "" where it has none.
    paths: the most and the names of what may stand after it.
    flags: its own flags: name, default, help; the default's type is the flag's.
  """

  said: str
  run: Callable[[flags.FlagValues, list[str], str], int]
  config: str
  paths: tuple[int, str]
  flags: tuple[tuple[str, Any, str], ...]


_WORKDIR = ("workdir", "", "where results go; default ovl-runs/VERB-CONFIG")


def define(verb: str, argv: Sequence[str], config: ConfigDict | None) -> flags.FlagValues:
  """The flags of a verb, on values of their own."""
  values = flags.FlagValues()
  if config is not None:
    config_flags.DEFINE_config_dict(
      "config", config, flag_values=values, sys_argv=list(argv), lock_config=True
    )
  for name, default, said in VERBS[verb].flags:
    if isinstance(default, float):
      flags.DEFINE_float(name, default, said, flag_values=values)
    elif isinstance(default, int):
      flags.DEFINE_integer(name, default, said, flag_values=values)
    else:
      flags.DEFINE_string(name, default, said, flag_values=values)
  flags.DEFINE_bool("debug", False, "show the traceback of an error", flag_values=values)
  return values


def usage(verb: str = "") -> str:
  """What `--help` prints."""
  if not verb:
    lines = ["usage: ovl VERB [PATH] [--flags]", "", "verbs:"]
    lines += [f"  {name:8} {one.said}" for name, one in VERBS.items()]
    return "\n".join([*lines, "", "ovl VERB --help tells the flags; ovl --version"])
  one = VERBS[verb]
  lines = [f"usage: ovl {verb} {one.paths[1]} [--flags]", "", one.said, "", "flags:"]
  if one.config:
    lines += [
      "  --config=NAME   an experiment or file, its words after a colon: digits:cnn"
    ]
  lines += [f"  --{name:13} {said}" for name, _, said in one.flags]
  lines += ["  --debug         show the traceback of an error"]
  if one.config:
    lines += ["  --config.section.key=value   changes one setting of the experiment"]
    lines += ["", "experiments: " + ", ".join(configs())]
  lines += ["exit status: 0 done, 1 --fail_above, 2 bad input, 130 interrupted"]
  return "\n".join(lines)


def parse(verb: str, words: list[str]) -> tuple[flags.FlagValues, list[str], str]:
  """Words after the verb -> flags, the paths, the run's label.

  Raises:
    BadInput: an unknown flag, experiment, key or type; names the nearest.
  """
  one = VERBS[verb]
  paths = [word for word in words if not word.startswith("-")]
  if len(paths) > one.paths[0]:
    what = ", ".join(paths)
    most = ("none", "one", "two")[one.paths[0]]
    names = f": {one.paths[1]}" if one.paths[1] else ""
    raise BadInput(f"ovl {verb}: {len(paths)} paths ({what}); expected {most}{names}")
  others, config, label = [word for word in words if word.startswith("-")], None, verb
  if one.config:
    # An audit of given arrays has an experiment of its own.
    default = "arrays" if paths and verb == "audit" else one.config
    if verb == "bench" and paths and paths[0] in STUDIES:
      default = paths[0]  # as has every study
    config, label, others = named(others, default)
    complete(config, others)
  known = [name for name, _, _ in one.flags] + ["debug"] + ["config"] * bool(one.config)
  try:
    values = define(verb, ["ovl", *others], config)
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


def audit(values: flags.FlagValues, paths: list[str], label: str) -> int:
  """`ovl audit`."""
  path = paths[0] if paths else ""
  label = pathlib.Path(path).stem if path else label
  config: ConfigDict = values.config
  directory = pathlib.Path(values.workdir or f"ovl-runs/audit-{label}")
  above = None if math.isnan(values.fail_above) else values.fail_above
  plain = _plain(config, path) | _read_as(values, path)
  if _finished(directory, plain):
    _say(f"{directory} is complete: nothing to do; report: {directory / 'report.html'}")
    found = ovl.Audit(results.read(directory), {})
  else:
    with _progress() as progress:
      found, page = run_audit(plain, directory, progress, _note)
    _say(found.table())
    _say(f"report: {page}")
  failures = [] if above is None else found.failures(above)
  for row in failures:
    _say(
      f"above {above:g}: {row.layer} knows {row.attribute}: {row.value:.3f} "
      f"[{row.low:.3f}, {row.high:.3f}] of H(S|Y), {row.verdict}"
    )
  return 1 if failures else 0


def _finished(directory: pathlib.Path, config: dict[str, Any]) -> bool:
  """Whether this config's run on these very files lies there; says what it moves away."""
  if moved := results.set_aside(directory, config):
    sys.stderr.write(f"ovl: {moved}\n")
  return results.is_complete(directory)


def _plain(config: ConfigDict, path: str) -> dict[str, Any]:
  """The config as JSON holds it, with the path of given activations."""
  plain = config.to_dict()
  return plain | ({"path": os.path.abspath(path)} if path else {})


def _read_as(values: flags.FlagValues, path: str) -> dict[str, Any]:
  """What the command line says of given activations, as `arrays.read` takes it."""
  given: dict[str, Any] = {"channels": values["channels"].value}
  for name in ("continuous", "discrete", "pool"):
    given[name] = [word for word in (values[name].value or "").split(",") if word]
  given = {name: said for name, said in given.items() if said}
  if given and not path:
    raise BadInput(f"--{next(iter(given))} is for given activations: ovl audit PATH")
  return {"read": given} if given else {}


def _note(text: str) -> None:
  """A line on stderr, so that stdout holds results alone."""
  sys.stderr.write(f"{text}\n")


def mi(values: flags.FlagValues, paths: list[str], label: str) -> int:
  """`ovl mi x.npy y.npy`: no workdir, a table on stdout."""
  del label
  if len(paths) != 2:
    raise BadInput(f"ovl mi: {len(paths)} paths; expected {VERBS['mi'].paths[1]}")
  x, y = (array(path) for path in paths)
  methods = [word for word in values.method.split(",") if word]
  with _progress() as progress, warnings.catch_warnings(record=True) as doubts:
    warnings.simplefilter("always", UserWarning)
    found = ovl.mutual_information(
      x, y, methods, groups=array(values.groups) if values.groups else None,
      kind=values.kind or None, seeds=values.seeds, level=values.level, seed=values.seed,
      progress=progress,
    )  # fmt: skip
  for doubt in doubts:
    _note(f"note: {doubt.message}")
  _say(mi_table(found))
  return 0


def bench(values: flags.FlagValues, paths: list[str], label: str) -> int:
  """`ovl bench mi`, `ovl bench verdicts`."""
  if not paths or paths[0] not in STUDIES:
    what, known = " ".join(paths) or "nothing", " or ".join(STUDIES)
    raise BadInput(f"ovl bench: {what} to measure; expected {known}")
  if (its := study(values.config)) != paths[0]:
    raise BadInput(f"ovl bench {paths[0]}: {label} is an experiment of ovl bench {its}")
  directory = pathlib.Path(values.workdir or f"ovl-runs/bench-{label}")
  page = directory / "report.md"
  if _finished(directory, values.config.to_dict()):
    _say(f"{directory} is complete: nothing to do")
  else:
    with _progress() as progress:
      _, page = run_bench(values.config.to_dict(), directory, progress)
  _say(page.read_text(encoding="utf-8"))
  _say(f"page: {page}; rows: {directory / 'rows.csv'}")
  return 0


def unlearn(values: flags.FlagValues, paths: list[str], label: str) -> int:
  """`ovl unlearn`."""
  del paths
  config = values.config.to_dict()
  directory = pathlib.Path(values.workdir or f"ovl-runs/unlearn-{label}")
  if _finished(directory, config):
    _say(f"{directory} is complete: nothing to do; report: {directory / 'report.html'}")
    _say(Unlearning(results.read(directory), {}).table())
    return 0
  with _progress() as progress:
    found, page = run_unlearn(config, directory, progress)
  _say(found.table())
  for sentence in found.meta["loud"]:
    _say(f"note: {sentence}")
  _say(f"report: {page}")
  return 0


VERBS = {
  "audit": Verb(
    "what does each layer know of each attribute, beyond the task? "
    "Of a config's own networks, or of activations: an .npz or a folder",
    audit, "digits", (1, "[PATH]"),
    (
      _WORKDIR,
      (
        "fail_above", float("nan"),
        "exit 1 if any leaking cell's share beyond the task is surely above this",
      ),
      ("continuous", "", "attributes of PATH that are quantities, by commas"),
      ("discrete", "", "attributes of PATH that are classes, by commas"),
      ("channels", "", "first or last: where maps of PATH have them"),
      ("pool", "", "mean, last, first: of sequences [N, T, D], each a tap of its own"),
    ),
  ),
  "unlearn": Verb(
    "what is left of an attribute after penalties and erasers, and what that costs: "
    "judged by fresh attackers",
    unlearn, "colour", (0, ""), (_WORKDIR,),
  ),
  "mi": Verb(
    "mutual information of two arrays, in nats, with an interval and a flag",
    mi, "", (2, "X.npy Y.npy"),
    (
      ("method", "auto", "names of critics, by commas; auto lets the stop part pick"),
      ("seeds", 5, "critics in an ensemble"),
      ("level", 0.95, "of intervals"),
      ("groups", "", "an .npy of units whose rows are not independent"),
      ("kind", "", "discrete or continuous, where y should not be read as it looks"),
      ("seed", 0, "of the split, the critics and the resampling"),
    ),
  ),
  "bench": Verb(
    "where the truth is known: accuracy and coverage of mutual information (mi), false "
    "verdicts and coverage of audits (verdicts)",
    bench, "mi", (1, "mi|verdicts"), (_WORKDIR,),
  ),
}  # fmt: skip


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
    return VERBS[verb].run(*parse(verb, words[1:]))
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
