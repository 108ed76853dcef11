"""IRENE's plug-in: mutual information of the head's soft answer and the attribute."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ovl import nn
from ovl.critics._head import chosen, head, mlp
from ovl.critics._removal import plug_in, unit_rows
from ovl.critics._statistic import reads
from ovl.types import Critic, Kind, Params, View


def critic(
  attribute: Kind = "discrete",
  hidden: tuple[int, ...] = (),
  normalise: str = "log_k",
  masked: str = "all",
  normalise_features: bool = False,
  semantics: str = "2023",
  gamma: float = 1.0,
) -> Critic:
  r"""I of the K x K table :math:`P_{kl} = E[q(k|z) 1(s=l)]`, q a softmax head.

  Independent data give about :math:`(K-1)^2 / 2N` nats with a confident head, 0 with an
  indifferent one: a penalty, and no number to report. The table is additive over rows:
  with rows on several devices it is reduced before the logarithm. The head is fitted
  by its cross-entropy. A head that is sure and wrong has a high I, so that to invert
  its answers is no way out. One head a layer is several taps, each with its penalty.

  Controls a linear head fails, and one with hidden=(32,) passes: of an exclusive-or it
  says 0 while an MLP reads it, before and after (AUC .94 and .72 to .91); and of a class
  of 5 % of the rows fresh probes kept an AUC above .9 at every weight tried, 1 to 100.

  Args:
    attribute: "discrete".
    hidden: hidden widths of the head; none is the published linear head.
    normalise: the unit of what a weight multiplies: a share of "log_k", the published
      one, or of the "entropy" of the rows' attribute, 1 where all is known also of a
      rare class, or "nats". What is reported is in nats.
    masked: "misaligned": of rows only whose attribute's code is not the task's (the two
      code the same classes, as digits and their colours do); 0 where there are none.
    normalise_features: rows of z are brought to length 1 before the head.
    semantics: "2023" fits the head by its cross-entropy alone. "2022", the code of the
      publication, lets the penalty pass into the head as well: `gamma` * I is added to
      its loss, so that the head learns to hide what it knows.
    gamma: of "2022" alone; published: the weight of the penalty.

  Returns:
    A critic in nats.

  References:
    Tartaglione (2022), https://arxiv.org/abs/2210.00891, sec. 3.
    Nahon, Nguyen and Tartaglione (2023), https://arxiv.org/abs/2305.03691: misaligned.
  """
  reads("irene", attribute, ("discrete",))
  chosen("irene", "normalise", normalise, ("nats", "log_k", "entropy"))
  chosen("irene", "masked", masked, ("all", "misaligned"))
  chosen("irene", "semantics", semantics, ("2023", "2022"))
  init, logits_of = mlp(hidden)

  def logits(params: Params, view: View) -> Float[Array, "n k"]:
    if normalise_features:
      view = view._replace(z_ND=unit_rows(view.z_ND))
    return logits_of(params, view)

  def value(params: Params, view: View) -> Float[Array, ""]:
    if masked == "misaligned":
      assert view.task_N is not None
      view = view._replace(mask_N=view.mask_N * (view.task_N != view.s_N))
    return plug_in(logits(params, view), view)

  def penalty(params: Params, view: View, key: PRNGKeyArray) -> Float[Array, ""]:
    del key
    most = jnp.float32(1)
    if normalise == "log_k":
      most = jnp.log(jnp.maximum(view.classes_K.sum(), 2).astype(jnp.float32))
    if normalise == "entropy":
      most = nn.entropy(view, "discrete")
    return jnp.where(most > 0, value(params, view) / jnp.where(most > 0, most, 1.0), 0.0)

  plain = masked == "all"
  uses = ("monitor", "penalty") if plain else ("penalty",)
  made = head(attribute, init, logits, value, uses, bound=None)

  def both(params: Params, view: View, key: PRNGKeyArray) -> Float[Array, ""]:
    return made.loss(params, view, key) + gamma * penalty(params, view, key)

  return made._replace(
    loss=made.loss if semantics == "2023" else both,
    penalty=penalty,
    floor=lambda rows, classes: (classes - 1) ** 2 / (2 * rows),
    needs=frozenset() if plain else frozenset({"task"}),
  )
