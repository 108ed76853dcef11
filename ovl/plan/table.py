"""A plan as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ovl.plan.steps import Plan
from ovl.report.table import Table, terminal

UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
PRICES = ((1, "chip-hours"), (1 / 60, "chip-minutes"), (1 / 3600, "chip-seconds"))


def text(plans: Sequence[Plan]) -> str:
  """Everything of one plan, or a line each of several."""
  if len(plans) == 1:
    return terminal(_one(plans[0]))
  table, hours = _several(plans), [plan.hours for plan in plans]
  if any(plan.name for plan in plans) and all(hour is not None for hour in hours):
    names = dict.fromkeys(plan.chip.name for plan in plans)
    sums = {n: sum(p.hours or 0 for p in plans if p.chip.name == n) for n in names}
    notes = [f"all trainings on {name}: {priced(total)}" for name, total in sums.items()]
    table = replace(table, notes=notes)
  return terminal(table)


def _one(plan: Plan) -> Table:
  chip = plan.chip
  lines = [
    ("fits", "yes" if plan.fits else "no"),
    ("mesh", f"seed {plan.shape[0]} x data {plan.shape[1]}, {plan.lanes} networks"),
    *((f"{name} a chip", size(count)) for name, count in plan.parts.items()),
    ("activations a chip", size(plan.activations)),
    ("peak a chip", f"{size(plan.peak)} of {size(chip.memory)}"),
    ("networks that fit", "" if plan.most is None else f"{plan.most:,}"),
    ("FLOPs a step and chip", f"{plan.flops:.3g}"),
    ("bytes moved a step and chip", size(plan.traffic)),
    ("collectives a step", exchanged(plan)),
    ("step, compiler's estimate", seconds(plan.seconds)),
    ("step, roofline", seconds(plan.roofline)),
    ("bound by", plan.bound),
    (f"chips x time, {plan.steps:,} steps", cost(plan)),
  ]
  return Table(("", chip.name), "ht", [line for line in lines if line[1]])


def _several(plans: Sequence[Plan]) -> Table:
  heads = (
    "topology", "training", "networks", "fits", "seed x data", "peak a chip", "of",
    "networks that fit", "step", "bound by", "collectives a step", "chips x time",
  )  # fmt: skip
  lines = [
    (
      plan.chip.name, plan.name or "first", f"{plan.lanes:,}",
      "yes" if plan.fits else "no", f"{plan.shape[0]} x {plan.shape[1]}",
      size(plan.peak), size(plan.chip.memory),
      "" if plan.most is None else f"{plan.most:,}",
      seconds(plan.seconds or plan.roofline), plan.bound, briefly(plan), cost(plan),
    )
    for plan in plans
  ]  # fmt: skip
  return Table(heads, "htntnnnnntnn", lines)


def exchanged(plan: Plan) -> str:
  """Collectives by kind, axis, number and bytes."""
  if not plan.collectives:
    return "none"
  return ", ".join(
    f"{c.number} {c.word} over {c.axis} ({size(c.bytes)})" for c in plan.collectives
  )


def briefly(plan: Plan) -> str:
  """Collectives by axis."""
  axes = sorted({c.axis for c in plan.collectives})
  mine = {axis: [c for c in plan.collectives if c.axis == axis] for axis in axes}
  return (
    ", ".join(
      f"{sum(c.number for c in each)} over {axis} ({size(sum(c.bytes for c in each))})"
      for axis, each in mine.items()
    )
    or "none"
  )


def size(number: float | None) -> str:
  """Bytes in a unit that reads well."""
  if number is None:
    return "unknown"
  for scale, unit in UNITS:
    if number >= scale:
      return f"{number / scale:,.2f} {unit}"
  return f"{number:,.0f} B"


def seconds(number: float | None) -> str:
  """Of a step; "" where nobody says."""
  if number is None:
    return ""
  if number >= 1e-3:
    return f"{number * 1e3:,.{0 if number >= 0.1 else 1}f} ms"
  return f"{number * 1e6:,.{0 if number >= 1e-4 else 1}f} us"


def cost(plan: Plan) -> str:
  """What is paid for: chip-hours, or less."""
  return "" if plan.hours is None else priced(plan.hours)


def priced(hours: float) -> str:
  """Chip-hours in a unit that reads well."""
  scale, unit = next(each for each in PRICES if hours >= each[0] or each is PRICES[-1])
  number = hours / scale
  return f"{number:,.{0 if number >= 100 else 1 if number >= 1 else 2}f} {unit}"
