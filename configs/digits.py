"""scikit-learn's digits, task digit >= 5: what else does the network learn?

ovl audit --config=digits
ovl audit --config=digits:cnn
ovl audit --config=digits:smoke
"""

from ml_collections import ConfigDict

WORDS = ("cnn", "smoke")


def get_config(*words: str) -> ConfigDict:
  c = ConfigDict()
  c.seed = 0
  c.seeds = 8
  c.dataset = dict(name="digits", task="half")
  c.model = dict(name="mlp", hidden=(64, 32))
  c.fit = dict(epochs=60, batch_size=128, learning_rate=3e-3)
  c.split = dict(train=0.5, probe=0.2, stop=0.05, test=0.25)
  c.audit = dict(critics=("linear", "mlp"), level=0.95)

  if "cnn" in words:
    c.model = dict(name="cnn", channels=(16, 32), hidden=(64,))
  if "smoke" in words:
    c.seeds = 5
    c.fit.epochs = 10
    c.audit.critics = ("linear",)
  return c
