"""MNIST: is a letter on a single training image remembered?

ovl memorise --config=unique_feature_mnist --config.dataset.data_dir=DIR
ovl memorise --config=unique_feature_mnist:cpu --config.dataset.data_dir=DIR
ovl memorise --config=unique_feature_mnist:smoke

DIR holds `mnist/` ($OVL_DATA may name it); without it a small stand-in is used. The
published recipe (Hartley and Tsaftaris 2022: MLP 784-512-256-10, Adam 3e-4, a letter on one
of 60,000 images, pixels normalised after painting) is 19 TFLOP a network, 6 x 535,818
parameters x 128 images x 46,800 steps at the full 100 epochs: it needs an accelerator.
Keras starts its layers much like Flax, so `initialisation` is the model's own here.

`:cpu` (the first 5,000 images, 25 epochs, four letters, 50 networks of .4 TFLOP) is 8
minutes of one core. Expected: the canary's class gains .0015 [-.0004, .0034] of probability
over twins (p .009 by signs), the label-free scores nothing (docs/memorisation.md). `:smoke`
is seconds.
"""

from ml_collections import ConfigDict, config_dict

WORDS = ("cpu", "smoke")


def get_config(*words: str) -> ConfigDict:
  c = ConfigDict()
  c.seed = 0
  c.seeds = 10
  c.dataset = dict(
    name="mnist",
    data_dir=config_dict.placeholder(str),
    limit=config_dict.placeholder(int),
    test_limit=config_dict.placeholder(int),
  )
  c.model = dict(name="mlp", hidden=(512, 256), mean=0.1307, std=0.3081)
  # A constant rate: the milestone is never reached.
  c.fit = dict(epochs=100, batch_size=128, learning_rate=3e-4, milestones=(100,))
  c.memorise = dict(
    question="unique",
    patterns=tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    doses=(0, 1),
    target=0,
    initialisation="model",
    lanes=32,
  )
  if words:
    c.dataset.limit = 5_000
    c.dataset.test_limit = 2_000
    c.fit.epochs = 25
    c.fit.milestones = (25,)
    c.memorise.patterns = tuple("ACMX")
  if "smoke" in words:
    c.seeds = 6
    c.dataset.limit = 600
    c.dataset.test_limit = 100
    c.model.hidden = (32,)
    c.fit = dict(epochs=10, batch_size=128, learning_rate=3e-3, milestones=(10,))
    c.memorise.patterns = ("A", "X")
  return c
