"""N processes of one command on this machine; one dies: all go on from the checkpoint.

  python launch/local.py --processes=4 --gpus=0,1,2,3 -- ovl unlearn --config=colour

exit status: 0 done, 75 stopped (the same command goes on), 2 bad input, else of what died
"""

import shlex
import shutil
import socket

from absl import app, flags

from ovl import gang

PROCESSES = flags.DEFINE_integer("processes", 2, "how many", lower_bound=1)
GPUS = flags.DEFINE_list("gpus", [], "shared out: process I sees the I-th, I+N-th, ...")
RESTARTS = flags.DEFINE_integer("restarts", 3, "of all, when one died", lower_bound=0)
GRACE = flags.DEFINE_float("grace", 60, "seconds to save in, before SIGKILL")
DRY_RUN = flags.DEFINE_bool("dry_run", False, "print the commands and do nothing")


def commands(words: list[str]) -> list[list[str]]:
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port, n = free.getsockname()[1], PROCESSES.value
  lines = []
  for i in range(n):
    sees = ["env", f"CUDA_VISIBLE_DEVICES={','.join(GPUS.value[i::n])}"]
    join = f"--distributed=127.0.0.1:{port},{n},{i}"
    lines.append([*(sees if GPUS.value else []), *words, join])
  return lines


def say(number: int, line: str) -> None:
  print(f"[{number}] {line}", flush=True)


def main(argv: list[str]) -> int:
  if not argv[1:] or not shutil.which(argv[1]):
    raise app.UsageError(f"expected a command after --, found {argv[1:]}")
  with gang.listening() as stopped:
    for left in reversed(range(RESTARTS.value + 1)):
      lines = commands(argv[1:])  # another port each time
      if DRY_RUN.value:
        print(*map(shlex.join, lines), sep="\n")
        return 0
      status = gang.run(lines, stopped, say, GRACE.value)
      if stopped:
        print("stopped; the same command goes on")
        return gang.UNFINISHED
      if status in (gang.OK, gang.BAD_INPUT):
        break
      print(f"a process died, exit status {status}; {left} restarts left", flush=True)
  return status


if __name__ == "__main__":
  app.run(main)
