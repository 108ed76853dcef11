"""Every test: shapes of public signatures checked at run time; programs compiled once.

What one test compiled serves the others, also in other processes and in later runs: JAX
keeps it in `.pytest_cache/xla`, under a key of the program, its options and versions.
Little time goes into making programs fast that run a few times; `XLA_FLAGS= pytest` has
the whole compiler.
"""

import os
import pathlib
import shutil

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
  "XLA_FLAGS",
  "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
  "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)

import jax
import pytest
from jaxtyping import install_import_hook

# Checked in tests only: in use the annotations cost nothing.
_hook = install_import_hook(["ovl.nn", "ovl.grid", "ovl.critics"], "beartype.beartype")

KEPT = pathlib.Path(__file__).parents[1] / ".pytest_cache" / "xla"
MOST = 2**30  # bytes, of several runs
# Small programs too: they are many. The environment is for processes that tests start.
for name, value in {
  "jax_compilation_cache_dir": str(KEPT),
  "jax_persistent_cache_min_compile_time_secs": 0.0,
}.items():
  os.environ[name.upper()] = str(value)
  jax.config.update(name, value)


def pytest_configure(config):
  """Programs of older code are thrown away, all together, where they grew too many."""
  size = sum(path.stat().st_size for path in KEPT.glob("*-cache"))
  if size > MOST and not hasattr(config, "workerinput"):
    shutil.rmtree(KEPT, ignore_errors=True)


@pytest.fixture(scope="module", autouse=True)
def _forgotten_programs():
  """A process can map only so many programs; those of a finished file are let go."""
  yield
  jax.clear_caches()


def pytest_addoption(parser):
  """`--renew`: tests/golden_test.py writes its tables anew."""
  parser.addoption("--renew", action="store_true", help="write tests/golden anew")
