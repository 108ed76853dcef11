"""A SLURM array of one sweep through submitit, queued again before its time is over.

python launch/slurm.py --array=8 -- --verb=unlearn --config=colour --sweep="seed=0,1"
"""

import shlex
import subprocess
import sys
import time

from absl import app, flags

try:
  import submitit
except ImportError:
  sys.exit('launch/slurm.py needs submitit: pip install ".[slurm]"')

ARRAY = flags.DEFINE_integer("array", 1, "how many jobs share the sweep", lower_bound=1)
GPUS = flags.DEFINE_integer("gpus", 1, "of a job, a task each", lower_bound=1)
MINUTES = flags.DEFINE_integer("minutes", 240, "of a job, until it is queued again")
QUEUE = flags.DEFINE_string("partition", None, "where the jobs run")
DRY_RUN = flags.DEFINE_bool("dry_run", False, "print what would be submitted")


class Task(submitit.helpers.Checkpointable):
  """What submitit tells 120 s before the end to save, and then puts in the queue again."""

  def __call__(self, words: list[str]) -> None:
    self.process = subprocess.Popen(words)
    while (status := self.process.poll()) is None:  # `checkpoint` may interrupt
      time.sleep(0.2)
    if status:
      raise RuntimeError(f"exit status {status}: {shlex.join(words)}")

  def checkpoint(self, words: list[str]) -> submitit.helpers.DelayedSubmission:
    self.process.terminate()
    until = time.monotonic() + 110
    while self.process.poll() is None and time.monotonic() < until:
      time.sleep(0.1)
    return submitit.helpers.DelayedSubmission(Task(), words)


def main(argv: list[str]) -> None:
  words, each = [sys.executable, f"{sys.path[0]}/sweep.py", *argv[1:]], GPUS.value
  asked = {"name": "ovl", "timeout_min": MINUTES.value, "slurm_signal_delay_s": 120}
  asked |= {"tasks_per_node": each, "gpus_per_node": each, "slurm_partition": QUEUE.value}
  asked["slurm_additional_parameters"] = {"requeue": True}
  if DRY_RUN.value:
    return print(ARRAY.value, "x", shlex.join(words), asked)
  executor = submitit.AutoExecutor("ovl-runs/slurm/%j", "slurm", slurm_max_num_timeout=999)
  executor.update_parameters(**asked)
  with executor.batch():
    jobs = [executor.submit(Task(), words) for _ in range(ARRAY.value)]
  print(*(job.job_id for job in jobs))


if __name__ == "__main__":
  app.run(main)
