"""What a step needs, before anybody pays: read off the compiled program, and true."""

import importlib.util
import subprocess
import sys

import jax
import numpy as np
import pytest
from whole import CONFIGS, NETWORKS

from ovl import cli, fit, mesh, plan
from ovl.audit.api import study
from ovl.plan import steps, table
from ovl.run import verb
from ovl.types import BadInput

CONFIG = NETWORKS | {"audit": {"critics": ["linear"]}}
TPU = importlib.util.find_spec("libtpu") is not None


def here(**settings):
  return plan.plan(plan.asked(study, CONFIG)[0], plan.chips(), mesh.Settings(**settings))


def test_a_rehearsal_trains_nothing_and_knows_what_would_be():
  asked = plan.asked(study, CONFIG)[0]
  assert asked.rows_SN.shape[0] == 4
  assert asked.settings.batch_size == 40
  with pytest.raises(BadInput, match="trains no network"):
    plan.asked(lambda run: None, CONFIG)
  asked = plan.asked(verb("memorise").study, {
    **NETWORKS, "dataset": {"name": "digits", "task": "digit"},
    "memorise": {"patterns": ["S2"], "doses": [0, 3]},
  })[0]  # fmt: skip
  assert asked.objective.transform is not None


def test_the_mesh_is_of_the_devices_planned_for():
  """As many as are not here."""
  asked = plan.asked(study, CONFIG | {"mesh": {"seed": 2, "data": 1024}})[0]
  assert len(asked.rows_SN) == 4


def test_a_study_announces_every_training():
  trainings = plan.asked(verb("unlearn").study, CONFIGS["unlearn"])
  assert [(one.name, len(one.rows_SN)) for one in trainings] == [
    ("no_penalty", 4), ("irene", 4),
  ]  # fmt: skip
  without, penalised = (plan.plan(one, plan.chips(), search=False) for one in trainings)
  assert penalised.parts["critics"] > without.parts["critics"]
  said = plan.text([without, penalised])
  assert "irene" in said


def test_bytes_are_those_of_the_arrays_themselves():
  """Every part within a tenth of what a training that was begun holds."""
  asked, found = plan.asked(study, CONFIG)[0], here()
  nets = fit.fit(
    asked.model, asked.x_N, asked.y_N, asked.rows_SN, asked.key_S,
    asked.settings, mesh.make(4), objective=asked.objective,
  )  # fmt: skip

  def held(tree):
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))

  assert found.parts["parameters"] == held((nets.params, nets.state))
  assert abs(found.parts["optimiser"] - held(nets.opt)) <= 0.1 * held(nets.opt)
  small = asked.x_N.astype(np.float32).nbytes + asked.y_N.astype(np.int32).nbytes
  assert abs(found.parts["data"] - small) <= 0.1 * small
  assert found.peak >= sum(found.parts.values())
  assert found.fits
  assert found.steps == 3 * (asked.rows_SN.shape[1] // 40)


def test_products_are_counted():
  """Three layers forward and backward; what is not a product is less than as much again."""
  found = here()
  weights = 6 * 6 + 6 * 4 + 4 * 2
  products = 4 * 40 * 2 * (3 * weights - 6 * 6)  # the input needs no gradient
  assert products <= found.flops <= 4 * products


def test_what_does_not_fit_is_said(monkeypatch, capsys):
  tight = plan.chips()._replace(memory=1000.0)
  found = plan.plan(plan.asked(study, CONFIG)[0], tight)
  assert not found.fits
  assert found.most == 0
  monkeypatch.setattr("ovl.cli.ahead.chips", lambda name: tight)
  words = ["ovl", "plan", "audit", "--config=digits:smoke"]
  assert cli.main(words) == 1
  assert "fits" in capsys.readouterr().out


LINES = [
  ("%a = f32[8,4]{1,0} all-reduce(%b), replica_groups={{0,1},{2,3}}, x=1", "data", 128),
  ("%a = f32[2]{0} all-reduce(%b), replica_groups={{0,2},{1,3}}", "seed", 8),
  ("%a = (f32[2]{0}, /*index=1*/bf16[4]{0}) all-gather(%b), replica_groups=[1,4]<=[4]",
   "both", 16),
  ("%a = s32[3]{0} all-reduce-start(%b), replica_groups=[2,2]<=[2,2]T(1,0)", "seed", 12),
  ("%a = f32[1]{0} all-reduce(%b), replica_groups=mesh['x'=2,'y'=2] {'y'}", "data", 4),
  ("%a = f32[1]{0} all-reduce(%b), replica_groups={}", "both", 4),
]  # fmt: skip


@pytest.mark.parametrize(("line", "axis", "size"), LINES)
def test_collectives_are_read(line, axis, size):
  class Grid:
    shape = {"seed": 2, "data": 2}  # noqa: RUF012

  ((word, found, number, held),) = steps._collectives(f"  {line}", Grid)
  assert (found, number, held) == (axis, 1, size)
  assert line.split("(%")[0].endswith((word, f"{word}-start"))


SCALED = """
import sys
import jax
jax.config.update("jax_num_cpu_devices", 64)
sys.path.insert(0, {folder!r})
from whole import CONFIGS, NETWORKS
from ovl import mesh, plan
from ovl.audit.api import study
every = jax.devices()
found = []
for many in (4, 16, 64):
  config = NETWORKS | dict(seeds=many, audit=dict(critics=["linear"]))
  chip = plan.Chip("cpu", every[:many])
  found.append(plan.plan(plan.asked(study, config)[0], chip, mesh.Settings(many // 2, 2)))
first = found[0]
assert {{c.axis for c in first.collectives}} == {{"data"}}, first.collectives
for one in found:
  assert one.parts == first.parts, (one.parts, first.parts)
  assert one.collectives == first.collectives, one.collectives
  assert abs(one.peak - first.peak) <= .02 * first.peak, (one.peak, first.peak)
print("constant")
"""


def test_bytes_and_collectives_stay_when_seeds_and_chips_grow_together():
  import pathlib

  code = SCALED.format(folder=str(pathlib.Path(__file__).parent))
  done = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=False
  )
  assert done.stdout.endswith("constant\n"), done.stderr[-3000:]


@pytest.mark.parametrize(
  ("words", "said"),
  [
    (["plan", "audit", "--topology=v5e:4x5"], "v5e:4x"),
    (["plan", "mi"], "trains no network"),
    (["plan", "audits"], "audit"),
    (["plan", "audit", "--config=digits:smoke", "--config.mesh.seed=3"], "mesh.seed=3"),
  ],
)
def test_what_cannot_be_planned_is_one_line(words, said, capsys):
  assert cli.main(["ovl", *words]) == 2
  (line,) = capsys.readouterr().err.splitlines()
  assert said in line


@pytest.mark.skipif(TPU, reason="the compiler of TPUs is here")
def test_an_absent_extra_names_its_install_line(capsys):
  assert cli.main(["ovl", "plan", "audit", "--topology=v5e:4x4"]) == 2
  assert 'pip install "ovl[plan]"' in capsys.readouterr().err


@pytest.mark.skipif(not TPU, reason="needs the extra `plan`")
def test_a_pod_is_planned_without_one(capsys):
  names = "--topologies=v5e:2x2,v5e:16x16"
  words = ["--config=digits:smoke", names, "--config.mesh.seed=1", "--config.mesh.data=4"]
  assert cli.main(["ovl", "plan", "audit", *words]) == 0
  out = capsys.readouterr().out
  assert out.count("1 x 4 ") == 2
  assert "over seed" not in out
  assert out.count("yes") == 2
  assert "chip-seconds" in out


@pytest.mark.skipif(not TPU, reason="needs the extra `plan`")
def test_a_chip_of_a_large_pod_has_no_more_to_do_than_one_of_a_small():
  found = [
    plan.plan(
      plan.asked(study, CONFIG | {"seeds": many})[0], plan.chips(f"v5e:{shape}"),
      mesh.Settings(many // 2, 2), search=False,
    )
    for many, shape in ((4, "2x2"), (256, "16x16"))
  ]  # fmt: skip
  small, large = (
    (p.parts, p.peak, p.activations, p.collectives, p.flops, p.traffic) for p in found
  )
  assert small == large
  assert {c.axis for c in found[0].collectives} == {"data"}


@pytest.mark.parametrize(
  ("name", "platform"),
  [
    ("", "cpu"),
    pytest.param("v5e:2x2", "tpu", marks=pytest.mark.skipif(not TPU, reason="`plan`")),
  ],
)
def test_a_plan_is_of_the_program_of_its_devices(name, platform, monkeypatch):
  """A convolution asks where it is: on CPU it is unrolled over networks, else not."""
  seen, true = [], steps.ahead.compiled

  def compiled(*args):
    seen.append(jax.default_backend())
    return true(*args)

  monkeypatch.setattr(steps.ahead, "compiled", compiled)
  plan.plan(plan.asked(study, CONFIG)[0], plan.chips(name), search=False)
  assert seen == [platform]
  assert jax.default_backend() == "cpu"


@pytest.mark.parametrize(
  ("hours", "said"),
  [
    (1234.5, "1,234 chip-hours"), (2.0, "2.0 chip-hours"), (0.5, "30.0 chip-minutes"),
    (0.004, "14.4 chip-seconds"), (2.07e-5, "0.07 chip-seconds"),
  ],
)  # fmt: skip
def test_what_is_paid_for_reads_well(hours, said):
  chips = (jax.devices() * 4)[:4]
  chip = plan.Chip("four", chips, flops=1.0, bandwidth=1.0)
  one = here()._replace(chip=chip, steps=9, seconds=hours * 3600 / 9 / 4)
  assert table.cost(one) == said


def test_doctor_says_what_is_here(capsys):
  assert cli.main(["ovl", "doctor"]) == 0
  out = capsys.readouterr().out
  for word in ("jax", "devices", "compile cache", "extra privacy", "extra plan"):
    assert word in out
