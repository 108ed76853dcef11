"""Removes an attribute in training or after it, and judges what is left, at what cost."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any

from ovl.progress import Progress, quiet
from ovl.run import Result, runner
from ovl.unlearn.settings import Settings as Settings

run = runner("unlearn")


def unlearn(
  config: Mapping[str, Any],
  directory: str | os.PathLike[str] | None = None,
  progress: Progress = quiet,
) -> Result:
  """Trains networks to forget, edits others, and lets fresh attackers read what is left.

  Args:
    config: of the experiment: `seed`, `seeds`, `dataset`, `model`, `fit`, `split` and
      `unlearn`, see `ovl.unlearn.Settings`; a dictionary, or what a file of `configs/`
      returns.
    directory: the workdir; None: nothing is written.
    progress: called with the share done and a word.

  Returns:
    A `Result`: `.rows`, `.table()`, `.report(directory)`.

  Raises:
    BadInput: in one to four lines what came, where, and what fits.
    FloatingPointError: every network without a penalty diverged.

  References:
    Song and Shmatikov (2020), https://arxiv.org/abs/1905.11742, section 4 (censoring);
    Guo et al. (2022), https://arxiv.org/abs/2202.13295.
  """
  given = dict(config.to_dict() if hasattr(config, "to_dict") else config)
  home = None if directory is None else pathlib.Path(directory)
  return run(given, home, progress)[0]
