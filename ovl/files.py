"""Files written whole or not at all, under names that cannot leave their folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import re

from ovl.types import BadInput

_PLAIN = re.compile(r"[a-z0-9_][a-z0-9_-]{0,59}")
_MADE = re.compile(r".*-[0-9a-f]{10}")


def slug(name: str) -> str:
  """A file name that stands for any text: two names never share one.

  Plain lower-case names stay as they are; others keep what a file name may hold and get
  ten digits of their digest, so that `block0/mlp`, `../../x` and names that differ in
  case alone are files of their own, inside their folder.
  """
  if _PLAIN.fullmatch(name) and not _MADE.fullmatch(name):
    return name
  digits = hashlib.sha256(name.encode()).hexdigest()[:10]
  kept = re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")[-48:]
  return f"{kept or 'x'}-{digits}"


def write_bytes(path: pathlib.Path, data: bytes) -> None:
  """Writes beside the target and renames, so that a full disk never leaves half a file.

  Raises:
    BadInput: the folder cannot be written, or the disk is full.
  """
  partial = path.with_name(path.name + ".partial")
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial.write_bytes(data)
    os.replace(partial, path)
  except OSError as error:
    with contextlib.suppress(OSError):  # half a file would be in the way; its folder, not
      partial.unlink(missing_ok=True)
    raise BadInput(f"cannot write {path}: {error.strerror}") from error


def write_text(path: pathlib.Path, text: str) -> None:
  """The same of text, as UTF-8."""
  write_bytes(path, text.encode("utf-8"))
