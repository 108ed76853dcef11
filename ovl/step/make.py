"""The train step of one lane; the program vmaps it over seeds x weights and jits it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray

from ovl import rng
from ovl.load import nearest
from ovl.step import critics, gradients
from ovl.step.modules import Module, modules
from ovl.step.plan import Batch, Plan, Site, sites
from ovl.types import BadInput, Model, Params, TrainState

Metrics = dict[str, Array]
Step = Callable[..., tuple[TrainState, Metrics]]
SMOOTH = 0.95  # of the moving average of what critics read


class _Now(NamedTuple):
  """What every part of one step looks at."""

  plan: Plan
  state: TrainState
  batch: Batch
  weights: Mapping[str, Array]
  key: PRNGKeyArray

  def key_of(self, name: str) -> PRNGKeyArray:
    """The key of a named stream at this step."""
    return rng.at(rng.stream(self.key, name), self.state.step)


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
  gradients.check(plan, params, state)
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
    tx: the optimiser of the network; it is told `weights`, where it takes extra arguments.
    plan: monitors, penalties, mitigations, cuts, what is frozen or clipped.
    active: names of the terms that take part; None: all. Others are carried along.

  Returns:
    `step(state, batch, weights, key) -> (state, metrics)`, pure and un-jitted; `weights`
    maps the name of each penalty and mitigation to its traced weight, and where the plan
    clips "clip" and "noise". `metrics` holds the mean cross-entropy `loss` (nats) and
    `accuracy` before the update, `alive`, and of every active term and tap `TERM/TAP`,
    the critic's value before its own update, and `TERM/skipped`: 1 where the batch had
    nothing to tell apart. A lane whose loss or gradient is not finite stays as it was
    from then on; `alive` says so.

  References:
    Tartaglione (2022), https://arxiv.org/abs/2210.00891 (fused, with stopped gradients);
    Wang et al. (2021), https://openreview.net/forum?id=fAbkE6ant2 (local modules).
  """
  cut = modules(model, plan.cuts)
  _check(plan, cut)
  taking_part = [s for s in sites(plan) if active is None or s.term.name in active]
  tx = optax.with_extra_args_support(tx)

  def step(
    state: TrainState, batch: Batch, weights: Mapping[str, Array], key: PRNGKeyArray
  ) -> tuple[TrainState, Metrics]:
    now = _Now(plan, state, batch, weights, key)
    grads, critics_now, renewed, metrics, finite = _passes(now, cut, taking_part)
    main_loss, accuracy, carried = metrics.pop("main")
    grads = gradients.shape(plan, grads, state.params, weights)
    alive = state.alive & finite & jnp.isfinite(optax.tree.norm(grads))
    updates, opt = tx.update(grads, state.opt, state.params, weights=weights)
    updates = gradients.freeze(plan, updates)
    smooth = {
      s.name: metrics[s.name]
      + SMOOTH * (state.step > 0) * (state.read[s.name] - metrics[s.name])
      for s in taking_part
    }
    new = state._replace(
      params=optax.apply_updates(state.params, updates),
      state=gradients.freeze(plan, renewed, state.state),
      opt=opt,
      critics=critics_now,
      tasks=carried,
      read=state.read | smooth,
    )
    new = jax.tree.map(lambda new, old: jnp.where(alive, new, old), new, state)
    metrics |= {"loss": main_loss, "accuracy": accuracy, "alive": alive}
    return new._replace(step=state.step + 1, alive=alive), metrics

  return step


def _passes(
  now: _Now, cut: Sequence[Module], taking_part: Sequence[Site]
) -> tuple[Params, dict[str, Params], Params, dict[str, Any], Array]:
  """Forward, critics and backward, module by module.

  Returns:
    gradients, critics after their updates, the model's state, metrics (under "main" the
    loss, the accuracy and what mitigations carry on), and whether all of it is finite.
  """
  state = now.state
  h_B, model_state = _inputs(now), state.state
  grads = jax.tree.map(jnp.zeros_like, state.params)
  learnt, metrics = dict(state.critics), dict[str, Any]()
  finite = jnp.bool_(True)
  for module in cut:
    here = [s for s in taking_part if module.holds(s.tap)]
    pushing = [s for s in here if s.term.penalty]
    (out, z), pull, (taps, renewed) = _forward(now, module, pushing, h_B, model_state)
    critics_here, said_here = _listen(now, here, taps)
    learnt, metrics = learnt | critics_here, metrics | said_here
    objective = partial(_objective, now, module, pushing, learnt)
    (said, aux), slopes = jax.value_and_grad(objective, (0, 1), has_aux=True)(out, z)
    if now.plan.clip == "example":
      part = _of_examples(now, module, h_B, model_state)
    else:
      (part,) = pull(slopes)
    ok = jnp.isfinite(said) & jnp.isfinite(optax.tree.norm(part))
    grads, finite = jax.tree.map(jnp.add, grads, part), finite & ok
    # The next module waits for this one's gradients, so that only one module's
    # activations are held (an optimization barrier is gone before XLA schedules).
    h_B, model_state = jnp.where(ok, out, 0.0), renewed
  return grads, learnt, model_state, metrics | {"main": aux}, finite


def _inputs(now: _Now) -> Array:
  """The batch's inputs as the mitigations change them."""
  h_B = now.batch.x_B
  for name, task, _ in now.plan.tasks:
    if task.inputs is not None:
      h_B = task.inputs(h_B, now.weights[name], now.key_of(name))
  return h_B


def _forward(
  now: _Now, module: Module, pushing: Sequence[Site], h_B: Array, model_state: Params
) -> Any:
  """`(out, z of the taps with a penalty), pull, (taps, state)`; pull: slopes -> grads."""

  def run(params: Params) -> Any:
    out, taps, renewed = module.apply(params, model_state, h_B, now.key_of("model"))
    return (out, {s.tap: taps[s.tap] for s in pushing}), (taps, renewed)

  return jax.vjp(run, now.state.params, has_aux=True)


def _of_examples(now: _Now, module: Module, h_B: Array, model_state: Params) -> Params:
  """The clipped and noised gradient of the task, of a network in one module."""
  key = now.key_of("model")

  def loss(params: Params, h_1: Array, y: Array, place: Array) -> Array:
    mine = jax.random.fold_in(key, place)
    logits_1C, _, _ = module.apply(params, model_state, h_1[None], mine)
    return optax.softmax_cross_entropy_with_integer_labels(logits_1C[0], y)

  B = len(h_B)
  each = jax.vmap(jax.grad(loss), (None, 0, 0, 0))
  grads_B = each(now.state.params, h_B, now.batch.y_B, jnp.arange(B))
  weight_B = jnp.ones(B) if now.batch.weight_B is None else now.batch.weight_B
  mean = gradients.private_mean(grads_B, weight_B, now.weights, now.key_of("privacy"))
  return jax.tree.map(lambda g: now.plan.task_weight * g, mean)


def _listen(
  now: _Now, here: Sequence[Site], taps: Mapping[str, Array]
) -> tuple[dict[str, Params], Metrics]:
  """Critics after their updates, and what they read before."""
  learnt, metrics = dict[str, Params](), dict[str, Array]()
  for site in here:
    old, key = now.state.critics[site.name], now.key_of(site.name)
    seen, there = critics.view(site, jax.lax.stop_gradient(taps[site.tap]), now.batch)
    metrics[site.name] = critics.read(site.term, old[0], seen, there, key)
    metrics[f"{site.term.name}/skipped"] = 1.0 - there
    learnt[site.name] = critics.learn(site.term, old, seen, there, key)
  return learnt, metrics


def _objective(
  now: _Now,
  module: Module,
  pushing: Sequence[Site],
  learnt: Mapping[str, Params],
  out: Array,
  z: Mapping[str, Array],
) -> tuple[Array, Any]:
  """What a module descends: its penalties, and of the last one the task."""
  said, done = jnp.float32(0), now.state.step / now.plan.steps
  for site in pushing:
    term = site.term
    known = learnt if term.order == "critic_first" else now.state.critics
    seen, there = critics.view(site, z[site.tap], now.batch)
    key = now.key_of(site.name)
    value = critics.push(term, known[site.name][0], seen, there, key)
    said += now.weights[term.name] * term.factor(done) * site.factor * value
  if not module.last:
    return said, None
  main, aux = _task(now, out)
  return said + now.plan.task_weight * main, aux


def _task(now: _Now, logits_BC: Array) -> tuple[Array, Any]:
  """The task's loss as the mitigations weigh it; as it is, accuracy, what they carry."""
  batch, carried = now.batch, dict(now.state.tasks)
  loss_B = optax.softmax_cross_entropy_with_integer_labels(logits_BC, batch.y_B)
  weight_B = jnp.ones_like(loss_B)
  for name, task, attribute in now.plan.tasks:
    if task.weigh is None:
      continue
    s_B, mask_B = batch.attributes[attribute]
    rate_G = batch.rates[attribute]
    group_B = batch.y_B * (len(rate_G) // logits_BC.shape[-1]) + s_B
    group_B = jnp.where(mask_B > 0, group_B, -1)
    mine_B, carried[name] = task.weigh(
      carried[name], jax.lax.stop_gradient(loss_B), group_B, rate_G, now.weights[name]
    )
    weight_B *= mine_B
  right_B = logits_BC.argmax(-1) == batch.y_B
  main = _mean(weight_B * loss_B, batch.weight_B)
  as_is = _mean(loss_B, batch.weight_B), _mean(right_B, batch.weight_B)
  return main, (*as_is, carried)


def _mean(value_B: Array, weight_B: Array | None) -> Array:
  """Over the rows that have a part; 0 where none has."""
  if weight_B is None:
    return value_B.mean()
  return (weight_B * value_B).sum() / jnp.maximum(weight_B.sum(), 1e-12)


def _check(plan: Plan, cut: list[Module]) -> None:
  """Every module but the last must have a penalty to learn from."""
  penalised = [s.tap for s in sites(plan) if s.term.penalty]
  for module in cut[:-1]:
    if not any(module.holds(tap) for tap in penalised):
      raise BadInput(
        f"cuts: nothing trains the module that ends at {module.taps[-1]!r}: give a "
        f"penalty a tap in it ({', '.join(module.taps)})"
      )
  if plan.clip not in ("", "value", "example"):
    raise BadInput(f"clip={plan.clip!r}: expected value or example, or an empty word")
  weighed = [t.name for t in plan.tasks if t.mitigation.weigh is not None]
  if plan.clip == "example" and (plan.cuts or penalised or weighed):
    raise BadInput(
      "clip='example' bounds what each example adds to the task's gradient; penalties, "
      "cuts and weights of groups look at many examples: leave them out"
    )
