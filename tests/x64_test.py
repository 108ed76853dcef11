"""Whoever runs JAX in 64 bits gets the same answers."""

import os
import subprocess
import sys

import numpy as np

CODE = """
import warnings
import numpy as np, ovl
warnings.simplefilter("ignore")
gen = np.random.default_rng(0)
s, y = gen.integers(0, 2, 240), gen.integers(0, 2, 240)
z = gen.normal(size=(240, 6)); z[:, 0] += 1.5 * s
q = z[:, 1] + 0.3 * gen.normal(size=240)
rows = ovl.audit({"a": z}, {"s": s, "q": q}, task=y, critics="linear").rows
print(*[r.value for r in rows if r.metric == "share_beyond_task" and r.verdict])
for target in (s, q):
  print(ovl.mutual_information(z, target, "linear", seeds=1).nats)
wide = np.concatenate([z, gen.normal(size=(240, 600))], 1)
print(ovl.audit({"a": wide}, {"s": s}, critics="linear").rows[0].metric == "")
"""


def test_numbers_are_those_of_32_bits():
  said = []
  for bits in ("0", "1"):
    env = os.environ | {"JAX_ENABLE_X64": bits}
    done = subprocess.run(
      [sys.executable, "-c", CODE], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said.append([float(w) for w in done.stdout.split() if w not in ("True", "False")])
  assert len(said[0]) == 4
  np.testing.assert_allclose(*said, atol=0.01)
