r"""Patterns that are planted in training images: unique features and spurious patterns.

Every pattern is one formula, :math:`x' = clip(keep \cdot x + add, low, high)`, so that
patterns stack, a lane carries its own, and painting runs inside the train step on data
that lie once in device memory.

References:
  Hartley and Tsaftaris (2022), https://arxiv.org/abs/2205.10079 (letters, one image);
  Yang, Chou and Chaudhuri (2022), https://arxiv.org/abs/2202.05189 (S1-S3, R1-R3, Co).
"""

from __future__ import annotations

import pathlib
import runpy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ovl.load import nearest
from ovl.types import BadInput

Shape = tuple[int, int, int]

# Rows of 5x5 bitmaps, of as much ink a letter as the published ones.
_ROWS = """
00100 01010 11111 10001 10001|11110 11011 11110 11001 11110|01111 10000 10000 10000 01111
11110 10001 10001 10001 11110|11110 10000 11100 10000 11110|11110 10000 11100 10000 10000
01111 10000 10111 10001 01111|10001 10001 11111 10001 10001|01110 00100 00100 00100 01110
11111 00010 00010 10010 01100|10010 10100 11000 10100 10010|10000 10000 10000 10000 11100
10001 11011 10101 10001 10001|10001 11001 10101 10011 10001|01110 10001 10001 10001 01110
11100 10010 11100 10000 10000|01110 10001 10101 10010 01101|11100 10010 11100 10100 10010
01111 10000 01110 00001 11110|11111 00100 00100 00100 00100|10001 10001 10001 10001 01110
10001 10001 01010 01010 00100|10001 10001 10101 11011 10001|10001 01010 00100 01010 10001
10001 01010 00100 00100 00100|11111 00010 00100 01000 11111
"""
LETTERS: dict[str, np.ndarray] = {
  letter: np.array([[int(bit) for bit in row] for row in rows.split()], np.float32)
  for letter, rows in zip(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ", _ROWS.strip().replace("\n", "|").split("|"), strict=True
  )
}
SQUARES = {"S1": 1, "S2": 3, "S3": 5}  # side of the bright corner
NOISES = {"R1": 0.25, "R2": 0.5, "R3": 1.0}  # height of the uniform noise
BAR = (slice(3, 25), slice(13, 16))  # Co: looks like a one


class Pattern(NamedTuple):
  """What is done to an image, `[H, W, C]` each; several patterns stack on a leading axis.

  Attributes:
    keep: factor of what is there.
    add: added to it.
    low: least value afterwards.
    high: largest value afterwards.
  """

  keep: Any
  add: Any
  low: Any
  high: Any


class Planted(NamedTuple):
  """What one network is trained on.

  Attributes:
    patterns: P of them, stacked.
    which_N: `[N]` the number of the pattern each row of the data set carries, -1: none.
  """

  patterns: Pattern
  which_N: Any


def paint(pattern: Pattern, x: Any) -> Any:
  """Images `[..., H, W, C]` with the pattern on each; NumPy in, NumPy out."""
  lib = np if isinstance(x, np.ndarray) else jnp
  return lib.clip(pattern.keep * x + pattern.add, pattern.low, pattern.high)


def into(planted: Planted, x_B: Array, ids_B: Array) -> Array:
  """A batch as a network sees it; pure.

  Args:
    planted: of the network.
    x_B: images `[B, H, W, C]`.
    ids_B: their places in the data set.
  """
  which_B = planted.which_N[ids_B]
  of_B = jax.tree.map(lambda leaf: leaf[jnp.maximum(which_B, 0)], planted.patterns)
  return jnp.where((which_B >= 0).reshape(-1, 1, 1, 1), paint(of_B, x_B), x_B)


def stack(patterns: Sequence[Pattern]) -> Pattern:
  """Several patterns on a leading axis."""
  return Pattern(*(np.stack(leaves) for leaves in zip(*patterns, strict=True)))


def normalised(pattern: Pattern, mean: Any, std: Any) -> Pattern:
  """The same pattern of images that are (x - mean) / std: painted before, then scaled."""
  keep, add, low, high = pattern
  zero = (keep * mean + add - mean) / std
  return Pattern(keep, zero, (low - mean) / std, (high - mean) / std)


def reach(pattern: Pattern, x_N: np.ndarray) -> float:
  """Mean length of x' - x over images: the norm that the literature plots."""
  change = paint(pattern, x_N) - x_N
  return float(np.sqrt(np.square(change).reshape(len(x_N), -1).sum(1)).mean())


# ---- one pattern -------------------------------------------------------------------------


def _pattern(keep: np.ndarray, add: np.ndarray) -> Pattern:
  like = keep.astype(np.float32)
  return Pattern(like, add.astype(np.float32), np.zeros_like(like), np.ones_like(like))


def bitmap(
  bits: np.ndarray,
  shape: Shape,
  offset: tuple[int, int] = (1, 1),
  opaque: bool = True,
  value: float | Sequence[float] = 1.0,
) -> Pattern:
  """A patch at a place.

  Args:
    bits: `[h, w]` or `[h, w, C]` in 0..1.
    shape: `(H, W, C)` of the images.
    offset: row and column of its upper left corner.
    opaque: zeros of the patch overwrite the image too; else set pixels alone do.
    value: of a set pixel, one number or one a channel (a colour), before normalisation.

  Raises:
    BadInput: the patch lies outside the image.
  """
  bits = np.asarray(bits, np.float32)
  bits = bits[..., None] if bits.ndim == 2 else bits
  (top, left), (h, w) = offset, bits.shape[:2]
  if top < 0 or left < 0 or top + h > shape[0] or left + w > shape[1]:
    raise BadInput(
      f"a {h}x{w} patch at row {top}, column {left} lies outside the {shape[0]}x{shape[1]} "
      "image"
    )
  add, covered = np.zeros(shape, np.float32), np.zeros(shape, bool)
  place = slice(top, top + h), slice(left, left + w)
  add[place] = bits * np.asarray(value, np.float32)
  covered[place] = opaque | (bits > 0)
  return _pattern(~covered, np.where(covered, add, 0.0))


def values(image: np.ndarray, shape: Shape) -> Pattern:
  """Pixels that are set to given values, `[H, W]` or `[H, W, C]`; nan: left alone.

  Raises:
    BadInput: another shape than the images.
  """
  image = np.asarray(image, np.float32)
  image = image[..., None] if image.ndim == 2 else image
  if image.shape[:2] != shape[:2] or image.shape[2:] not in ((1,), shape[2:]):
    raise BadInput(f"pattern of shape {image.shape}: the images are {shape}")
  image = np.broadcast_to(image, shape)
  return _pattern(np.isnan(image), np.where(np.isnan(image), 0.0, image))


def noise(shape: Shape, height: float, seed: int) -> Pattern:
  """x + height u, u uniform in [0, 1), one draw for all images."""
  u = np.random.RandomState(seed).uniform(size=shape)  # the published generator
  return _pattern(np.ones(shape), height * u)


def random(
  shape: Shape, seed: int, side: int = 5, offset: tuple[int, int] = (1, 1)
) -> Pattern:
  """A square of fair random bits, the same in all channels."""
  bits = np.random.default_rng([seed, 5]).integers(0, 2, (side, side))
  return bitmap(bits, shape, offset)


def named(name: str | Callable[[Shape, int], Any], shape: Shape, seed: int = 0) -> Pattern:
  """A pattern by its name, file or function.

  Args:
    name: "S1", "S2", "S3", "R1", "R2", "R3", "Co", a letter "A".."Z" (at row and column
      1), "random" (a square of 5x5 fair bits), a file ".npy" of pixel values (nan: left
      alone), a file ".py" with a function `pattern(shape, seed)`, or such a function; it
      returns pixel values or a `Pattern`.
    shape: `(H, W, C)` of the images.
    seed: of what is drawn.

  Raises:
    BadInput: no such pattern or file; it does not fit the images.
  """
  if callable(name):
    made = name(shape, seed)
    return made if isinstance(made, Pattern) else values(made, shape)
  if name in SQUARES:
    return bitmap(np.ones((SQUARES[name],) * 2), shape, (0, 0))
  if name in NOISES:
    return noise(shape, NOISES[name], seed)
  if name == "Co":
    (rows, columns) = BAR
    bits = np.ones((rows.stop - rows.start, columns.stop - columns.start))
    return bitmap(bits, shape, (rows.start, columns.start))
  if name in LETTERS:
    return bitmap(LETTERS[name], shape)
  if name == "random":
    return random(shape, seed)
  return _of_file(name, shape, seed)


def _of_file(name: str, shape: Shape, seed: int) -> Pattern:
  path = pathlib.Path(name)
  if path.suffix not in (".npy", ".py"):
    known = [*SQUARES, *NOISES, "Co", *LETTERS, "random"]
    raise BadInput(f"pattern={name!r} is unknown: {nearest(name, known)}")
  if not path.is_file():
    raise BadInput(f"pattern={name!r}: no such file")
  if path.suffix == ".npy":
    return values(np.load(path, allow_pickle=False), shape)
  function = runpy.run_path(name).get("pattern")
  if function is None:
    raise BadInput(f"pattern={name!r}: the file has no function pattern(shape, seed)")
  return named(function, shape, seed)


# ---- who carries it ----------------------------------------------------------------------


def ranks(y_N: np.ndarray, target: int, seed: int) -> np.ndarray:
  """`[N]` the place of each row of the target class in a random order; others: N.

  The n rows of rank below n carry the pattern, so that doses are nested.

  Raises:
    BadInput: the class is not there.
  """
  rows = np.flatnonzero(y_N == target)
  if not len(rows):
    raise BadInput(f"target={target}: no such class among {sorted(set(y_N.tolist()))}")
  out = np.full(len(y_N), len(y_N), np.int32)
  out[np.random.default_rng([seed, 7]).permutation(rows)] = np.arange(len(rows))
  return out


def carriers(rank_N: np.ndarray, dose: int) -> np.ndarray:
  """`[N]` 0 where a row carries the (only) pattern, -1 elsewhere.

  Raises:
    BadInput: more than the class has.
  """
  most = int((rank_N < len(rank_N)).sum())
  if not 0 <= dose <= most:
    raise BadInput(f"dose={dose}: the class has {most} training examples")
  return np.where(rank_N < dose, 0, -1).astype(np.int32)
