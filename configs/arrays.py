"""Activations that you bring: how they are audited.

ovl audit acts.npz                  seconds; 50,000 x 768 and 6 taps take minutes
ovl audit folder --config=arrays --config.audit.critics="('linear',)"

Nothing is expected of your data; of independent rows no verdict but `no evidence`, in 95 of
100 audits at least (docs/validity.md).
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  c = ConfigDict()
  c.seed = 0  # of networks, splits, critics and permutations
  c.audit = dict(critics=("linear", "mlp"), level=0.95)  # readers; of intervals
  return c
