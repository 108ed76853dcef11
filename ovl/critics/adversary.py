"""Adversarial censoring: several adversaries, gated while they are at chance."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ovl import kernels, nn
from ovl.critics._removal import average, gain
from ovl.critics._statistic import reads
from ovl.types import BadInput, Critic, Kind, Params, View


def critic(
  attribute: Kind = "discrete",
  hidden: tuple[int, ...] = (64,),
  adversaries: int = 3,
  min_accuracy: float = 1.0,
  diversity: float = 0.0,
  clip: bool = True,
) -> Critic:
  r"""The mean over adversaries of 1(accuracy > c / K) max(0, H(S) - CE).

  An adversary at chance has nothing to say, and its gradient is noise: the gate leaves
  it out. Several adversaries, begun apart, are harder to beat all at once; `diversity`
  keeps them apart by adding to their loss the mean, over pairs of adversaries and of
  their hidden units, of the squared correlation between the units over the rows (the
  d x d product of domain separation networks; Han et al.'s code takes the N x N one).
  They are fitted by their cross-entropies, as often before a step of the network as
  the train step is told.

  Args:
    attribute: "discrete".
    hidden: hidden widths of each.
    adversaries: how many.
    min_accuracy: c, the accuracy on the rows above which an adversary counts, as a
      multiple of 1/K; 0: always. Where one class is frequent the gate stays open.
    diversity: weight of the correlation of the last hidden layers.
    clip: False lets H(S) - CE below 0, as published: without a lower end.

  Returns:
    A critic in nats; its logits are the mean over adversaries.

  References:
    Edwards and Storkey (2016), https://arxiv.org/abs/1511.05897.
    Xie et al. (2017), https://arxiv.org/abs/1705.11122; the gate is in their code.
    Han, Baldwin and Cohn (2021), "Diverse Adversaries for Mitigating Bias in Training",
    https://arxiv.org/abs/2101.10001.
    Bousmalis et al. (2016), https://arxiv.org/abs/1608.06019: the d x d product.
  """
  reads("adversary", attribute, ("discrete",))
  if adversaries < 1:
    raise BadInput(f"adversary: adversaries={adversaries}: 1 or more fit")
  if diversity and (not hidden or adversaries < 2):
    raise BadInput("adversary: diversity needs a hidden layer and 2 or more adversaries")

  def init(key: PRNGKeyArray, view: View) -> Params:
    widths = (*hidden, view.classes_K.shape[0])
    keys = jax.random.split(key, adversaries)
    return jax.vmap(lambda k: nn.mlp_init(k, view.features_D, widths))(keys)

  def answers(params: Params, view: View) -> Float[Array, "m n k"]:
    out_MNK = jax.vmap(nn.mlp_apply, (0, None))(params, view.z_ND)
    return jnp.where(view.classes_K, out_MNK, nn.NEG)

  def loss(params: Params, view: View, key: PRNGKeyArray) -> Float[Array, ""]:
    del key
    each_M = jax.vmap(lambda out_NK: nn.cross_entropy(out_NK, view, "discrete"))(
      answers(params, view)
    )
    return each_M.sum() + (diversity * _alike(params, view) if diversity else 0.0)

  def value(params: Params, view: View, key: PRNGKeyArray) -> Float[Array, ""]:
    del key

    def one(out_NK: Array) -> Array:
      right_N = (out_NK.argmax(1) == view.s_N).astype(jnp.float32)
      better = average(right_N, view) * view.classes_K.sum() > min_accuracy
      opened = better | (min_accuracy <= 0)
      return jnp.where(opened, gain(out_NK, view, clip=clip), 0.0)

    return jax.vmap(one)(answers(params, view)).mean()

  def logits(params: Params, view: View) -> Float[Array, "n k"]:
    return nn.mask_logits(answers(params, view).mean(0), view.classes_K)

  return Critic(
    init=init,
    loss=loss,
    value=value,
    logits=logits,
    fit=None,
    uses=frozenset({"penalty"}),
    unit="nats",
    bound=None,
    attribute=attribute,
  )


def _alike(params: Params, view: View) -> Float[Array, ""]:
  """Mean squared correlation between last hidden units of two adversaries."""

  def last(layers: Params) -> Array:
    h_NH = jax.nn.relu(nn.mlp_apply(layers[:-1], view.z_ND))
    return kernels.standardised(h_NH, view.mask_N)

  h_MNH = jax.vmap(last)(params)
  n = jnp.maximum(view.mask_N.sum(), 1.0)
  pairs = [
    jnp.square(jnp.matmul(h_MNH[a].T, h_MNH[b], precision="highest") / n).mean()
    for a, b in itertools.combinations(range(len(h_MNH)), 2)
  ]
  return jnp.stack(pairs).mean()
