"""Every test: no silent rank promotion, shapes of public signatures checked at run time."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest
from jaxtyping import install_import_hook

# Checked in tests only: in use the annotations cost nothing.
_hook = install_import_hook(["ovl.nn", "ovl.grid", "ovl.critics"], "beartype.beartype")


@pytest.fixture(scope="session", autouse=True)
def _shared_programs(tmp_path_factory):
  """Programs compiled by one test serve the others, also in other processes."""
  jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("xla")))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


@pytest.fixture(scope="module", autouse=True)
def _forgotten_programs():
  """A process can map only so many programs; those of a finished file are let go."""
  yield
  jax.clear_caches()
