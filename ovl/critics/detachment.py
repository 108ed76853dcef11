"""Representation detachment: keep the input and the task, give up the attribute."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ovl import nn
from ovl.critics import _decoder
from ovl.critics._head import chosen, mlp
from ovl.critics._removal import TERMS, average
from ovl.critics._statistic import reads
from ovl.types import BadInput, Critic, Kind, Params, View


def critic(
  attribute: Kind = "discrete",
  hidden: tuple[int, ...] = (64,),
  tasks: int = 100,
  b: float = 0.5,
  g: float = 1.0,
  factors: tuple[float, float, float] | None = None,
  attribute_term: str = "irene",
  likelihood: str = "bernoulli",
  reduction: str = "mean",
) -> Critic:
  r"""-(1 - b) I(h;x) - b I(h;y) + (g - b) I(h;s), each by a network of its own.

  .. math:: I(h;x) \ge H(x) - R, \quad I(h;y) \ge H(y) - CE(y|h)

  R the nats a decoder of h needs for x, and I(h;s) the attribute term of a head; all
  three reach h. The constant H(x) is left out, so only differences of the value mean
  anything; rows of unknown attribute are in none of the terms. It is InfoPro's local
  loss with a third term. That it bounds the loss it stands for (less nuisance, less s)
  supposes that x is made of y, s and the rest, all independent: where y and s correlate
  take the weights as free. The overall factor a is the penalty's weight. b, g and a of
  the publication are not known to us: the defaults are ours.

  Control it fails: as it keeps the input, it keeps of the attribute what its head lets
  pass. Of an exclusive-or a fresh MLP kept an AUC of .67 to .79 of .94 at weights from 5
  to 100, of a class of 5 % of the rows .62 to .79.

  Args:
    attribute: "discrete".
    hidden: hidden widths of the decoder and of both heads.
    tasks: at least the number of the task's classes; more cost nothing. A task code
      beyond them makes the value nan.
    b: share of the task, from 0 to 1.
    g: weight of the attribute, above b: else it would be kept.
    factors: of x, y and s, all as positive numbers, in place of 1 - b, b and g - b.
    attribute_term: "irene", "club", "confusion" or "reversal": the I(h;s) of it.
    likelihood: of the input; "bernoulli" of one in 0..1, else "gaussian".
    reduction: over the input's dimensions; "mean" keeps R on the scale of the others,
      "sum" is the information itself.

  Returns:
    A critic; its weighted nats are no unit.

  Raises:
    BadInput: factors that would keep the attribute.

  References:
    Guo et al. (2022), https://arxiv.org/abs/2202.13295.
    Wang et al. (2021), "Revisiting Locally Supervised Learning", ICLR,
    https://openreview.net/forum?id=fAbkE6ant2: the bounds and their networks.
  """
  reads("detachment", attribute, ("discrete",))
  chosen("detachment", "attribute_term", attribute_term, tuple(TERMS))
  chosen("detachment", "likelihood", likelihood, _decoder.LIKELIHOODS)
  chosen("detachment", "reduction", reduction, _decoder.REDUCTIONS)
  l_x, l_y, l_s = factors or (1 - b, b, g - b)
  if min(l_x, l_y) < 0 or l_s <= 0:
    raise BadInput(
      f"detachment: b={b}, g={g}, factors={factors} weigh the input {l_x:g}, the task "
      f"{l_y:g} and the attribute {l_s:g}, which keeps it: 0 <= b <= 1 and g > b fit, or "
      "positive factors"
    )
  init_head, logits = mlp(hidden)

  def init(key: PRNGKeyArray, view: View) -> Params:
    assert view.input_ND is not None
    keys = jax.random.split(key, 3)
    return {
      "decoder": _decoder.init(keys[0], view.features_D, hidden, view.input_ND),
      "task": nn.mlp_init(keys[1], view.features_D, (*hidden, tasks)),
      "attribute": init_head(keys[2], view),
    }

  def of_task(view: View) -> View:
    assert view.task_N is not None
    return view._replace(s_N=view.task_N, classes_K=jnp.ones(tasks, bool))

  def terms(params: Params, view: View) -> tuple[Array, Array]:
    """R and the task's cross-entropy."""
    assert view.input_ND is not None
    r_N = _decoder.nats(params["decoder"], view.z_ND, view.input_ND, likelihood, reduction)
    out_NC = nn.mlp_apply(params["task"], view.z_ND)
    return average(r_N, view), nn.cross_entropy(out_NC, of_task(view), "discrete")

  def loss(params: Params, view: View, key: PRNGKeyArray) -> Float[Array, ""]:
    del key
    out_NK = logits(params["attribute"], view)
    return sum(terms(params, view), nn.cross_entropy(out_NK, view, "discrete"))

  def value(params: Params, view: View, key: PRNGKeyArray) -> Float[Array, ""]:
    del key
    lost, missed = terms(params, view)
    kept = nn.entropy(of_task(view), "discrete") - missed
    told = TERMS[attribute_term](logits(params["attribute"], view), view)
    return l_x * lost - l_y * kept + l_s * told

  return Critic(
    init=init,
    loss=loss,
    value=value,
    logits=lambda params, view: logits(params["attribute"], view),
    fit=None,
    uses=frozenset({"penalty"}),
    unit=None,
    bound=None,
    attribute=attribute,
    needs=frozenset({"task", "input"}),
  )
