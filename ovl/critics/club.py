"""CLUB: a contrastive upper bound of a variational q, for use as a penalty."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from ovl import nn
from ovl.critics._removal import contrast, floored
from ovl.critics._statistic import columns, reads
from ovl.types import Critic, Kind, Params, View


def critic(
  attribute: Kind = "discrete", hidden: tuple[int, ...] = (64,), clip: bool = True
) -> Critic:
  r"""E_p[log q(s|z)] - E_{p(z)p(s)}[log q(s|z)], exact over all pairs in O(NK).

  An upper bound on I(Z;S) only if q is close to p(s|z), and loose even then: for a
  Gaussian pair it is :math:`\rho^2 / (1 - \rho^2)`, 1.29 where I is 0.41. So it is no
  number to report: it declares "penalty" alone. q is fitted by its likelihood.

  Args:
    attribute: "discrete" (softmax), "continuous" or "vector" (normal, its columns
      independent given z).
    hidden: hidden widths of q.
    clip: below 0, as no information is but a q that lags behind z, the number stays as
      it is and has no gradient. False: as published; minimised further it diverges.

  Returns:
    A critic in nats.

  References:
    Cheng et al. (2020), https://arxiv.org/abs/2006.12013, eq. 7 and 12.
  """
  reads("club", attribute, ("discrete", "continuous", "vector"))
  discrete = attribute == "discrete"

  def outputs(view: View) -> int:
    return view.classes_K.shape[0] if discrete else 2 * columns(view).shape[1]

  def init(key: PRNGKeyArray, view: View) -> Params:
    return nn.mlp_init(key, view.features_D, (*hidden, outputs(view)))

  def logits(params: Params, view: View) -> Array:
    return nn.mask_logits(nn.mlp_apply(params, view.z_ND), view.classes_K)

  def weighted(x_N: Array, view: View) -> Array:
    return (x_N.T * view.mask_N).T.sum(0) / jnp.maximum(view.mask_N.sum(), 1)

  def there(view: View) -> Array:
    return view.classes_K if view.s_N.ndim == 2 else jnp.ones(1, bool)

  def normal(params: Params, view: View) -> tuple[Array, Array]:
    mean_NM, log_scale_NM = jnp.split(nn.mlp_apply(params, view.z_ND), 2, axis=1)
    return mean_NM, jnp.clip(log_scale_NM, -5.0, 3.0)

  def loss(params: Params, view: View, key: PRNGKeyArray) -> Array:
    del key
    if discrete:
      return nn.cross_entropy(logits(params, view), view, "discrete")
    mean_NM, log_scale_NM = normal(params, view)
    error_NM = (columns(view) - mean_NM) * jnp.exp(-log_scale_NM)
    return weighted(((0.5 * error_NM**2 + log_scale_NM) * there(view)).sum(1), view)

  def value(params: Params, view: View, key: PRNGKeyArray) -> Array:
    del key
    said = contrast(logits(params, view), view) if discrete else pairs(params, view)
    return floored(said) if clip else said

  def pairs(params: Params, view: View) -> Array:
    s_NM = columns(view)
    mean_NM, log_scale_NM = normal(params, view)
    m_M = weighted(s_NM, view)
    var_M = weighted(jnp.square(s_NM - m_M), view)
    joint_NM = jnp.square(s_NM - mean_NM)
    apart_NM = var_M + jnp.square(m_M - mean_NM)
    gap_NM = 0.5 * (apart_NM - joint_NM) * jnp.exp(-2 * log_scale_NM)
    return weighted((gap_NM * there(view)).sum(1), view)

  return Critic(
    init=init,
    loss=loss,
    value=value,
    logits=logits if discrete else None,
    fit=None,
    uses=frozenset({"penalty"}),
    unit="nats",
    bound=None,
    attribute=attribute,
  )
