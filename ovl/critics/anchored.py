"""Anchored critic: the Gaussian log-ratio in closed form, and a net for the rest."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from ovl.critics._ratio import donsker_varadhan, jensen_shannon, ratio_of
from ovl.critics._statistic import columns, reads
from ovl.types import Critic, Kind, Params, View


def critic(
  attribute: Kind = "vector",
  hidden: tuple[int, ...] = (128, 128),
  negatives: int = 4,
  ridge: float = 1e-2,
) -> Critic:
  r"""f(z,s) = c + z'Az/2 + s'Cs/2 + z'Bs + MLP(z,s), trained as `js`.

  A, B, C, c start at the log-ratio of a normal density with the moments of the view
  given to `init`, the net at 0: training starts from canonical correlations and keeps
  them where the net finds nothing more.

  Args:
    attribute: "continuous" or "vector".
    hidden: hidden widths of the net.
    negatives: counterparts of a row.
    ridge: added to the unit variances, so that the start is never singular.

  Returns:
    A critic in nats; a lower bound on fresh rows.

  References:
    Song and Ermon (2020), https://arxiv.org/abs/1910.06222 (ratio by classification).
  """
  reads("anchored", attribute, ("continuous", "vector"))
  net, wrap = ratio_of("anchored", attribute, hidden, negatives)

  def init(key: PRNGKeyArray, view: View) -> Params:
    s_NM, D = columns(view), view.z_ND.shape[1]
    x_NE = jnp.concatenate([view.z_ND, s_NM], 1)
    total = jnp.maximum(view.mask_N.sum(), 1)
    with jax.default_matmul_precision("highest"):
      cov_EE = (x_NE * view.mask_N[:, None]).T @ x_NE / total
      cov_EE = cov_EE + jnp.diag(jnp.where(jnp.diagonal(cov_EE) > 0, ridge, 1.0))
      apart_EE = jax.scipy.linalg.block_diag(cov_EE[:D, :D], cov_EE[D:, D:])
      bend_EE = jnp.linalg.inv(apart_EE) - jnp.linalg.inv(cov_EE)
      offset = 0.5 * (jnp.linalg.slogdet(apart_EE)[1] - jnp.linalg.slogdet(cov_EE)[1])
    anchor = {
      "zz": bend_EE[:D, :D],
      "zs": bend_EE[:D, D:],
      "ss": bend_EE[D:, D:],
      "offset": offset,
    }
    return {"anchor": anchor, "net": net.init(key, view)}

  def sides(params: Params, view: View) -> tuple[Params, Params]:
    h_NH, g_NH = net.sides(params["net"], view)
    s_NM, a = columns(view), params["anchor"]
    own_N = 0.5 * ((view.z_ND @ a["zz"]) * view.z_ND).sum(1)
    its_N = 0.5 * ((s_NM @ a["ss"]) * s_NM).sum(1)
    return (h_NH, own_N, view.z_ND @ a["zs"]), (g_NH, its_N, s_NM)

  def join(params: Params, of_z: Params, of_s: Params) -> Array:
    (h_NH, own_N, turned_NM), (g_NH, its_N, s_NM) = of_z, of_s
    anchor_N = params["anchor"]["offset"] + own_N + its_N + (turned_NM * s_NM).sum(1)
    return anchor_N + net.join(params["net"], h_NH, g_NH)

  return wrap(
    net._replace(init=init, sides=sides, join=join),
    jensen_shannon, donsker_varadhan, "lower",
  )  # fmt: skip
