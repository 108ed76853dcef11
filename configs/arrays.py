"""Activations that you bring: how they are audited.

ovl audit acts.npz
ovl audit folder --config=arrays --config.audit.critics="('linear',)"
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  c = ConfigDict()
  c.seed = 0
  c.audit = dict(critics=("linear", "mlp"), level=0.95)
  return c
