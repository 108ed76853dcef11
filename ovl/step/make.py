"""The train step of one lane; the program vmaps it over seeds x weights and jits it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray

from ovl import rng
from ovl.load import nearest
from ovl.step import critics
from ovl.step.modules import Module, modules
from ovl.step.plan import Batch, Plan, Task, sites
from ovl.types import BadInput, Model, Params, TrainState

Metrics = dict[str, Array]
Step = Callable[..., tuple[TrainState, Metrics]]
SMOOTH = 0.95  # of the moving average of what critics read


def init(
  model: Model,
  tx: optax.GradientTransformation,
  key: PRNGKeyArray,
  batch: Batch,
  plan: Plan = Plan(),  # noqa: B008
) -> TrainState:
  """The state of one lane before its first step; of the batch only shapes are read.

  Raises:
    BadInput: a term or a cut names a tap that the model does not have.
  """
  params, state = model.init(rng.stream(key, "init"), batch.x_B)
  shapes = jax.eval_shape(lambda: model.apply(params, state, batch.x_B)[1])
  known = {}
  for site in sites(plan):
    if site.tap not in shapes:
      said = nearest(site.tap, list(shapes))
      raise BadInput(f"{site.term.name}.taps: no layer {site.tap!r}: {said}")
    z_B = jnp.zeros(shapes[site.tap].shape)
    known[site.name] = critics.start(site, z_B, batch, key)
  none = jnp.ones(1)
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    state=state,
    opt=tx.init(params),
    critics=known,
    tasks={
      t.name: t.mitigation.init(batch.rates.get(t.attribute, none)) for t in plan.tasks
    },
    alive=jnp.bool_(True),
    read={name: jnp.float32(0) for name in known},
  )


def make_step(
  model: Model,
  tx: optax.GradientTransformation,
  plan: Plan = Plan(),  # noqa: B008
  active: frozenset[str] | None = None,
) -> Step:
  r"""Makes the train step of one lane.

  .. math:: L = \alpha \, CE_{task} + \sum_t w_t r_t(step) \sum_l d_l \,
            C_{sg(\psi_{tl})}(z_l, s) + \sum_{t,l} loss_{\psi_{tl}}(sg(z_l), s)

  in one forward and one backward pass: the network descends the first two, every critic
  its own loss. Each module between cuts descends what is said of its own taps.

  Args:
    model: logits and taps.
    tx: the optimiser of the network.
    plan: monitors, penalties, mitigations, cuts.
    active: names of the terms that take part; None: all. Others are carried along.

  Returns:
    `step(state, batch, weights, key) -> (state, metrics)`, pure and un-jitted; `weights`
    maps the name of each penalty and mitigation to its traced weight. `metrics` holds
    the mean cross-entropy `loss` (nats) and `accuracy` before the update, `alive`, and of
    every active term and tap `TERM/TAP`, the critic's value before its own update, and
    `TERM/skipped`: 1 where the batch had nothing to tell apart. A lane whose loss or
    gradient is not finite stays as it was from then on; `alive` says so.

  References:
    Tartaglione (2022), https://arxiv.org/abs/2210.00891 (fused, with stopped gradients);
    Wang et al. (2021), https://openreview.net/forum?id=fAbkE6ant2 (local modules).
  """
  cut = modules(model, plan.cuts)
  everywhere = sites(plan)
  _check(plan, cut)
  taking_part = [s for s in everywhere if active is None or s.term.name in active]

  def step(
    state: TrainState, batch: Batch, weights: Mapping[str, Array], key: PRNGKeyArray
  ) -> tuple[TrainState, Metrics]:
    now, done = state.step, state.step / plan.steps
    key_of = lambda name: rng.at(rng.stream(key, name), now)  # noqa: E731
    h_B, new_state = batch.x_B, state.state
    for name, task, _ in plan.tasks:
      if task.inputs is not None:
        h_B = task.inputs(h_B, weights[name], key_of(name))

    grads = jax.tree.map(jnp.zeros_like, state.params)
    learnt, metrics, alive = dict(state.critics), {}, state.alive
    for module in cut:
      here = [s for s in taking_part if module.holds(s.tap)]
      pushing = [s for s in here if s.term.penalty]

      def forward(params: Params, module: Any = module, h_B: Array = h_B) -> Any:
        out, taps, renewed = module.apply(params, new_state, h_B, key_of("model"))  # noqa: B023
        return (out, {s.tap: taps[s.tap] for s in pushing}), (taps, renewed)  # noqa: B023

      (out, z), pull, (taps, new_state) = jax.vjp(forward, state.params, has_aux=True)
      for site in here:
        old = state.critics[site.name]
        z_B = jax.lax.stop_gradient(taps[site.tap])
        seen, there = critics.view(site, z_B, batch)
        key_c = key_of(site.name)
        metrics[site.name] = critics.read(site.term, old[0], seen, there, key_c)
        metrics[f"{site.term.name}/skipped"] = 1.0 - there
        learnt[site.name] = critics.learn(site.term, old, seen, there, key_c)

      def loss(out: Array, z: dict[str, Array], module: Any = module) -> Any:
        said = jnp.float32(0)
        for site in pushing:  # noqa: B023
          term = site.term
          known = learnt if term.order == "critic_first" else state.critics
          seen, there = critics.view(site, z[site.tap], batch)
          value = critics.push(term, known[site.name][0], seen, there, key_of(site.name))
          said += weights[term.name] * term.factor(done) * site.factor * value
        if not module.last:
          return said, None
        main, aux = _main(plan.tasks, out, batch, weights, state.tasks)
        return said + plan.task_weight * main, aux

      (said, aux), slopes = jax.value_and_grad(loss, (0, 1), has_aux=True)(out, z)
      (part,) = pull(slopes)
      finite = jnp.isfinite(said) & jnp.isfinite(optax.tree.norm(part))
      grads, alive = jax.tree.map(jnp.add, grads, part), alive & finite
      # The next module waits for this one's gradients, so that only one module's
      # activations are held (an optimization barrier is gone before XLA schedules).
      h_B = jnp.where(finite, out, 0.0)

    (main_loss, accuracy), carried = aux
    for name, task, _ in plan.tasks:
      if task.penalty is not None:
        more = jax.grad(task.penalty)(state.params, weights[name])
        grads = jax.tree.map(jnp.add, grads, more)
    alive &= jnp.isfinite(optax.tree.norm(grads))
    updates, opt = tx.update(grads, state.opt, state.params)
    smooth = {
      s.name: metrics[s.name] + SMOOTH * (now > 0) * (state.read[s.name] - metrics[s.name])
      for s in taking_part
    }
    new = state._replace(
      params=optax.apply_updates(state.params, updates),
      state=new_state,
      opt=opt,
      critics=learnt,
      tasks=carried,
      read=state.read | smooth,
    )
    new = jax.tree.map(lambda new, old: jnp.where(alive, new, old), new, state)
    metrics |= {"loss": main_loss, "accuracy": accuracy, "alive": alive}
    return new._replace(step=now + 1, alive=alive), metrics

  return step


def _main(
  tasks: tuple[Task, ...],
  logits_BC: Array,
  batch: Batch,
  weights: Mapping[str, Array],
  carried: dict[str, Params],
) -> tuple[Array, tuple[tuple[Array, Array], dict[str, Params]]]:
  """The task's loss as the mitigations weigh it; as it is, and what they carry on."""
  loss_B = optax.softmax_cross_entropy_with_integer_labels(logits_BC, batch.y_B)
  weight_B, carried = jnp.ones_like(loss_B), dict(carried)
  for name, task, attribute in tasks:
    if task.weigh is None:
      continue
    s_B, mask_B = batch.attributes[attribute]
    rate_G = batch.rates[attribute]
    group_B = batch.y_B * (len(rate_G) // logits_BC.shape[-1]) + s_B
    group_B = jnp.where(mask_B > 0, group_B, -1)
    mine_B, carried[name] = task.weigh(
      carried[name], jax.lax.stop_gradient(loss_B), group_B, rate_G, weights[name]
    )
    weight_B *= mine_B
  accuracy = (logits_BC.argmax(-1) == batch.y_B).mean()
  return (weight_B * loss_B).mean(), ((loss_B.mean(), accuracy), carried)


def _check(plan: Plan, cut: list[Module]) -> None:
  """Every module but the last must have a penalty to learn from."""
  penalised = [s.tap for s in sites(plan) if s.term.penalty]
  for module in cut[:-1]:
    if not any(module.holds(tap) for tap in penalised):
      raise BadInput(
        f"cuts: nothing trains the module that ends at {module.taps[-1]!r}: give a "
        f"penalty a tap in it ({', '.join(module.taps)})"
      )
