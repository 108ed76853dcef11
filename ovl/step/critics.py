"""Critics inside a train step: what they see, how they are read, how they learn."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from ovl import rng
from ovl.pooling import reduce
from ovl.step.plan import Batch, Site, Term
from ovl.types import Params, View


def view(site: Site, z_B: Array, batch: Batch) -> tuple[View, Bool[Array, ""]]:
  """A tap and the attribute, and whether there is anything to tell apart.

  Where the batch holds one class only (or one value) the attribute is replaced by an
  alternating one, so that no critic divides by nothing; the caller drops what it says.
  """
  term = site.term
  z_BD = reduce(site.tap, z_B, term.max_width)  # float32
  s_B, mask_B = batch.attributes[term.attribute]
  some = s_B[jnp.argmax(mask_B)]
  there = ((s_B != some) & (mask_B > 0)).any()
  place_B = jnp.arange(len(s_B))
  if term.kind == "discrete":
    filled_B, classes_K = place_B % 2, jnp.ones(term.outputs, bool)
  else:
    filled_B, classes_K = place_B / len(s_B) - 0.5, jnp.ones(2, bool)
  needs = term.critic.needs
  seen = View(
    z_BD,
    jnp.where(there, s_B, filled_B.astype(s_B.dtype)),
    jnp.where(there, mask_B, jnp.ones_like(mask_B)),
    jnp.ones(z_BD.shape[1], bool),
    classes_K,
    batch.y_B if "task" in needs else None,
    batch.x_B.reshape(len(s_B), -1) if "input" in needs else None,
  )
  return seen, there


def start(site: Site, z_B: Array, batch: Batch, key: PRNGKeyArray) -> Params:
  """Parameters and optimiser state before the first step; reads shapes only."""
  seen, _ = view(site, z_B, batch)
  params = site.term.critic.init(rng.stream(key, f"critic {site.name}"), seen)
  return params, site.term.tx.init(params)


def learn(
  term: Term, carried: Params, seen: View, there: Array, key: PRNGKeyArray
) -> Params:
  """`(params, opt)` after the term's inner steps on one view; as it was where nothing
  can be told apart."""
  seen = jax.lax.stop_gradient(seen)
  params, opt = carried
  if not jax.tree.leaves(params):
    return carried
  for i in range(term.inner_steps):
    key_now = jax.random.fold_in(key, i)
    grads = jax.grad(term.critic.loss)(params, seen, key_now)
    updates, opt = term.tx.update(grads, opt, params)
    if term.critic.refresh is not None:
      params = term.critic.refresh(params, seen, key_now)
    params = optax.apply_updates(params, updates)
  return jax.tree.map(lambda new, old: jnp.where(there, new, old), (params, opt), carried)


def read(
  term: Term, params: Params, seen: View, there: Array, key: PRNGKeyArray
) -> Float[Array, ""]:
  """What the critic reads; 0 where nothing can be told apart."""
  return jnp.where(there, term.critic.value(params, seen, key), 0.0)


def push(
  term: Term, params: Params, seen: View, there: Array, key: PRNGKeyArray
) -> Float[Array, ""]:
  """What the network descends, a function of the representation alone."""
  penalty = term.critic.penalty or term.critic.value
  return jnp.where(there, penalty(jax.lax.stop_gradient(params), seen, key), 0.0)
