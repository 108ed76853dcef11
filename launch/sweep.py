"""A grid of config overrides: a workdir each, shared out, resumed, one table of all rows.

  python launch/sweep.py --verb=unlearn --config=colour \
    --sweep="fit.learning_rate=1e-3,3e-3" --sweep="dataset.rho=.5,.9"

More words of the verb stand after `--`. In a SLURM array, or with --count, every process
does its part; the same command again does what is missing (docs/launch.md).
exit status: 0 done, 1 a job failed (the only one, or --strict), 2 bad input, 75 stopped
"""

import os
import pathlib
import shlex
import sys

from absl import app, flags

from ovl import gang, sweep
from ovl.types import BadInput

VERB = flags.DEFINE_string("verb", None, "of `ovl VERB`", required=True)
CONFIG = flags.DEFINE_string("config", "", "an experiment or file; default: the verb's")
SWEEP = flags.DEFINE_multi_string("sweep", [], "KEY=VALUE,VALUE,... of the config")
OUT = flags.DEFINE_string("out", "", "folder of all; default ovl-runs/sweep-VERB-CONFIG")
INDEX = flags.DEFINE_integer("index", None, "which part of the jobs is done here")
COUNT = flags.DEFINE_integer("count", None, "how many parts there are")
STRICT = flags.DEFINE_bool("strict", False, "exit status 1 where a job failed")
DRY_RUN = flags.DEFINE_bool("dry_run", False, "print the commands and do nothing")


def say(text: str) -> None:
  print(text, flush=True)


def main(argv: list[str]) -> int:
  out = pathlib.Path(OUT.value or sweep.home(VERB.value, CONFIG.value))
  try:
    jobs = sweep.jobs(VERB.value, CONFIG.value, SWEEP.value, argv[1:], out)
    index, count = sweep.share(INDEX.value, COUNT.value, os.environ)
    if DRY_RUN.value:
      for job in jobs[index::count]:
        say("# complete: " * job.complete + shlex.join(sweep.command(job)))
      return 0
    failed, stopped = sweep.work(jobs[index::count], say)
    if stopped:
      say("stopped; the same command goes on")
      return gang.UNFINISHED
    done = sweep.collect(jobs, failed, out, f"Sweep of {VERB.value} {CONFIG.value}")
  except BadInput as error:
    print(f"sweep: {error}", file=sys.stderr)
    return gang.BAD_INPUT
  say(f"{len(done)} of {len(jobs)} jobs complete: {out}/rows.csv, {out}/sweep.html")
  for name, why in failed.items():
    say(f"failed: {name}: {why}")
  return int(bool(failed) and (STRICT.value or len(jobs) == 1))


if __name__ == "__main__":
  app.run(main)
