"""Complete jobs -> one table of all their rows, and the page that compares them."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import pathlib
from collections.abc import Sequence
from typing import Any, get_type_hints

from filelock import FileLock, Timeout

from ovl import report, results
from ovl.files import write_bytes, write_text
from ovl.sweep.jobs import Job
from ovl.sweep.page import page
from ovl.types import BadInput, Row

WAIT = 600  # seconds another process may take to collect


def collect(
  jobs: Sequence[Job], failed: dict[str, str], out: pathlib.Path, title: str
) -> list[str]:
  """Writes `rows.jsonl`, `rows.csv`, `rows.parquet` where pyarrow is, and `sweep.html`.

  Whoever comes last writes of all: one process collects at a time.

  Args:
    jobs: of the whole grid.
    failed: name of a job -> why.
    out: the folder of all workdirs.
    title: of the page.

  Returns:
    Names of the complete jobs.

  Raises:
    BadInput: a file cannot be written, or another process collects for very long.
  """
  try:
    out.mkdir(parents=True, exist_ok=True)
    with FileLock(out / ".lock", timeout=WAIT):
      return _collected(jobs, failed, out, title)
  except (OSError, Timeout) as error:
    raise BadInput(f"cannot collect in {out}: {error}") from error


def _collected(
  jobs: Sequence[Job], failed: dict[str, str], out: pathlib.Path, title: str
) -> list[str]:
  found = {job.name: results.read(job.directory) for job in jobs if job.complete}
  table = [
    {"job": job.name, **_columns(job), **results.to_dict(row)}
    for job in jobs
    for row in found.get(job.name, [])
  ]
  keys = [f"config.{key}" for key in jobs[0].overrides]
  _write(table, ["job", *keys, *Row._fields], out)
  report.save(page(jobs, found, failed, title), out, "sweep")
  return list(found)


def _columns(job: Job) -> dict[str, Any]:
  """What was overridden, as `config.KEY`: a row has columns such as `seed` of its own."""
  return {
    f"config.{key}": value if isinstance(value, bool | int | float | str) else repr(value)
    for key, value in job.overrides.items()
  }


def _write(table: list[dict[str, Any]], names: list[str], out: pathlib.Path) -> None:
  lines = (json.dumps(line, ensure_ascii=False) + "\n" for line in table)
  write_text(out / "rows.jsonl", "".join(lines))
  text = io.StringIO()
  writer = csv.DictWriter(text, names, lineterminator="\n")
  writer.writeheader()
  writer.writerows(table)
  write_text(out / "rows.csv", text.getvalue())
  if importlib.util.find_spec("pyarrow"):
    write_bytes(out / "rows.parquet", _parquet(table, names))


def _parquet(table: list[dict[str, Any]], names: list[str]) -> bytes:
  """Typed as a row is; an override as its values are, or as text where they differ."""
  import pyarrow as pa  # type: ignore[import-untyped]
  from pyarrow import parquet

  kinds: dict[Any, Any] = {str: pa.string(), int | None: pa.int64()}
  kinds[float | None] = pa.float64()
  hints, columns = get_type_hints(Row), {}
  for name in names:
    values = [line.get(name) for line in table]
    if name in hints:
      columns[name] = pa.array(values, kinds[hints[name]])
      continue
    types = {type(value) for value in values}
    if types == {int, float}:
      values = [float(value) for value in values]  # type: ignore[arg-type]
    elif len(types) > 1:
      values = [str(value) for value in values]
    columns[name] = pa.array(values)
  sink = io.BytesIO()
  parquet.write_table(pa.table(columns), sink)
  return sink.getvalue()
