"""MNIST digits split by writer: does the network learn which group a writer is from?

  ovl audit --config=writers --config.dataset.data_dir=DIR
  ovl audit --config=writers:mlp --config.dataset.data_dir=DIR     6 minutes on two cores
  ovl audit --config=writers:smoke

DIR holds `mnist/` and `qmnist-labels/`; $OVL_DATA may name it instead. Without either
a small made-up stand-in is used, and the report says so.

Expected of `:mlp` (8 models; our own measurement): accuracy .740 [.712, .768] at fc1,
untrained .729, raw .730, label only .494, chance .49.
"""

from ml_collections import ConfigDict, config_dict

WORDS = ("cnn", "mlp", "smoke")


def get_config(*words: str) -> ConfigDict:
  if {"cnn", "mlp"} <= set(words):
    raise ValueError("cnn and mlp are two models: give one")

  c = ConfigDict()
  c.seed = 0  # of networks, splits, critics and permutations
  c.seeds = 8  # models: what intervals are over
  c.dataset = dict(
    name="mnist_writers",
    data_dir=config_dict.placeholder(str),
    limit=config_dict.placeholder(int),
  )
  c.model = dict(name="cnn", channels=(16, 32), hidden=(64,))
  c.fit = dict(epochs=5, batch_size=128, learning_rate=1e-3)
  # Disjoint: networks, critics, their choice, scores.
  c.split = dict(train=0.5, probe=0.2, stop=0.05, test=0.25)
  c.audit = dict(critics=("linear", "mlp"), level=0.95)  # readers; of intervals

  if "mlp" in words:
    c.model = dict(name="mlp", hidden=(256, 64))
  if "smoke" in words:
    c.seeds = 5
    c.dataset.limit = 800
    c.fit.epochs = 1
    c.audit.critics = ("linear",)
  return c
