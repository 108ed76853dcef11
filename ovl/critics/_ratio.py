"""Critics that learn a log-ratio f(z, s): the net, and what objectives see of it.

Discrete attribute: one forward pass gives f for every class, so the expectation over
p(z) p(s) is an exact sum and no negatives are drawn. Otherwise f is an MLP of both, its
first layer W_z z + W_s s computed once a row, and the counterparts of a row are the
attributes of the rows 1, 2, ..., R places further (rows come in random order).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from ovl import nn
from ovl.critics._head import mlp
from ovl.critics._statistic import columns, reads
from ovl.types import Critic, Kind, Params, Score, View

KINDS = ("discrete", "continuous", "vector")


class Ratios(NamedTuple):
  """f on pairs that belong together, and on pairs that do not.

  Attributes:
    joint_N: f(z_i, s_i).
    others_NR: f(z_i, s_r) of every counterpart.
    weight_NR: the probability of each counterpart; a row sums to 1, or to 0.
    mask_N: 1 where a row counts.
  """

  joint_N: Array
  others_NR: Array
  weight_NR: Array
  mask_N: Array

  def mean(self, x_N: Array) -> Array:
    """Over the rows that count."""
    return (jnp.where(self.mask_N > 0, x_N, 0.0)).sum() / jnp.maximum(self.mask_N.sum(), 1)

  def log_partition(self) -> Array:
    """`[N]` log E_{p(s)} exp f(z_i, s)."""
    there = self.weight_NR > 0
    log_w_NR = jnp.log(jnp.where(there, self.weight_NR, 1.0))
    mass_NR = jnp.where(there, self.others_NR + log_w_NR, nn.NEG)
    return jax.nn.logsumexp(mass_NR, 1)

  def log_mean(self, log_x_N: Array) -> Array:
    """log of the mean of exp(log_x) over the rows that count."""
    inside_N = jnp.where(self.mask_N > 0, log_x_N, nn.NEG)
    total = jnp.maximum(self.mask_N.sum(), 1)
    return jax.nn.logsumexp(inside_N) - jnp.log(total)


Objective = Callable[[Ratios], Array]


def donsker_varadhan(r: Ratios) -> Array:
  """E_p f - log E_pp exp f."""
  return r.mean(r.joint_N) - r.log_mean(r.log_partition())


def jensen_shannon(r: Ratios) -> Array:
  """The logistic loss of telling joint from product pairs."""
  product_N = (r.weight_NR * jax.nn.softplus(r.others_NR)).sum(1)
  return r.mean(jax.nn.softplus(-r.joint_N)) + r.mean(product_N)


def ratio(
  name: str,
  attribute: Kind,
  hidden: tuple[int, ...],
  negatives: int,
  loss: Objective,
  value: Objective,
  bound: str | None,
) -> Critic:
  """A critic of this family from its two objectives (losses are minimised)."""
  net, wrap = ratio_of(name, attribute, hidden, negatives)
  return wrap(net, loss, value, bound)


def ratio_of(
  name: str, attribute: Kind, hidden: tuple[int, ...], negatives: int
) -> tuple[Net, Callable[[Net, Objective, Objective, str | None], Critic]]:
  """The family's net, and what makes a critic of it or of one that wraps it."""
  reads(name, attribute, KINDS)
  discrete = attribute == "discrete"

  init, logits = mlp(hidden)

  def wrap(net: Net, loss: Objective, value: Objective, bound: str | None) -> Critic:
    def ratios(params: Params, view: View) -> Ratios:
      if discrete:
        return of_logits(logits(params, view), view)
      of_z, of_s = net.sides(params, view)
      others, weights = [], []
      for shift in range(1, negatives + 1):
        rolled = jax.tree.map(lambda x, shift=shift: jnp.roll(x, shift, 0), of_s)
        others.append(net.join(params, of_z, rolled))
        weights.append(view.mask_N * jnp.roll(view.mask_N, shift))
      weight_NR = jnp.stack(weights, 1)
      weight_NR = weight_NR / jnp.maximum(weight_NR.sum(1, keepdims=True), 1)
      joint_N = net.join(params, of_z, of_s)
      mask_N = view.mask_N * (weight_NR.sum(1) > 0)
      return Ratios(joint_N, jnp.stack(others, 1), weight_NR, mask_N)

    return Critic(
      init=net.init,
      loss=lambda params, view, key: loss(ratios(params, view)),
      value=lambda params, view, key: value(ratios(params, view)),
      logits=logits if discrete else None,
      fit=None,
      uses=frozenset({"monitor", "audit"}),
      unit="nats",
      bound=bound,
      attribute=attribute,
      score=None if discrete else Score(net.sides, net.join),
      normalised=loss is jensen_shannon,  # its optimum has no free constant
    )

  net = _pairs(hidden)
  return (net._replace(init=init) if discrete else net), wrap


def of_logits(logits_NK: Array, view: View) -> Ratios:
  """f = logit - log p(s), p the shares of the classes in the view (a trace added).

  So softmax(logits) is the posterior that f stands for, and a critic trained by any
  bound predicts.
  """
  hot_NK = (view.s_N[:, None] == jnp.arange(logits_NK.shape[1])) * view.mask_N[:, None]
  count_K = jnp.where(view.classes_K, hot_NK.sum(0) + 1e-3, 0.0)
  p_K = count_K / jnp.maximum(count_K.sum(), 1e-6)
  log_p_K = jnp.log(jnp.where(view.classes_K, p_K, 1.0))
  f_NK = jnp.where(view.classes_K, logits_NK - log_p_K, 0.0)
  code_N = jnp.clip(view.s_N.astype(jnp.int32), 0)
  joint_N = jnp.take_along_axis(f_NK, code_N[:, None], 1)[:, 0]
  return Ratios(joint_N, f_NK, jnp.broadcast_to(p_K, f_NK.shape), view.mask_N)


class Net(NamedTuple):
  """A net of pairs: `join` of what `sides` makes of z and of s, once a row."""

  init: Callable[[PRNGKeyArray, View], Params]
  sides: Callable[[Params, View], tuple[Array, Array]]
  join: Callable[[Params, Array, Array], Array]


def _pairs(hidden: tuple[int, ...]) -> Net:
  first, *rest = hidden

  def init(key: PRNGKeyArray, view: View) -> Params:
    keys = jax.random.split(key, 3)
    there = view.classes_K if view.s_N.ndim == 2 else jnp.ones(1, bool)
    return {
      "z": nn.mlp_init(keys[0], view.features_D, (first,), zero_last=False),
      "s": nn.mlp_init(keys[1], there, (first,), zero_last=False),
      "joined": nn.mlp_init(keys[2], jnp.ones(first, bool), (*rest, 1)),
    }

  def sides(params: Params, view: View) -> tuple[Array, Array]:
    return (
      nn.mlp_apply(params["z"], view.z_ND),
      nn.mlp_apply(params["s"], columns(view)),
    )

  def join(params: Params, h_NH: Array, g_NH: Array) -> Array:
    h_NH = jax.nn.relu(h_NH + g_NH)
    *inner, (w, b) = params["joined"]
    for v, c in inner:
      new_NH = jax.nn.relu(h_NH @ v + c)
      h_NH = h_NH + new_NH if new_NH.shape == h_NH.shape else new_NH
    return (h_NH @ w + b)[:, 0]

  return Net(init, sides, join)
