"""Variational censoring: a decoder that is told the attribute, and a costly code."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ovl import kernels
from ovl.critics import _decoder
from ovl.critics._head import chosen
from ovl.critics._removal import average
from ovl.critics._statistic import columns, reads
from ovl.types import BadInput, Critic, Kind, Params, View


def gaussian_kl(
  mean_NH: Float[Array, "n h"], log_scale_NH: Float[Array, "n h"], tile: int = kernels.TILE
) -> Float[Array, "n n"]:
  r"""KL(q_i || q_j) of all pairs of diagonal normals, nats.

  .. math:: \frac{1}{2} \sum_d \Big[ \frac{\sigma_{id}^2 + (\mu_{id} - \mu_{jd})^2}
            {\sigma_{jd}^2} - 1 \Big] + \log \sigma_{jd} - \log \sigma_{id}
  """

  @jax.checkpoint
  def row(i: Array, mean_H: Array, log_scale_H: Array) -> Array:
    del i
    change_NH = log_scale_H - log_scale_NH
    apart_NH = (mean_H - mean_NH) * jnp.exp(-log_scale_NH)
    each_NH = 0.5 * (jnp.exp(2 * change_NH) + apart_NH**2 - 1) - change_NH
    return each_NH.sum(1)

  return kernels.over_rows(row, mean_NH, log_scale_NH, tile=tile)


def _posterior(view: View) -> tuple[Array, Array]:
  """Mean and log scale; padded columns are a standard normal: of no cost."""
  place_H = jnp.arange(view.z_ND.shape[1] // 2)
  half = view.features_D.sum() // 2
  last = view.z_ND.shape[1] - 1
  log_scale_NH = view.z_ND[:, jnp.minimum(half + place_H, last)]
  there_H = place_H < half
  mean_NH = jnp.where(there_H, view.z_ND[:, : len(place_H)], 0.0)
  return mean_NH, jnp.where(there_H, jnp.clip(log_scale_NH, -7.0, 7.0), 0.0)


def _information(view: View, rate: str, erratum: bool) -> Float[Array, ""]:
  """The bound on I(z;x), nats."""
  mean_NH, log_scale_NH = _posterior(view)
  entropy_N = (log_scale_NH + 0.5 * jnp.log(2 * jnp.pi * jnp.e)).sum(1)
  if rate == "prior":
    each_NH = 0.5 * (jnp.exp(2 * log_scale_NH) + mean_NH**2 - 1) - log_scale_NH
    return average(each_NH.sum(1), view)
  mask_N = view.mask_N
  kl_NN, n = gaussian_kl(mean_NH, log_scale_NH), jnp.maximum(mask_N.sum(), 1.0)
  if rate == "mixture":
    rate_N = jnp.maximum(mask_N / n, 1e-30)  # finite also where no row is known
    return -average(jax.nn.logsumexp(-kl_NN, 1, b=rate_N), view)
  said = average(kl_NN @ mask_N / n, view)
  return said if erratum else said + average((n - 1) * entropy_N - jnp.log(n), view) / n


def critic(
  attribute: Kind = "discrete",
  hidden: tuple[int, ...] = (64,),
  beta: float = 0.1,
  rate: str = "mixture",
  erratum: bool = True,
  likelihood: str = "bernoulli",
  reduction: str = "mean",
) -> Critic:
  r"""(beta + 1) I(z;x) - E log p(x|z, s), of a stochastic bottleneck q(z|x).

  What the decoder is told of s, z need not hold: as holding costs nats, it is dropped.
  The two bound I(z;s) + beta I(z;x) from above, less a constant H(x|s) that is left out:
  only differences of the value mean anything, and of z that says nothing it is the nats
  of x given s alone. The tap is the posterior: z_ND = (mean, log scale) of a diagonal
  normal, side by side, and what is kept free of s is a *sample* of it, which the network
  must go on with: its mean and scale, given away exactly, tell what the noise hides.
  The log scale is clipped to [-7, 7].

  Args:
    attribute: "discrete", "continuous" or "vector": what the decoder is told.
    hidden: hidden widths of the decoder.
    beta: how much more than s is to be forgotten. The published weight of the rate is
      (1 + beta) times that of the reconstruction.
    rate: the bound on I(z;x): "mixture" :math:`-E_i \log E_j e^{-KL_{ij}}`, at most
      log N; "all_pairs" :math:`E_{ij} KL_{ij}`, loose; "prior" KL(q || N(0, 1)).
    erratum: False adds to "all_pairs" the term of the published code, by mistake:
      (N - 1)/N of the mean entropy of q less log(N)/N, which shrinks the noise.
    likelihood: of the input; "bernoulli" of one in 0..1, else "gaussian".
    reduction: over the input's dimensions; "sum" are the nats of the bound; "mean" is
      on the scale of the task's loss, and weighs the rate so much more.

  Returns:
    A critic; its nats have no origin, so no unit.

  Raises:
    BadInput: a tap of odd width (when it starts).

  References:
    Moyer et al. (2018), https://arxiv.org/abs/1805.09458.
    Kolchinsky and Tracey (2017), https://arxiv.org/abs/1706.02419: "mixture".
  """
  reads("variational", attribute, ("discrete", "continuous", "vector"))
  chosen("variational", "rate", rate, ("mixture", "all_pairs", "prior"))
  chosen("variational", "likelihood", likelihood, _decoder.LIKELIHOODS)
  chosen("variational", "reduction", reduction, _decoder.REDUCTIONS)
  if not erratum and rate != "all_pairs":
    raise BadInput(f"variational: erratum=False is of rate='all_pairs', not of {rate!r}")

  def init(key: PRNGKeyArray, view: View) -> Params:
    assert view.input_ND is not None
    width = view.z_ND.shape[1]
    if width % 2:
      raise BadInput(
        f"variational: a tap of width {width}: an even one, means beside log scales, fits"
      )
    given = columns(view).shape[1]
    told_D = jnp.ones(width // 2 + given, bool)
    half = view.features_D.sum() // 2
    told_D = told_D.at[: width // 2].set(jnp.arange(width // 2) < half)
    return _decoder.init(key, told_D, hidden, view.input_ND)

  def missed(params: Params, view: View, key: PRNGKeyArray) -> Float[Array, ""]:
    """-log p(x|z, s) of one sample of z a row."""
    assert view.input_ND is not None
    mean_NH, log_scale_NH = _posterior(view)
    # One draw a row, so that padding does not shift the numbers of the other rows.
    noise_NH = jax.vmap(
      lambda i: jax.random.normal(jax.random.fold_in(key, i), (mean_NH.shape[1],))
    )(jnp.arange(len(mean_NH)))
    sample_NH = mean_NH + jnp.exp(log_scale_NH) * noise_NH
    told_ND = jnp.concatenate([sample_NH, columns(view)], 1)
    nats_N = _decoder.nats(params, told_ND, view.input_ND, likelihood, reduction)
    return average(nats_N, view)

  def value(params: Params, view: View, key: PRNGKeyArray) -> Float[Array, ""]:
    return (beta + 1) * _information(view, rate, erratum) + missed(params, view, key)

  return Critic(
    init=init,
    loss=missed,
    value=value,
    logits=None,
    fit=None,
    uses=frozenset({"penalty"}),
    unit=None,
    bound=None,
    attribute=attribute,
    needs=frozenset({"input"}),
  )
