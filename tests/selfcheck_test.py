"""Self-check: sound methods pass, planted faults are found by the check meant for them."""

import jax.numpy as jnp
import numpy as np
import pytest

from ovl.critics._statistic import statistic
from ovl.load import load
from ovl.mi.selfcheck import pair, selfcheck, together, truth
from ovl.types import BadInput

NAMES = [
  "independence", "order", "scale", "known value", "rotation", "data processing, x",
  "data processing, y", "additivity",
]  # fmt: skip


def failed(checked):
  return {row.name for row in checked.rows if not row.passed}


def column_sum(view):
  """Gaussian I summed over all pairs of a column of z and one of s."""
  z, s = (x - x.mean(0) for x in (view.z_ND, view.s_N))
  r = z.T @ s / jnp.sqrt(jnp.square(z).sum(0)[:, None] * jnp.square(s).sum(0))
  return -0.5 * jnp.log1p(-jnp.square(r)).sum()


def gaussian(view):
  """Gaussian I of all columns at once; a little ridge for columns that are copies."""
  every = jnp.concatenate([view.z_ND, view.s_N], 1)
  D = view.z_ND.shape[1]
  C = jnp.corrcoef(every.T) + 1e-3 * jnp.eye(every.shape[1])
  parts = [jnp.linalg.slogdet(c)[1] for c in (C[:D, :D], C[D:, D:], C)]
  return (parts[0] + parts[1] - parts[2]) / 2


def fooled_by_ties(view):
  """Twice the value where values repeat, as a nearest neighbour at distance 0 might."""
  tied = jnp.mean(jnp.diff(jnp.sort(view.z_ND[:, 0])) == 0) > 0.5
  return gaussian(view) * jnp.where(tied, 2, 1)


def critic(value, kind="vector", unit="nats"):
  return statistic(value, kind, unit, "estimate")


@pytest.mark.parametrize("method", ["linear", "copula"])
def test_sound_methods_pass(method):
  checked = selfcheck(method)
  assert [row.name for row in checked.rows] == NAMES
  assert checked.method == method
  assert checked.passed, checked.table()


def test_a_statistic_of_ones_own_passes():
  assert selfcheck(critic(gaussian)).passed


@pytest.mark.parametrize(
  ("value", "found_by"),
  [
    (lambda view: gaussian(view) + 0.5, {"independence", "known value", "additivity"}),
    (lambda view: 0.3 * gaussian(view), {"known value"}),
    (lambda view: 0 * gaussian(view), {"known value"}),
    (column_sum, {"data processing, y"}),
    (lambda view: gaussian(view) ** 2 / 0.446, {"additivity"}),
    (lambda view: gaussian(view) + jnp.nan, set(NAMES)),
    # Sees only the first column of either side: a rotation hides half of it.
    (
      lambda view: 2 * gaussian(view._replace(z_ND=view.z_ND[:, :1], s_N=view.s_N[:, :1])),
      {"rotation"},
    ),
    (fooled_by_ties, {"data processing, x"}),
    # Reads the order of rows.
    (lambda view: gaussian(view) * jnp.sign(view.z_ND[0, 0]), {"order"}),
  ],
)  # fmt: skip
def test_planted_faults_are_found(value, found_by):
  checked = selfcheck(critic(value))
  assert found_by <= failed(checked), checked.table()


def test_a_posterior_with_its_classes_swapped_is_found():
  linear = load("critics", "linear")
  swapped = linear._replace(logits=lambda params, view: -linear.logits(params, view))
  assert "known value" in failed(selfcheck(swapped))


def test_what_raises_fails_and_says_so():
  def value(view):
    raise ZeroDivisionError("no rows\nat all")

  checked = selfcheck(critic(value))
  assert failed(checked) == set(NAMES)
  assert checked.rows[0].what == "raised ZeroDivisionError: no rows"
  assert np.isnan(checked.rows[0].value)


def test_without_a_unit_there_is_less_to_check():
  checked = selfcheck("dcor")
  assert [row.name for row in checked.rows] == NAMES[:3]
  assert checked.passed, checked.table()


@pytest.mark.parametrize("kind", ["discrete", "vector"])
def test_the_known_value_is_known(kind):
  """Against the mean log-ratio of two million rows."""
  x, y = pair(kind, 1_000_000, np.random.default_rng(0))
  if kind == "discrete":
    posterior = 1 / (1 + np.exp(-2 * 0.8 * x.sum(1)))
    ratio = np.log(2 * np.where(y == 1, posterior, 1 - posterior))
  else:
    C = np.corrcoef(np.concatenate([x, y], 1).T)
    dets = [np.linalg.slogdet(c)[1] for c in (C[:2, :2], C[2:, 2:], C)]
    ratio = np.array((dets[0] + dets[1] - dets[2]) / 2)
  assert truth(kind) == pytest.approx(ratio.mean(), abs=2e-3)


def test_bits_together_make_four_classes():
  assert together("discrete", np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])).tolist() == [
    0, 1, 2, 3,
  ]  # fmt: skip


def test_a_line_a_check():
  table = selfcheck(critic(lambda view: gaussian(view) + 0.5)).table()
  head, *lines = table.splitlines()
  assert head.split()[:4] == ["check", "value", "interval", "expected"]
  assert len(lines) == len(NAMES)
  assert lines[0].startswith("independence")
  assert "FAILED" in lines[0]


def test_progress_ends_at_one():
  shares = []
  selfcheck(critic(gaussian), progress=lambda share, said: shares.append(share))
  assert shares == sorted(shares)
  assert shares[-1] == 1


@pytest.mark.parametrize(
  ("method", "given", "said"),
  [
    ("linaer", {}, "did you mean 'linear'"),
    ("linear", {"sedes": 2}, "did you mean 'seeds'"),
    ("linear", {"kind": "continuous"}, "'discrete' and 'vector'"),
    ("copula", {"kind": "discrete"}, "'copula' reads"),
  ],
)
def test_bad_input_is_one_line(method, given, said):
  with pytest.raises(BadInput, match=said) as error:
    selfcheck(method, **given)
  assert "\n" not in str(error.value)
