"""Arrays in: activations of a person's own model, from Python, an npz or a folder."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ovl import inputs
from ovl.columns import codes, described, encode, encoded
from ovl.inputs import checks, layout
from ovl.inputs.holders import framed
from ovl.inputs.repeats import repeats
from ovl.inputs.words import nearest
from ovl.types import Attribute, BadInput

SPLIT = ("train", "probe", "stop", "test")
# What others call the parts of a split.
CALLED = {
  "val": "stop", "valid": "stop", "validation": "stop", "dev": "stop",
  "training": "train", "fit": "probe", "eval": "test", "testing": "test", "holdout": "test",
}  # fmt: skip


class Arrays(NamedTuple):
  """Activations and what is known of every example.

  Attributes:
    taps: name -> `[S, N, ...]` in depth order; a memory-mapped array stays one.
    untrained: the same of the untrained twins; may lack any tap.
    attributes: name -> `Attribute`.
    ids: `[N]` a distinct identity of each example.
    task: the task label, discrete and known everywhere, or None.
    groups: int32 codes `[N]` of what must stay on one side of a split, or None.
    split: `[N]` of "train" (seen by the network: not used), "probe", "stop", "test".
    seeds: one integer a model, or None where there is one model.
    notes: sentences on how it was read.
    doubts: sentences on what a person should look at, with the remedy.
  """

  taps: dict[str, np.ndarray]
  untrained: dict[str, np.ndarray]
  attributes: dict[str, Attribute]
  ids: np.ndarray
  task: Attribute | None = None
  groups: np.ndarray | None = None
  split: np.ndarray | None = None
  seeds: tuple[int, ...] | None = None
  notes: tuple[str, ...] = ()
  doubts: tuple[str, ...] = ()

  def said(self) -> list[str]:
    """How everything is read, a sentence each, what to look at last."""
    lines = [described(name, one) for name, one in self.attributes.items()]
    return [*lines, *self.notes, *(f"note: {doubt}" for doubt in self.doubts)]


def arrays(
  taps: Mapping[str, Any],
  attributes: Mapping[str, Any],
  *,
  untrained: Mapping[str, Any] | None = None,
  task: Any = None,
  groups: Any = None,
  split: Any = None,
  ids: Any = None,
  seeds: Sequence[int] | np.ndarray | None = None,
  continuous: Iterable[str] = (),
  discrete: Iterable[str] = (),
  channels: str = "auto",
  mask: Any = None,
  lengths: Any = None,
  pool: str | Iterable[str] = (),
) -> Arrays:
  """Checks arrays that came from anywhere and gives them their common shape.

  Args:
    taps: name -> `[N, ...]`, or `[S, N, ...]` with `seeds`; any holder of numbers
      (`ovl.inputs.numbers`).
    attributes: name -> `[N]` in any coding, or an `Attribute`; or a table of columns.
    untrained: like `taps`, of the same shapes.
    task: `[N]` the label the network was trained for, in any discrete coding.
    groups: `[N]` writer, person: what must not be on both sides of a split.
    split: `[N]` of "train", "probe", "stop", "test".
    ids: `[N]` a distinct identity of each example; by default its row number.
    seeds: one integer a model; without it there is one model and no axis for it.
    continuous: attributes that are quantities although they look like classes.
    discrete: attributes that are classes although they look like quantities.
    channels: where maps have them: "first", "last", or "auto": as their shape tells.
    mask: `[N, T]` of 0 and 1, or name -> such: which positions of `[N, T, D]` are real.
    lengths: `[N]` how many are real, in place of a mask.
    pool: of "mean", "last", "first" real position; each a tap of its own. With a mask
      "mean" is the default.

  Returns:
    The checked `Arrays`; activations are not copied, unless they are pooled.

  Raises:
    BadInput: one to four lines that name the argument and what it should be.
  """
  named = {
    "taps": taps,
    "attributes": attributes,
    "untrained": {} if untrained is None else untrained,
  }
  for where, value in named.items():
    if where != "attributes" and framed(value):
      raise BadInput(f"{where} is a table, expected a dict: {{'NAME': table}} for one tap")
    named[where] = inputs.named(value, where)
    if not named[where] and where != "untrained":
      raise BadInput(f"{where} is empty, expected a dict name -> array")
  numbers = _seeds(seeds)
  taps_by_name = _taps(named["taps"], "taps", numbers)
  twins = _taps(named["untrained"], "untrained", numbers)
  for name, z in twins.items():
    if name not in taps_by_name:
      raise BadInput(f"untrained/{name} has no tap; {nearest(name, taps_by_name)}")
    if z.shape != (trained := taps_by_name[name].shape):
      raise BadInput(f"untrained/{name} has shape {z.shape}, but its tap {trained}")
  known, doubts = encoded(named["attributes"], continuous, discrete)
  num_rows = next(iter(taps_by_name.values())).shape[1]
  found = Arrays(
    taps_by_name,
    twins,
    known,
    np.arange(num_rows) if ids is None else _ids(ids),
    None if task is None else _classes(task, "task"),
    None if groups is None else codes(groups),
    None if split is None else _words(split),
    numbers,
  )
  _same_rows(found)
  if found.groups is not None and found.split is not None:
    checks.groups_stay_together(found.groups, found.split)
  taps_by_name, twins, notes = layout.pooled(taps_by_name, twins, mask, lengths, pool)
  taps_by_name, read_as, asked = layout.oriented(taps_by_name, channels)
  twins, _, _ = layout.oriented(twins, channels)
  for where, group in (("taps", taps_by_name), ("untrained", twins)):
    for name, z in group.items():
      checks.finite(z, f"{where}/{name}")
  doubts += asked
  if copies := str(repeats([z[0] for z in taps_by_name.values()], found.groups)):
    doubts.append(copies)
  return found._replace(
    taps=taps_by_name,
    untrained=twins,
    notes=(*notes, *read_as),
    doubts=tuple(doubts),
  )


def read(path: str | pathlib.Path, continuous: Iterable[str] = (), **how: Any) -> Arrays:
  """Reads activations from an npz, or memory-maps those of a folder.

  Args:
    path: an npz with keys `taps/NAME`, `attributes/NAME` and, optionally,
      `untrained/NAME`, `mask/NAME`, `lengths`, `task`, `groups`, `split`, `id`, `seeds`;
      or a folder with `taps/*.npy`, `attributes.csv` (.tsv, .parquet, .feather; a header;
      columns task, groups or group, split and id are those) and, optionally,
      `untrained/*.npy`, `mask/*.npy`, `lengths.npy`, `seeds.npy`. Nothing is unpickled.
    continuous: attributes that are quantities although they look like classes.
    **how: `discrete`, `channels` and `pool` of `arrays`.

  Returns:
    The checked `Arrays`; taps in the order of the npz, or in that of the file names
    with numbers counted (`fc2` before `fc10`).

  Raises:
    BadInput: an unreadable path, an unknown or missing part, or as `arrays`.
  """
  parts, notes, doubts = inputs.parts(pathlib.Path(path))
  found = arrays(**parts, continuous=continuous, **how)
  return found._replace(notes=(*notes, *found.notes), doubts=(*doubts, *found.doubts))


def _taps(
  named: Mapping[str, Any], place: str, seeds: tuple[int, ...] | None
) -> dict[str, np.ndarray]:
  return {str(name): _tap(named[name], f"{place}/{name}", seeds) for name in named}


def _tap(values: Any, name: str, seeds: tuple[int, ...] | None) -> np.ndarray:
  """-> `[S, N, ...]` with at least one axis after N; shares memory with `values`."""
  z = inputs.numbers(values, name, stacked=seeds is not None)
  axes, letters = (1, "[N, ...]") if seeds is None else (2, "[S, N, ...]")
  if z.ndim < axes or not z.size:
    raise BadInput(f"{name} has shape {z.shape}, expected {letters}, nothing empty")
  if seeds is not None and len(z) != len(seeds):
    raise BadInput(
      f"seeds names {len(seeds)} models, but {name} has shape {z.shape}: "
      f"{len(z)} along the first axis"
    )
  z = z[..., None] if z.ndim == axes else z
  return z[None] if seeds is None else z


def _seeds(seeds: Any) -> tuple[int, ...] | None:
  if seeds is None:
    return None
  numbers = inputs.plain(seeds, "seeds")
  if numbers.dtype.kind == "O":
    numbers = np.array(numbers.tolist())
  if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
    raise BadInput(f"seeds={seeds!r}, expected one integer a model, such as (0, 1, 2)")
  if len(set(numbers.tolist())) < len(numbers):
    raise BadInput(f"seeds={numbers.tolist()} repeats itself; expected distinct ones")
  return tuple(numbers.tolist())


def _classes(values: Any, name: str) -> Attribute:
  column = encode(values, name)
  if column.kind != "discrete" and column.known.any():
    whole = (column.values[column.known] % 1 == 0).all()
    if not whole:
      raise BadInput(f"{name} is continuous, expected classes: integers, bools or text")
    column = encode(values, name, "discrete")
  if missing := int((~column.known).sum()):
    raise BadInput(f"{name} has {missing} missing values of {len(column.values)}")
  return column


def _words(split: Any) -> np.ndarray:
  column = _classes(split, "split")
  for word in column.labels:
    if word not in SPLIT:
      near = nearest(word, SPLIT)
      if meant := CALLED.get(word.casefold()):
        near = f"it is called {meant!r} here: {', '.join(SPLIT)}"
      raise BadInput(f"split has the unknown word {word!r}; {near}")
  for word in SPLIT[1:]:
    if word not in column.labels:
      raise BadInput(f"split has no row {word!r}; expected probe, stop and test rows")
  return np.array(column.labels)[column.values]


def _ids(ids: Any) -> np.ndarray:
  ids_N = inputs.plain(ids, "ids")
  ids_N = ids_N.astype(str) if ids_N.dtype.kind not in "iuU" else ids_N
  if ids_N.ndim != 1:
    raise BadInput(f"ids has shape {ids_N.shape}, expected [N]")
  if repeated := len(ids_N) - len(np.unique(ids_N)):
    raise BadInput(
      f"ids repeats {repeated} values; expected one identity an example\n"
      "  several rows of one person or source are what groups is for"
    )
  return ids_N


def _same_rows(found: Arrays) -> None:
  sizes = {f"taps/{name}": z.shape[1] for name, z in found.taps.items()}
  sizes |= {f"attributes/{n}": len(a.values) for n, a in found.attributes.items()}
  sizes |= {"task": len(found.task.values)} if found.task else {}
  rest = {"groups": found.groups, "split": found.split, "ids": found.ids}
  sizes |= {name: len(column) for name, column in rest.items() if column is not None}
  first, num_rows = next(iter(sizes.items()))
  for name, size in sizes.items():
    if size != num_rows:
      message = f"{name} has {size} rows, but {first} has {num_rows}"
      if found.seeds is None and all(size in z.shape[2:3] for z in found.taps.values()):
        message += (
          "\n  rows are the first axis: x.T turns them; where it counts models, give seeds"
        )
      message += checks.calls(name, size, first, num_rows)
      raise BadInput(message)
