"""EnD: rows of one attribute apart, rows of one task and other attributes together."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from ovl.critics._head import chosen
from ovl.critics._removal import unit_rows
from ovl.critics._statistic import reads, statistic
from ovl.types import Critic, Kind, View


def critic(
  attribute: Kind = "discrete",
  disentangle: float = 1.0,
  entangle: float = 1.0,
  form: str = "absolute",
  pairs: str = "all",
) -> Critic:
  r"""a E[|cos(z_i, z_j)|; s_i = s_j] + b E[(1 - cos(z_i, z_j)) / 2; y_i = y_j, s_i != s_j].

  Each mean is over all such pairs i != j of rows, 0 where there are none. Of z that says
  nothing it is not 0 but a times the mean |cos| of any two rows plus about b / 2: only
  how it changes means something. At the first term's minimum rows of the same attribute
  *and task* are orthogonal too, against the second: with "other_task" they are left out.

  Controls it fails with "all" pairs: of an exclusive-or a fresh MLP kept an AUC of .75
  to .91 of .94, of a class of 5 % of the rows .95 and more, at weights from 5 to 100.
  With "other_task" and weights of 20 and more it was .54 to .57, and .64 to .73.

  Args:
    attribute: "discrete".
    disentangle: weight a; published .1, as b.
    entangle: weight b.
    form: "absolute", or "squared": cos² in the first term. (The public code takes the
      absolute value of the mean, in which cosines of both signs cancel, and of the
      pairs about half.)
    pairs: of the first term: "all" of the same attribute, or those of the "other_task".

  Returns:
    A critic without a unit.

  References:
    Tartaglione, Barbano and Grangetto (2021), "EnD: Entangling and Disentangling deep
    representations for bias correction", https://arxiv.org/abs/2103.02023.
  """
  reads("end", attribute, ("discrete",))
  chosen("end", "form", form, ("absolute", "squared"))
  chosen("end", "pairs", pairs, ("all", "other_task"))

  def mean(of_NN: Array, pair_NN: Array) -> Float[Array, ""]:
    return (of_NN * pair_NN).sum() / jnp.maximum(pair_NN.sum(), 1.0)

  def value(view: View) -> Float[Array, ""]:
    assert view.task_N is not None
    unit_ND = unit_rows(view.z_ND)
    cos_NN = jnp.matmul(unit_ND, unit_ND.T, precision="highest")
    two_NN = view.mask_N[:, None] * view.mask_N * (1 - jnp.eye(len(view.mask_N)))
    same_s = view.s_N[:, None] == view.s_N
    same_y = view.task_N[:, None] == view.task_N
    size_NN = jnp.abs(cos_NN) if form == "absolute" else jnp.square(cos_NN)
    apart = mean(size_NN, two_NN * (same_s if pairs == "all" else same_s & ~same_y))
    together = mean((1 - cos_NN) / 2, two_NN * (same_y & ~same_s))
    return disentangle * apart + entangle * together

  made = statistic(value, attribute, None, None, ("penalty",))
  return made._replace(needs=frozenset({"task"}))
