"""What an audit's page says besides its numbers."""

from __future__ import annotations

from ovl.about import About
from ovl.report.page import Section
from ovl.report.table import number, percent

QUESTION = (
  "What does each layer of the network know about attributes that nobody asked it to learn?"
)
CELL = (
  "A cell says how much of what is uncertain about an attribute, once the task label is "
  "known, can be read from one layer: 0 is nothing, 1 is all of it."
)
NO_TASK = "There is no task label here, so this is the share of the whole attribute."
HEATMAP_ALT = "Map of layers and attributes; its numbers are in the table of verdicts"
HEATMAP = (
  "Share beyond the task with the half-width of its {level} interval. Colour: the leak "
  "is established. A star and an outline: overlearned. Hatched: entailed by the task "
  "label. Plain grey: no evidence, or not judged."
)
DEPTH_ALT = "Lines along depth, two panels an attribute"
DEPTH = (
  "Layers from the input (left) to the output (right). Upper panels: share beyond the "
  "task, one scale for all; the task label alone is 0 there. Lower panels: accuracy of "
  "reading the attribute from the layer alone (R² where it is a quantity). Bands are "
  "{level} intervals; small dots are single models."
)
VERDICTS = (
  (
    "overlearned",
    "The layer gives away more than the task label does, and more than the same network "
    "did before training.",
  ),
  (
    "passed through",
    "It leaks, but training added less than a share of 0.05: an untrained network lets as "
    "much through. Still a leak.",
  ),
  (
    "leaks",
    "It leaks; whether training put it there is undecided, or there was no untrained "
    "network to compare.",
  ),
  (
    "entailed by the task",
    "The attribute can be read, but no further than the task label itself tells. Where the "
    "label leaves (almost) nothing open, no share is given.",
  ),
  (
    "no evidence",
    "Nothing was found. A leak below the detectable share may exist, and so may one that "
    "these critics cannot read.",
  ),
  (
    "cannot be tested",
    "Too few rows or groups share a label: whatever the layer holds, no p could have been "
    "small enough.",
  ),
  ("too few examples", "Not enough labelled examples to judge."),
  ("constant attribute", "It has one value only: there is nothing to know."),
  ("reduced", "A note beside a verdict: training took some of it away."),
)
FLAGS = (
  ("reliable", "No reason for doubt was seen."),
  (
    "at ceiling",
    "There is hardly more to know: differences between such cells mean little.",
  ),
  ("below resolution", "The share is too small to be told from 0."),
  (
    "unreliable",
    "The interval is wider than half the range, critics were still learning when they were "
    "stopped, or the attribute can be read at that layer when it is shuffled.",
  ),
)
PARTS = {
  "train": "train the network",
  "probe": "train the critics",
  "stop": "choose among them",
  "test": "are scored once",
}


def unit(about: About) -> str:
  """What intervals of aggregates are over."""
  units = {"models": "independently trained models", "groups": "groups of examples"}
  return units.get(about.unit, "examples")


def verdicts(about: About) -> str:
  """The small print of the table of verdicts."""
  return (
    f"Square brackets: {percent(about.level)} intervals over {unit(about)}, of what these "
    "critics read: there may be more, and of a strong leak the true share is above its "
    "interval in up to one sample in five. The detectable share is approximate, with more "
    "than two classes too small. Every p is adjusted for the number of cells tested. "
    "Detectable: the smallest share that the test would have found with 80 % power. "
    "Nothing stands where a number does not apply."
  )


def controls(task: bool) -> str:
  """What the controls are."""
  null = (
    "it keeps its tie to the task label and nothing else, so it should do no better than "
    "that label alone"
    if task
    else "it should do no better than knowing nothing"
  )
  return (
    "How well the attribute is read from the layer alone. The shuffled attribute is the "
    f"null: {null}. The raw input shows what was there to begin with."
  )


def measured(about: About, task: bool, twins: bool) -> list[Section]:
  """How it was measured.

  Args:
    about: the run.
    task: whether there is a task label to go beyond.
    twins: whether there are untrained networks to compare.
  """
  who = (
    "The audit stands in for an attacker who sees the output of one layer as a black box "
    "(neither weights nor inputs) and owns examples of the same population with the "
    "attribute known. A stronger attacker may read more: these are lower bounds."
  )
  terms = [("Who could do this", who)]
  if about.split:
    terms.append(("Split", _split(about)))
  terms += [("Critics", _critics(about)), ("Share beyond the task", SHARE)]
  terms.append(("Leak test", _test(about, task)))
  if twins:
    terms.append(("Excess test", EXCESS))
  terms.append(("Level", _level(about)))
  if about.reduced:
    terms.append(("Wide layers", _wide(about)))
  return [Section("How it was measured", terms=terms)]


SHARE = (
  "How far the critic, given the layer and the task label Y, lowers the cross-entropy of "
  "the attribute S below that of the label alone, as a share of the entropy H(S|Y)."
)
EXCESS = (
  "Trained minus untrained share (each at least 0), paired by model; a one-sided t test, "
  "adjusted by Holm. It assumes that the differences are independent and about normal."
)


def _split(about: About) -> str:
  said = [f"{about.split[part]} examples {what}" for part, what in PARTS.items()
          if about.split.get(part) is not None]  # fmt: skip
  groups = (
    f" The data come in {about.groups} groups; no group is on two sides of a split."
    if about.groups
    else ""
  )
  return f"{', '.join(said)}.{groups}"


def _critics(about: About) -> str:
  names = f" ({', '.join(about.readers)})" if about.readers else ""
  return (
    f"Small models{names} learn to read the attribute from a layer. The one that speaks "
    "for a cell was chosen on the stop part; the test part had no say. Its prediction is "
    "mixed with what the task label alone predicts, in a proportion also set on the stop "
    "part, so that a few confidently wrong answers cannot decide a result."
  )


def _test(about: About, task: bool) -> str:
  among = " among examples of the same task class" if task else ""
  times = f" {about.permutations} times" if about.permutations else ""
  whole = (
    " (whole groups where a group has one value, else within groups)"
    if about.groups
    else ""
  )
  each = (
    "; one p for each model, combined as the smaller of 1 and twice the median"
    if about.num_models != 1
    else ""
  )
  over = f"{about.cells} cells" if about.cells else "all cells"
  given = ", given the label," if task else ""
  return (
    "The critic is kept and the attribute of the test part is shuffled"
    f"{among}{times}{whole}{each}, then adjusted by Holm over {over}. It assumes that"
    f"{given} {'groups' if about.groups else 'examples'} are exchangeable."
  )


def _level(about: About) -> str:
  said = f"Tests are at {number(1 - about.level)}, intervals at {percent(about.level)}."
  if about.unit == "models":
    return (
      f"{said} Intervals are over {about.num_models or 'the'} independently trained models "
      "and the test examples together, so they speak of other training runs too."
    )
  return (
    f"{said} Intervals are over {unit(about)} of one model: they say nothing of how "
    "another training run would come out."
  )


def _wide(about: About) -> str:
  taps = []
  for tap, (shape, width) in about.reduced.items():
    full = " × ".join(map(str, shape)) if isinstance(shape, list | tuple) else str(shape)
    taps.append(f"{tap} ({full} to {width})")
  return (
    f"{', '.join(taps)} {'was' if len(taps) == 1 else 'were'} average-pooled, or "
    "projected, to the width given: given activations on the leading principal directions "
    "of the rows that critics learn from, those of networks trained here at random. That "
    "can only lose information, so a lower bound stays one."
  )
