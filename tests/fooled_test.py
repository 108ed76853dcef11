"""A linear critic sees nothing of an exclusive or: a fresh attacker must say so."""

import pathlib

import pytest

from ovl.unlearn import run

XOR = str(pathlib.Path(__file__).parent / "xor.py")


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
  config = {
    "seed": 0,
    "seeds": 3,
    "dataset": {"name": XOR},
    "model": {"name": "mlp", "hidden": (32,)},
    "fit": {"epochs": 25, "batch_size": 100, "learning_rate": 3e-3},
    "unlearn": {
      "attribute": "xor",
      "taps": ("fc1",),
      "penalties": {
        "blind": {"method": "irene", "weights": (3.0,), "inner_steps": 2},
        "seeing": {
          "method": "irene",
          "hidden": (32,),
          "weights": (30.0,),
          "inner_steps": 5,
        },
      },
      "erasers": {"leace": {}},
      "attackers": ("linear", "mlp"),
      "schedule": {"epochs": 40},
    },
  }
  return run(config, tmp_path_factory.mktemp("xor") / "w")[0]


def head(judged, subject, metric):
  (row,) = (
    row
    for row in judged.rows
    if row.subject == subject and row.metric == metric and row.seed is None
    and "attacker" not in row.setting
  )  # fmt: skip
  return row


@pytest.mark.parametrize("subject", ["blind", "leace"])
def test_what_a_linear_method_leaves_is_reported(judged, subject):
  share = head(judged, subject, "share_beyond_task")
  assert share.value > 0.4
  assert share.p < 0.05
  assert share.verdict in ("not reduced", "reduced")


def test_a_blind_critic_is_said_to_be_fooled(judged):
  assert head(judged, "blind", "critic_information").value < 0.05
  assert head(judged, "blind", "share_beyond_task").flag == "critic_fooled"
  assert any("blind" in sentence for sentence in judged.about.warnings)


def test_the_linear_attacker_alone_would_have_seen_less(judged):
  """Not nothing: hidden units make an exclusive or of their inputs partly linear."""
  alone = {
    row.setting: row.value
    for row in judged.rows
    if row.subject == "blind" and row.metric == "share" and "attacker" in row.setting
  }
  assert min(alone.values()) < max(alone.values()) - 0.3


def test_a_critic_that_sees_removes_more(judged):
  blind, seeing = (head(judged, s, "share_beyond_task").value for s in ("blind", "seeing"))
  assert seeing < 0.6 * blind
