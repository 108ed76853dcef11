"""IDX files: the format of MNIST and of what was made after it."""

from __future__ import annotations

import gzip
import pathlib
import zlib
from collections.abc import Sequence

import numpy as np

from ovl.types import BadInput


def there(root: pathlib.Path, name: str) -> pathlib.Path | None:
  """The file, gzipped or not, or None."""
  return next((p for p in (root / f"{name}.gz", root / name) if p.is_file()), None)


def read(root: pathlib.Path, name: str, wanted: Sequence[str]) -> np.ndarray:
  """Reads one file: two zeros, a type, the number of axes, the axes, the values.

  Raises:
    BadInput: it is not there (the message has all that are wanted), or not whole.
  """
  path = there(root, name)
  if path is None:
    raise BadInput(
      f"dataset.data_dir={root} needs, gzipped or not\n  " + "\n  ".join(wanted)
    )
  try:
    raw = path.read_bytes()
    raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
    kind, ndim = {8: ">u1", 12: ">i4"}[raw[2]], raw[3]
    shape = np.frombuffer(raw, ">i4", ndim, offset=4)
    return np.frombuffer(raw, kind, offset=4 + 4 * ndim).reshape(shape)
  except (OSError, EOFError, zlib.error, LookupError, ValueError) as error:
    raise BadInput(f"{path} is not a whole IDX file: {error}") from error
