"""Every world of `ovl bench verdicts`, a line each: a name, how many draws, a law."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ovl.bench import columns
from ovl.bench.columns import classes
from ovl.bench.drawn import World
from ovl.bench.planted import detected, planted
from ovl.bench.worlds import (
  asked,
  copies,
  excess,
  groups,
  independent,
  knows_label,
  paired,
  quantity,
  shifted_split,
  twins,
)

TABLE: dict[str, World] = {}


def _line(name: str, draws: int, law: Callable[..., Any], /, **given: Any) -> None:
  TABLE[name] = World(name, draws, partial(law, **given))


# fmt: off
# ---- noise, and attributes of every kind -------------------------------------------------
_line("coins, N 100", 60, independent, rows=100, attributes=10)
_line("coins, N 300", 60, independent, rows=300, attributes=10)
_line("coins, N 1,000", 80, independent)
_line("coins, N 3,000", 40, independent, rows=3000)
_line("coins, N 30,000", 6, independent, rows=30_000, attributes=4)
_line("10 classes", 50, independent, make=classes(10))
_line("50 classes, N 1,000", 50, independent, make=classes(50))
_line("50 classes, N 3,000", 10, independent, make=classes(50), rows=3000,
  attributes=4)
_line("1 row in 100, N 3,000", 25, independent, make=columns.rare(0.01), rows=3000)
_line("1 row in 1,000, N 30,000", 6, independent, make=columns.rare(1e-3), rows=30_000,
  attributes=4)
_line("1 row in 1,000, N 5,000", 5, independent, make=columns.rare(1e-3), rows=5000,
  attributes=4)
_line("normal quantity", 50, independent, make=columns.normal)
_line("skewed quantity", 50, independent, make=columns.skewed)
_line("tied quantity", 50, independent, make=columns.tied)
_line("quantity with 70 % zeros", 50, independent, make=columns.many_zeros)
_line("skewed quantity, N 100", 40, independent, make=columns.skewed, rows=100)
# ---- several models, many cells ----------------------------------------------------------
_line("coins, 3 models", 30, independent, models=3)
_line("coins, 8 models", 12, independent, models=8)
_line("normal quantity, 3 models", 30, independent, models=3,
  make=columns.normal)
_line("3 copies of one network", 30, copies, models=3)
_line("8 copies of one network", 6, copies, models=8)
_line("1 cell", 150, independent, attributes=1)
_line("100 cells", 20, independent, attributes=20, taps=5, rows=300)
_line("500 cells", 8, independent, attributes=50, taps=10, rows=150, critics="linear")
# ---- z knows the label, the attribute hangs on it alone ----------------------------------
for _classes, _rows in ((2, 1000), (20, 1000), (400, 3000)):
  _line(f"z knows the label of {_classes}, attribute its noisy parity", 30, knows_label,
    make=columns.noisy_parity, C=_classes, rows=_rows)
_line("z knows the label, coins", 30, knows_label, make=classes(2))
_line("z knows the label, half-normal given it", 30, knows_label, make=columns.half_normal)
_line("z knows the label, skewed, scaled by it", 30, knows_label, make=columns.scaled)
_line("z knows the label of 20, skewed, scaled by it", 30, knows_label,
  make=columns.scaled, C=20)
_line("z knows the label, noisy parity, 3 models", 20, knows_label,
  make=columns.noisy_parity, models=3)
# ---- z knows the group -------------------------------------------------------------------
for _label in ("constant", "varying"):
  for _inside in ("constant", "typo", "varying"):
    for _unlike, _size in ((False, "10 rows"), (True, "2 to 60 rows")):
      _line(f"z knows the group ({_size}), attribute {_inside}, label {_label}", 40, groups,
        attribute=_inside, label=_label, unlike=_unlike)
_line("given split, other classes and z in test", 40, shifted_split, task=False)
_line("the same, attribute a noisy copy of the task", 40, shifted_split, task=True)
# ---- excess ------------------------------------------------------------------------------
_line("3 untrained twins are the trained networks", 10, twins, models=3, delta=1.5,
  same=True)
_line("3 untrained twins know as much", 40, twins, models=3, delta=1.5, same=False)
_line("8 untrained twins know as much", 15, twins, models=8, delta=1.5, same=False)
_line("3 untrained twins know as little as nothing", 40, twins, models=3, delta=0.0,
  same=False)
_line("excess of 3 models", 50, excess, models=3)
_line("excess of 8 models", 25, excess, models=8)
# ---- leaks of a known size ---------------------------------------------------------------
_line("known leak", 150, planted, rows=3000, attributes=3)
_line("known leak, N 300", 80, planted, rows=300, attributes=3, exact=False)
_line("known leak, much", 60, planted, delta=3.0, rows=3000, attributes=3)
_line("known leak beyond a task", 60, planted, rows=3000, task=True)
_line("known leak, 3 models", 60, planted, rows=2000, models=3)
_line("known leak, 3 models that differ", 60, planted, rows=2000, models=3, spread=0.3)
_line("known leak, 8 models that differ", 25, planted, rows=2000, models=8, spread=0.3)
_line("known leak, 3 copies of one network", 60, planted, rows=2000, models=3, same=True)
_line("known leak in 100 groups", 60, planted, rows=3000, groups=100)
_line("correlated quantity", 60, quantity, rho=0.7, rows=3000)
# ---- leaks of the size that is stated as detectable --------------------------------------
_line("detectable leak", 200, detected)
_line("detectable leak, N 300", 200, detected, rows=300)
_line("detectable leak, N 3,000, 5 classes", 200, detected, rows=3000, K=5)
_line("detectable leak, width 64", 200, detected, width=64)
_line("detectable leak, 3 models", 100, detected, models=3)
_line("detectable leak, 8 models", 40, detected, models=8)
_line("detectable leak in 1 of 20 cells", 100, detected, others=19)
_line("detectable leak, ten equal rows a group", 200, detected, rows=5000, alike=True)
# ---- mutual information, and means of pairs ----------------------------------------------
_line("mi: independent coin", 40, asked, law="no coin")
_line("mi: independent normal", 25, asked, law="no normal")
_line("mi: independent coins of groups", 30, asked, law="group")
_line("mi: coin", 40, asked, law="coin")
_line("mi: normal pair", 25, asked, law="normal")
for _models in (2, 3, 5, 8):
  _line(f"pairs of {_models} models, right or wrong", 10, paired, models=_models,
    spread=0.05, means=(0.7, 0.65))
_line("pairs of 3 like models, right or wrong", 10, paired, models=3, spread=0.0,
  means=(0.7, 0.65))
_line("pairs of 3 models, shares", 10, paired, models=3, spread=0.05, means=(0.4, 0.2),
  right=False)
_line("pairs of 3 models, nothing left", 10, paired, models=3, spread=0.0,
  means=(0.4, 0.0), right=False)
# fmt: on
