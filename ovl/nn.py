"""What critics share: plain MLPs, heads for discrete and continuous attributes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from ovl.types import Kind, Params, View

NEG = -1e9  # the logit of a class that does not exist


def scaled(
  z_ND: Float[Array, "n d"], probe_ND: Float[Array, "m d"]
) -> tuple[Float[Array, "n d"], Bool[Array, " d"]]:
  """Columns of mean 0 and variance 1 on the probe part; and which vary there."""
  mean_D = probe_ND.mean(0)
  sd_D = jnp.sqrt(jnp.square(probe_ND - mean_D).mean(0))
  alive_D = sd_D > 1e-6 * jnp.maximum(jnp.abs(mean_D), 1e-6)
  return (z_ND - mean_D) / jnp.where(alive_D, sd_D, 1.0), alive_D


def mlp_init(
  key: PRNGKeyArray,
  features_D: Bool[Array, " d"],
  widths: tuple[int, ...],
  zero_last: bool = True,
) -> Params:
  """He-normal layers; the first is masked and scaled by the *true* input width.

  So a padded representation starts from, and trains like, the unpadded one.

  Args:
    key: a PRNG key.
    features_D: which input columns exist.
    widths: the widths after the input, the output last.
    zero_last: start the output at 0.

  Returns:
    A list of `(w, b)`.
  """
  fan_in = jnp.maximum(features_D.sum(), 1).astype(jnp.float32)
  rows = features_D.shape[0]
  layers = []
  for i, columns in enumerate(widths):
    # One draw a row, so that padding does not shift the numbers of the other rows.
    keys = jax.vmap(lambda r, i=i: jax.random.fold_in(jax.random.fold_in(key, i), r))(
      jnp.arange(rows)
    )
    w = jax.vmap(lambda k, c=columns: jax.random.normal(k, (c,)))(keys)
    w = w * jnp.sqrt(2.0 / fan_in)
    if i == 0:
      w = w * features_D[:, None]
    if zero_last and i == len(widths) - 1:
      w = jnp.zeros_like(w)
    layers.append((w, jnp.zeros(columns)))
    rows, fan_in = columns, jnp.asarray(float(columns))
  return layers


def mlp_apply(layers: Params, z_ND: Float[Array, "n d"]) -> Float[Array, "n k"]:
  """ReLU between layers, none after the last."""
  for w, b in layers[:-1]:
    z_ND = jax.nn.relu(z_ND @ w + b)
  w, b = layers[-1]
  return z_ND @ w + b


def mask_logits(
  logits_NK: Float[Array, "n k"], classes_K: Bool[Array, " k"]
) -> Float[Array, "n k"]:
  """Classes that do not exist get a logit no softmax sees."""
  return jnp.where(classes_K, logits_NK, NEG)


def log_density(
  logits_NK: Float[Array, "n k"], s_N: Array, kind: Kind
) -> Float[Array, " n"]:
  """log q(s|z) in nats: softmax for a discrete attribute, a normal density otherwise.

  A continuous head returns the mean and the log scale (clipped to [-5, 3]).
  """
  if kind == "discrete":
    logp_NK = jax.nn.log_softmax(logits_NK)
    code_N = jnp.clip(s_N.astype(jnp.int32), 0)
    return jnp.take_along_axis(logp_NK, code_N[:, None], 1)[:, 0]
  mean_N, log_scale_N = logits_NK[:, 0], jnp.clip(logits_NK[:, 1], -5.0, 3.0)
  error_N = (s_N - mean_N) * jnp.exp(-log_scale_N)
  return -0.5 * error_N**2 - log_scale_N - 0.5 * jnp.log(2 * jnp.pi)


def cross_entropy(
  logits_NK: Float[Array, "n k"], view: View, kind: Kind
) -> Float[Array, ""]:
  """Mean of -log q(s|z) over the rows whose attribute is known, nats."""
  logp_N = log_density(logits_NK, view.s_N, kind)
  return -(logp_N * view.mask_N).sum() / jnp.maximum(view.mask_N.sum(), 1.0)


def entropy(view: View, kind: Kind) -> Float[Array, ""]:
  """H(S) of the view's rows, nats: plug-in, or the normal entropy of the scores."""
  total = jnp.maximum(view.mask_N.sum(), 1.0)
  if kind == "discrete":
    hot_NK = jax.nn.one_hot(view.s_N, view.classes_K.shape[0]) * view.mask_N[:, None]
    p_K = hot_NK.sum(0) / total
    return -jax.scipy.special.xlogy(p_K, p_K).sum()
  mean = (view.s_N * view.mask_N).sum() / total
  var = (jnp.square(view.s_N - mean) * view.mask_N).sum() / total
  return 0.5 * jnp.log(2 * jnp.pi * jnp.e * jnp.maximum(var, 1e-12))
