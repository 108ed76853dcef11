"""Breast cancer without texture in the input: mostly entailed by the diagnosis?

ovl audit --config=cancer           18 s on two cores
ovl audit --config=cancer:smoke

Expected (8 models; our own measurement): texture is entailed by the task at every layer.
"""

from ml_collections import ConfigDict

WORDS = ("smoke",)


def get_config(*words: str) -> ConfigDict:
  c = ConfigDict()
  c.seed = 0  # of networks, splits, critics and permutations
  c.seeds = 8  # models: what intervals are over
  c.dataset = dict(name="breast_cancer")
  c.model = dict(name="mlp", hidden=(64, 32))
  c.fit = dict(epochs=60, batch_size=64, learning_rate=1e-3)
  # Disjoint: networks, critics, their choice, scores.
  c.split = dict(train=0.5, probe=0.2, stop=0.05, test=0.25)
  c.audit = dict(critics=("linear", "mlp"), level=0.95)  # readers; of intervals

  if "smoke" in words:
    c.seeds = 5
    c.fit.epochs = 10
    c.audit.critics = ("linear",)
  return c
