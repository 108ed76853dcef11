"""Which axis of an activation is which: channels, positions, padding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ovl.inputs.holders import numbers
from ovl.inputs.words import nearest
from ovl.types import BadInput

CHANNELS = ("auto", "first", "last")
POOLS = ("mean", "last", "first")
CHUNK = 1 << 22  # numbers looked at in one go, so that a mapped file stays on disk


def oriented(
  taps: Mapping[str, np.ndarray], channels: str
) -> tuple[dict[str, np.ndarray], list[str], list[str]]:
  """Puts channels last.

  With "auto" a map of at least two inner axes has its channels first where its last two
  axes are alike and its first two are not; where the shape does not tell, it follows the
  taps whose shape does, if they agree.

  Args:
    taps: name -> `[S, N, ...]`.
    channels: "auto"; "first" or "last": of every tap with two or more axes an example.

  Returns:
    The taps (views), sentences on how they were read, and questions.

  Raises:
    BadInput: another word.
  """
  if channels not in CHANNELS:
    raise BadInput(f"channels={channels!r} is unknown; {nearest(channels, CHANNELS)}")
  inner = {name: z.shape[2:] for name, z in taps.items()}
  told = {name: _layout(shape) for name, shape in inner.items()}
  agreed = set(told.values()) - {"", "flat"}
  found, notes, questions = {}, [], []
  for name, z in taps.items():
    word = told[name] if channels == "auto" else channels
    text = f"taps/{name} [N, {', '.join(map(str, inner[name]))}] is read as"
    if word == "first" and channels == "auto":
      notes.append(f"{text} channels first; channels=last reads it otherwise")
    elif word == "flat" and len(inner[name]) == 2:
      T, D = inner[name]
      notes.append(f"{text} {T} positions of {D} features, of one model; else give seeds")
    elif not word:
      word = next(iter(agreed)) if len(agreed) == 1 else "last"
      questions.append(
        f"{text} channels {word}, which its shape does not tell; say channels=first or last"
      )
    found[name] = np.moveaxis(z, 2, -1) if word == "first" and z.ndim > 3 else z
  return found, notes, questions


def _layout(shape: tuple[int, ...]) -> str:
  """ "first", "last", "" where the shape does not tell, "flat" where there is no map."""
  if len(shape) < 3:
    return "flat"
  first, last = shape[-2] == shape[-1], shape[-3] == shape[-2]
  return "" if first == last else "first" if first else "last"


def pooled(
  taps: Mapping[str, np.ndarray],
  twins: Mapping[str, np.ndarray],
  mask: Any,
  lengths: Any,
  pool: str | Iterable[str],
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], list[str]]:
  """Sequences `[S, N, T, D]` -> `[S, N, D]` of their real positions.

  Args:
    taps: name -> activations; those of other shapes are passed on.
    twins: of the untrained networks, likewise.
    mask: `[N, T]` of 0 and 1 for all sequences, or name -> such; None: see `lengths`.
    lengths: `[N]` how many positions are real, from the first on; None: all.
    pool: of "mean", "last", "first": each a tap of its own, `NAME.POOL` where several.

  Returns:
    The taps, the twins, and sentences on how they were read.

  Raises:
    BadInput: a mask of another shape or for no tap, a row without a real position, an
      unknown word.
  """
  words = [pool] if isinstance(pool, str) else list(pool)
  if mask is None and lengths is None and not words:
    return dict(taps), dict(twins), []
  if mask is not None and lengths is not None:
    raise BadInput("mask and lengths are both given; expected one of them")
  for word in words:
    if word not in POOLS:
      raise BadInput(f"pool={word!r} is unknown; {nearest(word, POOLS)}")
  words = words or ["mean"]
  if isinstance(mask, Mapping):
    for name in mask:
      if name not in taps:
        raise BadInput(f"mask/{name} has no tap; {nearest(name, taps)}")
  real = {
    name: real_NT
    for name, z in taps.items()
    if z.ndim == 4 and (real_NT := _real(name, z, mask, lengths)) is not None
  }
  if not real:
    raise BadInput("mask, lengths and pool are for taps [N, T, D]; there is none")

  def of(named: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    found = {}
    for name, z in named.items():
      if name not in real:
        found[name] = z
        continue
      for word in words:
        short = name if len(words) == 1 else f"{name}.{word}"
        found[short] = _pool(z, real[name], word)
    return found

  ways = " and ".join(words)
  return (
    of(taps),
    of(twins),
    [f"taps/{n} is read as {ways} of real positions" for n in real],
  )


def _real(name: str, z: np.ndarray, mask: Any, lengths: Any) -> np.ndarray | None:
  """Bool `[N, T]` of one tap; None where there is no mask for it."""
  N, T = z.shape[1:3]
  if lengths is not None:
    lengths_N = numbers(lengths, "lengths")
    if lengths_N.shape != (N,) or ((lengths_N < 1) | (lengths_N > T)).any():
      raise BadInput(
        f"lengths has shape {lengths_N.shape}, {lengths_N.min()} to {lengths_N.max()}; "
        f"expected [{N}] of 1 to {T} as taps/{name} has them"
      )
    return np.arange(T) < lengths_N[:, None]
  one = mask.get(name) if isinstance(mask, Mapping) else mask
  if one is None:
    return np.ones((N, T), bool) if mask is None else None
  real_NT = numbers(one, f"mask/{name}")
  if real_NT.shape != (N, T) or not np.isin(real_NT, (0, 1)).all():
    raise BadInput(
      f"mask/{name} has shape {real_NT.shape}, expected [{N}, {T}] of 0 and 1, 1 where real"
    )
  if empty := int((real_NT == 0).all(1).sum()):
    raise BadInput(f"mask/{name} has no real position in {empty} rows; leave them out")
  return real_NT == 1


def _pool(z: np.ndarray, real_NT: np.ndarray, word: str) -> np.ndarray:
  S, N, T, D = z.shape
  out_SND = np.empty((S, N, D), np.float32)
  step = max(1, CHUNK // (T * D))
  for start in range(0, N, step):
    rows = slice(start, start + step)
    real_BT = real_NT[rows]
    if word == "mean":
      # What is padded may be anything, also nan.
      held = np.where(real_BT[..., None], z[:, rows], 0)
      out_SND[:, rows] = held.sum(2, dtype=np.float64) / real_BT.sum(1)[:, None]
    else:
      at_B = real_BT.argmax(1) if word == "first" else T - 1 - real_BT[:, ::-1].argmax(1)
      out_SND[:, rows] = z[:, rows][:, np.arange(len(at_B)), at_B]
  return out_SND
