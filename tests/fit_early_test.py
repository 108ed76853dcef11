"""Early stopping: of every network the epoch that a naive loop picks, also when resumed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ovl import fit, load, mesh
from ovl.types import BadInput

GEN = np.random.default_rng(4)
X = GEN.normal(size=(140, 8)).astype(np.float32)
Y = (X[:, 0] + GEN.normal(size=140) > 0).astype(np.int32)  # noisy: to be over-fitted
TRAIN, VALIDATION = np.arange(80), slice(80, 140)
S, EPOCHS, PATIENCE = 5, 14, 3
STEPS = tuple(5 * (e + 1) for e in range(EPOCHS))
MODEL = load("models", "mlp", classes=2, hidden=(32,))
NORM = load("models", "mlp", classes=2, hidden=(32,), norm=True)
KEYS = jax.vmap(jax.random.key)(jnp.arange(S))


def trained(directory=None, report=lambda share, said: None, model=MODEL, **objective):
  early = fit.Early(X[VALIDATION], Y[VALIDATION], PATIENCE)
  settings = fit.Settings(epochs=EPOCHS, batch_size=16, learning_rate=0.03, save_every=1)
  rows = np.broadcast_to(TRAIN, (S, 80))
  asked = fit.Objective(**{"early": early} | objective)
  return fit.fit(model, X, Y, rows, KEYS, settings, mesh.make(S), directory, report, asked)


def naive(losses):
  """Epoch by epoch, as it is told: the best so far, until it has been waited for it."""
  best, picked, waited = np.inf, 0, 0
  for epoch, loss in enumerate(losses, 1):
    if loss < best:
      best, picked, waited = loss, epoch, 0
    else:
      waited += 1
    if waited >= PATIENCE:
      break
  return picked


def same(a, b):
  return all(
    np.array_equal(x, y) for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True)
  )


@pytest.mark.parametrize("model", [MODEL, NORM])
def test_every_network_is_the_one_of_the_epoch_that_a_naive_loop_picks(model):
  nets = trained(snapshots=STEPS, model=model)
  picked = []
  for s in range(S):
    losses = []
    for t in range(EPOCHS):
      params, state = jax.tree.map(lambda leaf, t=t, s=s: leaf[t, s], nets.snapshots)
      logits = np.asarray(model.apply(params, state, X[VALIDATION])[0], np.float64)
      log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
      losses.append(-log_p[np.arange(60), Y[VALIDATION]].mean())
    picked.append(naive(losses))
    kept = jax.tree.map(lambda leaf, s=s: leaf[picked[s] - 1, s], nets.snapshots)
    mine = jax.tree.map(lambda leaf, s=s: leaf[s], (nets.params, nets.state))
    assert same(mine, kept)
  assert nets.epochs.tolist() == picked
  assert len(set(picked)) > 1, "each lane has its own"
  assert max(picked) < EPOCHS - PATIENCE, "the test would not see the patience"


def test_it_ends_when_all_are_done_and_rows_that_judge_teach_nothing():
  told = []
  nets = trained(report=lambda share, said: told.append(share))
  assert len(told) == nets.epochs.max() + PATIENCE < EPOCHS
  plain = trained(early=None, snapshots=STEPS)
  assert plain.epochs is None
  for s, epoch in enumerate(nets.epochs):
    kept = jax.tree.map(lambda leaf, e=epoch, s=s: leaf[e - 1, s], plain.snapshots[0])
    assert same(jax.tree.map(lambda leaf, s=s: leaf[s], nets.params), kept)


@pytest.mark.parametrize("share", [0.1, 0.35])
def test_interrupted_equals_uninterrupted(tmp_path, share):
  class Stop(Exception):
    pass

  def stop(now, said):
    if now >= share:
      raise Stop

  whole = trained(tmp_path / "a")
  with pytest.raises(Stop):
    trained(tmp_path / "b", stop)
  for where in ("b", "a"):  # also of a run that is over
    again = trained(tmp_path / where)
    assert same((whole.params, whole.opt), (again.params, again.opt))
    assert again.epochs.tolist() == whole.epochs.tolist()


def test_what_cannot_judge_is_refused():
  for early in (fit.Early(X, Y, 0), fit.Early(X[:0], Y[:0], 3), fit.Early(X, Y[:3], 3)):
    with pytest.raises(BadInput, match="early stopping"):
      trained(early=early)
