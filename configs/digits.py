"""scikit-learn's digits, task digit >= 5: what else does the network learn?

ovl audit --config=digits           31 s on two cores
ovl audit --config=digits:cnn       a minute: a small convolutional net
ovl audit --config=digits:smoke     17 s: 5 models, the linear critic

Expected of the default (8 models; our own measurement, no paper has it): task accuracy .97;
at fc1 the digit's identity leaks .91 [.88, .93] of H(S|Y), .02 more than before training;
at fc2 ink is overlearned, .41 [.36, .46]; coin is found nowhere.
"""

from ml_collections import ConfigDict

WORDS = ("cnn", "smoke")


def get_config(*words: str) -> ConfigDict:
  c = ConfigDict()
  c.seed = 0  # of networks, splits, critics and permutations
  c.seeds = 8  # models: what intervals are over
  c.dataset = dict(name="digits", task="half")
  c.model = dict(name="mlp", hidden=(64, 32))
  c.fit = dict(epochs=60, batch_size=128, learning_rate=3e-3)
  # Disjoint: networks, critics, their choice, scores.
  c.split = dict(train=0.5, probe=0.2, stop=0.05, test=0.25)
  c.audit = dict(critics=("linear", "mlp"), level=0.95)  # readers; of intervals

  if "cnn" in words:
    c.model = dict(name="cnn", channels=(16, 32), hidden=(64,))
  if "smoke" in words:
    c.seeds = 5
    c.fit.epochs = 10
    c.audit.critics = ("linear",)
  return c
