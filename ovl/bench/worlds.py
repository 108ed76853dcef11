"""The laws behind the worlds of `ovl bench verdicts`, each a pure function (see `table`).

In the first half nothing is to be found, whatever else the representation knows. In the
second what is there has a known size.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ovl.bench import columns, truth
from ovl.bench.columns import Draw, classes
from ovl.bench.drawn import NOTHING, Asked, Audited, Drawn, Paired, Truth
from ovl.bench.planted import planted, seeds_of

WIDTH = 8
COIN = classes(2)


# ---- nothing is to be found --------------------------------------------------------------


def independent(
  gen: np.random.Generator, rows: int = 1000, make: Draw = COIN, attributes: int = 5,
  models: int = 1, taps: int = 1, critics: str = "",
) -> Audited:  # fmt: skip
  """Noise in every tap, and attributes of their own; the last is a coin in any case."""
  blank_N = np.zeros(rows, int)
  named = {f"s{i}": make(gen, blank_N) for i in range(attributes - 1)}
  named["coin"] = COIN(gen, blank_N)
  shape = (rows, WIDTH) if models == 1 else (models, rows, WIDTH)
  return Audited(
    {f"z{i}": gen.normal(size=shape) for i in range(taps)},
    named,
    dict.fromkeys(named, NOTHING),
    seeds_of(models) | _quantities(named) | ({"critics": critics} if critics else {}),
  )


def knows_label(
  gen: np.random.Generator, make: Draw, C: int = 2, rows: int = 1000, models: int = 1
) -> Drawn:
  """z is where its label's centre is; attributes hang on the label alone."""
  y_N = gen.integers(0, C, rows)
  centre_CD = 2 * gen.normal(size=(C, WIDTH))
  noise = gen.normal(size=(rows, WIDTH) if models == 1 else (models, rows, WIDTH))
  named = {f"s{i}": make(gen, y_N) for i in range(10)}
  # Of the noisy parity z knows what its label knows.
  nats = truth.flipped(0.2) if make is columns.noisy_parity else np.nan
  return Audited(
    {"z": centre_CD[y_N] + noise},
    named,
    dict.fromkeys(named, Truth(nats=nats)),
    {"task": _text(y_N)} | seeds_of(models) | _quantities(named),
  )


def groups(
  gen: np.random.Generator, attribute: str, label: str, unlike: bool = False,
  attributes: int = 5,
) -> Drawn:  # fmt: skip
  """z knows the group very well; the groups' attributes are drawn independently.

  Args:
    gen: of the draw.
    attribute: inside a group "constant", "typo" (constant but for one row in all), or
      "varying" about a rate that the group has.
    label: inside a group "constant" or "varying".
    unlike: groups have 2 to 60 rows, the same in every draw and part, else 10.
    attributes: how many.
  """
  G, options = 120, {}
  size_G = np.full(G, 10)
  if unlike:  # programs are compiled for parts of a size: only a given split has those
    size_G = np.geomspace(2, 60, G)[np.argsort(np.arange(G) * 7 % G)].astype(int)
    options["split"] = np.repeat(np.repeat(["probe", "stop", "test"], (48, 12, 60)), size_G)
  group_N = np.repeat(np.arange(G), size_G)
  N = len(group_N)
  y_N = gen.integers(0, 2, G)[group_N] if label == "constant" else gen.integers(0, 2, N)
  z_ND = gen.normal(size=(G, WIDTH))[group_N] + 0.3 * gen.normal(size=(N, WIDTH))
  z_ND[:, 0] += 2 * y_N
  named = {}
  for i in range(attributes):
    rate_G = gen.integers(0, 2, G) if attribute != "varying" else gen.beta(0.7, 0.7, G)
    s_N = (gen.random(N) < rate_G[group_N]).astype(int)
    if attribute == "typo":
      s_N[gen.integers(N)] ^= 1
    named[f"s{i}"] = s_N
  options |= {"task": y_N, "groups": group_N}
  return Audited({"z": z_ND}, named, dict.fromkeys(named, NOTHING), options)


def shifted_split(gen: np.random.Generator, task: bool) -> Drawn:
  """The split is given; in test classes are mixed otherwise and z lies elsewhere."""
  split_N = np.repeat(["probe", "stop", "test"], (400, 100, 500))
  often_N = np.where(split_N == "test", 0.8, 0.5)
  y_N = (gen.random(1000) < (often_N if task else 0.5)).astype(int)
  z_ND = gen.normal(size=(1000, WIDTH)) + 0.5 * (split_N == "test")[:, None]
  z_ND[:, 0] += 2 * y_N
  named = {}
  for i in range(10):
    free_N = (gen.random(1000) < often_N).astype(int)
    named[f"s{i}"] = columns.noisy_parity(gen, y_N) if task else free_N
  nats = np.nan if task else 0.0
  options = {"split": split_N} | ({"task": y_N} if task else {})
  return Audited({"z": z_ND}, named, dict.fromkeys(named, Truth(nats=nats)), options)


def copies(gen: np.random.Generator, models: int) -> Drawn:
  """The same network several times, each with a split of its own."""
  one = independent(gen)
  z_SND = np.stack([one.taps["z0"]] * models)
  return one._replace(taps={"z0": z_SND}, options=seeds_of(models))


def twins(gen: np.random.Generator, models: int, delta: float, same: bool) -> Drawn:
  """Untrained networks that know as much as the trained ones, or are the same.

  With `same` the excess must be nothing at all.
  """
  one = planted(gen, delta, models=models, attributes=3)
  other = one.taps
  if not same:
    z_SND = gen.normal(size=one.taps["z"].shape)
    z_SND[..., :3] += delta * np.stack(list(one.attributes.values()), 1)
    other = {"z": z_SND}
  known = {n: t._replace(excess=0.0, metrics={}) for n, t in one.truth.items()}
  return one._replace(truth=known, options=dict(one.options) | {"untrained": other})


# ---- what is there has a known size ------------------------------------------------------


def excess(gen: np.random.Generator, models: int, rows: int = 1500) -> Drawn:
  """Trained networks know more than untrained ones, each as much as it happens to."""
  s_N = gen.integers(0, 2, rows)
  laws = {"trained": (1.6, 0.15), "untrained": (0.9, 0.1)}
  taps = {}
  for name, (mean, spread) in laws.items():
    delta_S = mean + spread * gen.normal(size=models)
    z_SND = gen.normal(size=(models, rows, 4))
    z_SND[..., 0] += delta_S[:, None] * s_N
    taps[name] = z_SND
  share = {n: truth.of_coins(*law)["share_beyond_task"] for n, law in laws.items()}
  known = Truth(
    True,
    truth.of_coins(*laws["trained"])["information"],
    truth.of_coins(*laws["trained"]),
    excess=share["trained"] - share["untrained"],
  )
  options = seeds_of(models) | {"untrained": {"z": taps["untrained"]}}
  return Audited({"z": taps["trained"]}, {"s": s_N}, {"s": known}, options)


def quantity(gen: np.random.Generator, rho: float, rows: int) -> Drawn:
  """A normal quantity and a tap that is correlated with it."""
  s_N = gen.normal(size=rows)
  z_ND = gen.normal(size=(rows, 2))
  z_ND[:, 0] = rho * s_N + np.sqrt(1 - rho**2) * z_ND[:, 0]
  known = truth.of_pair(rho)
  one = Truth(True, known["information"], known)
  return Audited({"z": z_ND}, {"s": np.exp(s_N)}, {"s": one}, {"continuous": ("s",)})


def asked(gen: np.random.Generator, law: str, rows: int = 1500) -> Drawn:
  """x and y of `mutual_information`: a "coin" or "normal" y that x knows, unless "no"."""
  word, _, kind = law.rpartition(" ")
  x_ND = gen.normal(size=(rows, 3))
  if kind == "group":
    group_N = np.repeat(np.arange(rows // 10), 10)
    x_ND = gen.normal(size=(rows // 10, 3))[group_N] + 0.3 * x_ND
    y_N = gen.integers(0, 2, rows // 10)[group_N]
    return Asked(x_ND, y_N, 0.0, {"groups": group_N})
  if kind == "coin":
    y_N = gen.integers(0, 2, rows)
    delta = 0.0 if word else 1.5
    x_ND[:, 0] += delta * y_N
    return Asked(x_ND, y_N, truth.shift(delta) if delta else 0.0)
  normal_N, rho = gen.normal(size=rows), 0.0 if word else 0.7
  x_ND[:, 0] = rho * normal_N + np.sqrt(1 - rho**2) * x_ND[:, 0]
  return Asked(x_ND, normal_N, truth.of_pair(rho)["information"])


def paired(
  gen: np.random.Generator, models: int, spread: float, means: tuple[float, float],
  right: bool = True, repeats: int = 200,
) -> Drawn:  # fmt: skip
  """Numbers of models on rows that they share in part; rows and models differ in mean.

  Args:
    gen: of the draw.
    models: S.
    spread: largest deviation of a model from its side's mean.
    means: of the two sides.
    right: each row is right (1) or wrong (0), as for `task_cost`; else a share that
      counts as 0 where a model's mean is below, as for `removed_share`.
    repeats: calls of one draw.
  """
  R, S, N, half = repeats, models, 400, 200
  rows_RSN = np.argsort(gen.random((R, S, N)), axis=2)[..., :half]
  sides = []
  for mean in means:
    ease_RN = 0.05 * gen.normal(size=(R, N))
    level_RS = mean + spread * gen.uniform(-1, 1, (R, S))
    at_RSN = level_RS[..., None] + np.take_along_axis(ease_RN[:, None], rows_RSN, 2)
    noise_RSN = 0.5 * gen.normal(size=at_RSN.shape)
    sides.append(1.0 * (gen.random(at_RSN.shape) < at_RSN) if right else at_RSN + noise_RSN)
  return Paired(sides[0], sides[1], rows_RSN, means[0] - means[1], not right)


def _quantities(named: dict[str, np.ndarray]) -> dict[str, Any]:
  floats = tuple(name for name, values in named.items() if values.dtype.kind == "f")
  return {"continuous": floats} if floats else {}


def _text(y_N: np.ndarray) -> np.ndarray:
  return np.array([f"label {y:03d}" for y in y_N])
