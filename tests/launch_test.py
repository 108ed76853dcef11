"""What launches runs: exact command lines by fakes on PATH, kills by signals."""

import importlib.util
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import threading
import time

import pytest
import yaml
from absl import app, flags
from absl.testing import flagsaver

from ovl import gang, sweep

ROOT = pathlib.Path(__file__).parents[1]
LAUNCH = ROOT / "launch"
DOC = (ROOT / "docs" / "launch.md").read_text(encoding="utf-8")
FAKES = ("sbatch", "srun", "scontrol", "gcloud", "kubectl", "sky", "gcluster", "git")


@pytest.fixture
def shell(tmp_path):
  """Runs a line of bash in the checkout; what the fakes were given, and what was said."""
  folder, log = tmp_path / "fakes", tmp_path / "log"
  folder.mkdir()
  for name in FAKES:
    path = folder / name
    path.write_text(
      f'#!/bin/bash\nprintf "%q " {name} "$@" >> {log}; echo >> {log}\n'
      'echo "Submitted batch job 7"\n'
      + ("exit ${SRUN:-0}\n" if name == "srun" else "")
    )  # fmt: skip
    path.chmod(0o755)

  def run(line, **environment):
    log.unlink(missing_ok=True)
    given = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_")}
    given |= {"PATH": f"{folder}:{os.environ['PATH']}", **environment}
    done = subprocess.run(
      ["bash", "-c", line], cwd=ROOT, env=given, capture_output=True, text=True
    )
    asked = log.read_text().splitlines() if log.exists() else []
    return [shlex.split(line) for line in asked], done

  return run


# ---- the files -----------------------------------------------------------------------


def test_every_file_is_thin_and_has_its_place_in_the_page():
  names = {path.name for path in LAUNCH.iterdir() if path.is_file()}
  assert names == {
    "local.py", "slurm.py", "slurm.sbatch", "tpu_pod.sh", "gke.yaml", "trainjob.yaml",
    "sky.yaml", "sky_tpu.yaml", "sweep.py",
  }  # fmt: skip
  for name in names:
    assert len((LAUNCH / name).read_text().splitlines()) < 60, name
    assert any(f"`{name}`" in line for line in DOC.splitlines() if line[:3] == "## "), name


@pytest.mark.parametrize("name", ["slurm.sbatch", "tpu_pod.sh"])
def test_shell_is_shell(name):
  subprocess.run(["bash", "-n", LAUNCH / name], check=True)


def commands(name):
  """The command lines of launch/sweep.py in a file, as words after it."""
  text = re.sub(r"\s*\\?\n\s*", " ", (LAUNCH / name).read_text())
  tree = yaml.safe_load((LAUNCH / name).read_text())
  found = re.findall(r'--command="python launch/sweep.py ([^"]*)"', text)
  if name == "gke.yaml":
    slice_ = tree["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    assert slice_["containers"][0]["command"] == ["python", "launch/sweep.py"]
    found.append(shlex.join(slice_["containers"][0]["args"]))
  elif name == "trainjob.yaml":
    found.append(tree["spec"]["trainer"]["args"][0].split("sweep.py ")[1])
  else:
    found.append(tree["run"].replace("\\\n", " ").split("sweep.py ")[1])
  return [shlex.split(line) for line in found]


@pytest.mark.parametrize("name", ["gke.yaml", "trainjob.yaml", "sky.yaml", "sky_tpu.yaml"])
def test_jobs_of_yaml_are_jobs_of_ovl(name):
  for words in commands(name):
    at = words.index("--")
    given = dict(word.removeprefix("--").split("=", 1) for word in words[:at])
    out = pathlib.Path(given.pop("out"))
    (job,) = sweep.jobs(given.pop("verb"), given.pop("config"), [], words[at + 1 :], out)
    assert not given
    assert str(job.directory).startswith("/runs/")
    assert job.config["seeds"] == 16


def test_yaml_says_what_its_engine_needs():
  gke, train, sky, tpu = (
    yaml.safe_load((LAUNCH / name).read_text())
    for name in ("gke.yaml", "trainjob.yaml", "sky.yaml", "sky_tpu.yaml")
  )
  assert (gke["apiVersion"], gke["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
  assert gke["metadata"]["labels"]["kueue.x-k8s.io/queue-name"]
  job = gke["spec"]["replicatedJobs"][0]["template"]["spec"]
  pod = job["template"]["spec"]
  topology = pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"]
  x, y = map(int, topology.split("x"))
  chips = pod["containers"][0]["resources"]["limits"]["google.com/tpu"]
  assert job["parallelism"] == job["completions"] == x * y // chips
  assert pod["terminationGracePeriodSeconds"] >= 120
  assert gke["spec"]["failurePolicy"]["maxRestarts"] > 0
  assert (train["apiVersion"], train["kind"]) == (
    "trainer.kubeflow.org/v1alpha1", "TrainJob",
  )  # fmt: skip
  assert train["spec"]["runtimeRef"]["name"] == "jax-distributed"
  for one in (sky, tpu):
    assert one["resources"]["use_spot"] is True
    assert one["resources"]["job_recovery"]["recover_on_exit_codes"] == [gang.UNFINISHED]
    assert one["file_mounts"]["/runs"]["mode"] == "MOUNT"
  assert "tpu" in tpu["resources"]["accelerators"]
  assert all(
    name.split(":")[0] in ("A100", "H100") for name in sky["resources"]["accelerators"]
  )


# ---- command lines -------------------------------------------------------------------

SWEEP = ["--verb=unlearn", "--config=colour"]
EXACT = {
  "sbatch --array=0-7": [[
    "sbatch", "--array=0-7", "launch/slurm.sbatch", *SWEEP,
    "--sweep=dataset.rho=.5,.6,.7,.8,.9,.95,.97,.99",
  ]],
  "sbatch --ntasks": [[
    "sbatch", "--ntasks-per-node=4", "--gpus-per-node=4", "launch/slurm.sbatch", *SWEEP,
    "--", "--distributed=auto",
  ]],
  "kubectl apply -f": [["kubectl", "apply", "-f", "launch/gke.yaml"]],
  "kubectl apply --dry": [
    ["kubectl", "apply", "--dry-run=server", "-f", "launch/gke.yaml"]
  ],
  "kubectl create -f": [["kubectl", "create", "-f", "launch/trainjob.yaml"]],
  "kubectl create --dry": [
    ["kubectl", "create", "--dry-run=server", "-f", "launch/trainjob.yaml"]
  ],
  "gcluster": [[
    "gcluster", "job", "submit", "--name=ovl", "--compute-type=v6e-16", "--num-slices=1",
    "--image=IMAGE", "--restarts=100", "--grace-period=2m", "--mount=gs://BUCKET:/runs:rw",
    "--command=python launch/sweep.py --verb=unlearn --config=colour --out=/runs/colour "
    "-- --distributed=auto --config.seeds=16",
  ]],
  "sky jobs launch -n ovl launch/sky.yaml": [[
    "sky", "jobs", "launch", "-n", "ovl", "launch/sky.yaml", "--env", "BUCKET=my-bucket",
  ]],
  "sky jobs launch -n ovl launch/sky_tpu": [[
    "sky", "jobs", "launch", "-n", "ovl", "launch/sky_tpu.yaml", "--env",
    "BUCKET=my-bucket",
  ]],
  "sky launch --dryrun": [[
    "sky", "launch", "--dryrun", "launch/sky.yaml", "--env", "BUCKET=my-bucket",
  ]],
}  # fmt: skip


def lines(start):
  blocks = re.findall(r"^```\w*\n(.*?)^```\n", DOC, re.M | re.S)
  return [line for block in blocks for line in block.splitlines() if line.startswith(start)]


@pytest.mark.parametrize("start", EXACT)
def test_the_page_gives_engines_exactly(shell, start):
  (line,) = lines(start)
  asked, done = shell(line)
  assert done.returncode == 0
  assert asked == EXACT[start]
  heads = [
    text.lstrip("# ").split("   ")[0]
    for path in LAUNCH.iterdir()
    if path.suffix in (".yaml", ".sbatch")
    for text in path.read_text().splitlines()
    if text.startswith("#   ")
  ]
  if not start.startswith("sbatch"):
    assert line in heads, "the file's own head says something else"


def test_a_job_of_slurm_goes_back_to_the_queue_where_it_was_stopped(shell):
  line = 'bash launch/slurm.sbatch --verb=audit --sweep="fit.epochs=1, 2"'
  ran = ["srun", "python", "launch/sweep.py", "--verb=audit", "--sweep=fit.epochs=1, 2"]
  part = {"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "8", "SLURM_ARRAY_TASK_ID": "3"}
  asked, done = shell(line, **part, SRUN="75")
  assert (asked, done.returncode) == ([ran, ["scontrol", "requeue", "8_3"]], 75)
  asked, done = shell(line, SLURM_JOB_ID="9", SRUN="75")
  assert (asked, done.returncode) == ([ran, ["scontrol", "requeue", "9"]], 75)
  for status in ("0", "1", "2"):
    asked, done = shell(line, SLURM_JOB_ID="9", SRUN=status)
    assert (asked, done.returncode) == ([ran], int(status))
  asked, done = shell(line, DRY_RUN="1")
  assert (asked, shlex.split(done.stdout)) == ([], ran)
  text = (LAUNCH / "slurm.sbatch").read_text()
  for asked in ("requeue", "signal=TERM@120", "open-mode=append", "gpus-per-node=1"):
    assert f"#SBATCH --{asked}\n" in text


def test_submitit_is_given_the_same(shell, tmp_path):
  words = '--verb=audit --sweep="fit.epochs=1,2"'
  script = f"{sys.executable} {LAUNCH / 'slurm.py'}"
  asked, done = shell(f"{script} --array=2 --dry_run -- {words}")
  assert (asked, done.returncode) == ([], 0)
  assert "2 x " in done.stdout
  asked, done = shell(f"cd {tmp_path} && {script} --array=2 --partition=a -- {words}")
  assert done.stdout.split() == ["7_0", "7_1"], done.stderr
  ((name, path),) = asked
  assert name == "sbatch"
  text = pathlib.Path(path).read_text()
  for asked in (
    "array=0-1%2", "signal=USR2@120", "requeue", "gpus-per-node=1", "ntasks-per-node=1",
    "partition=a", "time=240",
  ):  # fmt: skip
    assert f"#SBATCH --{asked}\n" in text


def test_without_submitit_it_says_how_to_get_it():
  code = "import sys; sys.modules['submitit'] = None; import slurm"
  done = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True,
    env=os.environ | {"PYTHONPATH": str(LAUNCH)},
  )  # fmt: skip
  assert done.returncode == 1
  assert done.stderr == 'launch/slurm.py needs submitit: pip install ".[slurm]"\n'


TOLD = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(75)); print(1)"


def test_a_task_of_submitit_saves_before_it_is_queued_again(tmp_path):
  (tmp_path / "told.py").write_text(f"{TOLD}\nopen('there', 'w'); time.sleep(60)\n")
  code = (
    "import os, signal, sys, threading, time, slurm\n"
    "slurm.Task.__repr__ = lambda self: 'a task'\n"
    "task, words = slurm.Task(), [sys.executable, 'told.py']\n"
    "def ask(*_):\n"
    "  again = task.checkpoint(words)\n"
    "  print(task.process.returncode, again.function, again.args == (words,))\n"
    "signal.signal(signal.SIGUSR2, ask)\n"
    "def wait():\n"
    "  while not os.path.exists('there'): time.sleep(0.01)\n"
    "  os.kill(os.getpid(), signal.SIGUSR2)\n"
    "threading.Thread(target=wait).start()\n"
    "try: task(words)\n"
    "except RuntimeError as error: print(str(error)[:14])\n"
  )
  done = subprocess.run(
    [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=50,
    env=os.environ | {"PYTHONPATH": str(LAUNCH)},
  )  # fmt: skip
  said = [line for line in done.stdout.splitlines() if line != "1"]
  assert said == ["75 a task True", "exit status 75"], done.stderr


def test_a_tpu_pod_is_given_one_line_for_all_workers(shell):
  pod = {"TPU": "my-v5e", "ZONE": "us-west4-a"}
  ssh = ["gcloud", "compute", "tpus", "tpu-vm", "ssh", "my-v5e", "--zone=us-west4-a"]
  line = "launch/tpu_pod.sh --verb=audit --out=/mnt/a --sweep='fit.epochs=1, 2'"
  asked, _ = shell(line, **pod)
  (one,) = asked
  assert one[:-1] == [*ssh, "--worker=all"]
  assert shlex.split(one[-1].removeprefix("--command=")) == [
    "cd", "ovl", "&&", ".venv/bin/python", "launch/sweep.py", "--verb=audit",
    "--out=/mnt/a", "--sweep=fit.epochs=1, 2", "--", "--distributed=auto",
  ]  # fmt: skip
  asked, _ = shell(f"{line} -- --config.seeds=4", **pod)
  assert asked[0][-1].endswith("-- --config.seeds=4 --distributed=auto")
  asked, done = shell(line, DRY_RUN="1", **pod)
  assert asked == []
  assert shlex.split(done.stdout) == one
  asked, _ = shell("launch/tpu_pod.sh", STOP="1", **pod)
  assert asked == [
    [*ssh, "--worker=all", "--command=pkill -TERM -f '^.venv/bin/python launch/sweep.py'"]
  ]
  asked, _ = shell("launch/tpu_pod.sh", SETUP="1", **pod)
  assert [words[:5] for words in asked] == [
    ["git", "archive", "--format=tar.gz", "--output=ovl.tar.gz", "HEAD"],
    ["gcloud", "compute", "tpus", "tpu-vm", "scp"],
    ["gcloud", "compute", "tpus", "tpu-vm", "ssh"],
  ]
  assert asked[1][5:] == ["ovl.tar.gz", "my-v5e:", "--zone=us-west4-a", "--worker=all"]
  _, done = shell("launch/tpu_pod.sh", ZONE="a")
  assert "name of the slice" in done.stderr


# ---- processes that live and die together --------------------------------------------

# Says its words; dies as the file DIES says, once; a signal: saves and ends well.
PEER = """
import os, pathlib, signal, sys, time
home, index = pathlib.Path(sys.argv[1]), sys.argv[-1].split(",")[-1]
def save(number, frame):
  (home / f"saved{index}").touch()
  sys.exit(0)
signal.signal(signal.SIGTERM, save)
signal.signal(signal.SIGINT, save)
print("words", *sys.argv[2:], os.environ.get("CUDA_VISIBLE_DEVICES", ""), flush=True)
dies = home / f"dies{index}"
if dies.exists():
  how = int(dies.read_text())
  dies.unlink()
  while not [*home.glob("up*")]: time.sleep(0.01)
  os.kill(os.getpid(), 9) if how == 9 else sys.exit(how)
(home / f"up{index}").touch()
until = time.time() + 30
while not (home / "done").exists() and time.time() < until: time.sleep(0.01)
"""


@pytest.fixture
def home(tmp_path):
  (tmp_path / "peer.py").write_text(PEER)
  return tmp_path


def local(home, *words):
  """As a process of its own, which signals may reach."""
  return subprocess.Popen(
    [sys.executable, str(LAUNCH / "local.py"), *words, "--", *peer(home)],
    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
  )  # fmt: skip


def wait_for(*paths):
  until = time.monotonic() + 60
  while not all(path.exists() for path in paths):
    assert time.monotonic() < until, f"{paths} did not come"
    time.sleep(0.01)


def peer(home):
  return [sys.executable, str(home / "peer.py"), str(home)]


@pytest.fixture(scope="module")
def loaded():
  spec = importlib.util.spec_from_file_location("launch_local", LAUNCH / "local.py")
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  yield module
  for name in ("processes", "gpus", "restarts", "grace", "dry_run"):
    delattr(flags.FLAGS, name)


@pytest.fixture
def here(loaded, home, capsys):
  """The same in this process: what it said, and its exit status."""

  def run(*words, command=None):
    with flagsaver.flagsaver():
      rest = flags.FLAGS(["local", *words, "--", *(peer(home) if command is None else [])])
      status = loaded.main(rest)
    return capsys.readouterr().out, status

  return run


def test_one_that_dies_is_started_again_with_all(home):
  """Killed as a machine that is out of memory kills."""
  (home / "dies1").write_text("9")
  started = local(home, "--processes=2", "--gpus=0,1,2")
  wait_for(home / "saved0")  # the other was asked to end
  (home / "done").touch()
  said, _ = started.communicate(timeout=60)
  assert started.returncode == 0, said
  assert "a process died, exit status 137; 3 restarts left" in said
  lines = [line.split() for line in said.splitlines() if " words " in line]
  assert len(lines) == 4
  ports = set()
  for number, _, join, gpus in lines:
    address, count, index = join.removeprefix("--distributed=").split(",")
    assert (number, count) == (f"[{index}]", "2")
    assert gpus == {"0": "0,2", "1": "1"}[index]
    ports.add(address)
  assert all(re.fullmatch(r"127\.0\.0\.1:\d+", port) for port in ports)
  assert len(ports) == 2


def test_it_gives_up_and_never_argues_with_bad_input(home, here):
  (home / "up9").touch()
  (home / "dies0").write_text("3")
  said, status = here("--processes=1", "--restarts=0")
  assert (status, said.splitlines()[-1]) == (
    3, "a process died, exit status 3; 0 restarts left",
  )  # fmt: skip
  (home / "dies0").write_text("2")
  said, status = here("--processes=1")
  assert status == 2
  assert "restarts" not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_engine_that_ends_it_ends_all_and_the_same_command_goes_on(home, here, number):
  """Kueue and SLURM signal the first process alone, and take 0 for the end."""
  started = local(home, "--processes=2")
  wait_for(home / "up0", home / "up1")
  started.send_signal(number)
  said, _ = started.communicate(timeout=60)
  assert started.returncode == gang.UNFINISHED, said
  assert said.splitlines()[-1] == "stopped; the same command goes on"
  assert (home / "saved0").exists()
  assert (home / "saved1").exists()
  (home / "done").touch()
  assert here("--processes=2")[1] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux tells children")
def test_an_engine_that_kills_it_leaves_nobody_at_work(home):
  started = local(home, "--processes=2")
  wait_for(home / "up0", home / "up1")
  started.kill()
  started.communicate(timeout=20)
  wait_for(home / "saved0", home / "saved1")


def test_a_dry_run_starts_nothing(home, here):
  said, status = here("--processes=2", "--gpus=0,1", "--dry_run")
  assert status == 0
  assert not [*home.glob("up*")]
  first, second = map(shlex.split, said.splitlines())
  assert first[:2] == ["env", "CUDA_VISIBLE_DEVICES=0"]
  assert second[2:-1] == peer(home)
  assert re.fullmatch(r"--distributed=127.0.0.1:\d+,2,1", second[-1])
  with pytest.raises(app.UsageError, match="expected a command after --"):
    here("--processes=2", command=[])


def test_one_that_does_not_listen_is_killed_after_its_grace():
  deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True);"
  deaf = [sys.executable, "-c", deaf + "time.sleep(60)"]
  ready = threading.Event()
  waits = [sys.executable, "-c", "import sys, time; time.sleep(0.5); sys.exit(4)"]
  before = time.monotonic()
  status = gang.run([deaf, waits], [], lambda number, line: ready.set(), grace=0.2)
  assert status == 4
  assert ready.is_set()
  assert time.monotonic() - before < 20
