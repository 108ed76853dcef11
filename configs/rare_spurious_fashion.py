"""Fashion-MNIST: how few examples teach a network a pattern that means nothing.

ovl memorise --config=rare_spurious_fashion --config.dataset.data_dir=DIR
ovl memorise --config=rare_spurious_fashion:cpu --config.dataset.data_dir=DIR
ovl memorise --config=rare_spurious_fashion:smoke

DIR holds `fashion-mnist/` ($OVL_DATA may name it); without it a small stand-in is used.
The published recipe (Yang, Chou and Chaudhuri 2022: seven patterns, up to 5,000 of 60,000
images, target 0; again with memorise.target=1) is 696 networks of 8.4 TFLOP each, 6 x
335,114 parameters x 128 images x 32,760 steps: it needs an accelerator.

`:cpu` (the first 5,000 images, 16 epochs, three patterns; 10 seeds, which is what 9 tests
need: 110 networks of .16 TFLOP) is 7 minutes of one core. Expected: one image suffices for
S3, R1 and R3, scores .159, .111 and .544 beside .058, .061 and .132 without; accuracy stays
at .855 (docs/memorisation.md). `:smoke` is seconds.
"""

from ml_collections import ConfigDict, config_dict

WORDS = ("cpu", "smoke")


def get_config(*words: str) -> ConfigDict:
  c = ConfigDict()
  c.seed = 0
  c.seeds = 12  # published: 5 of the examples, one of networks; 56 tests need 12
  c.dataset = dict(
    name="fashion_mnist",
    data_dir=config_dict.placeholder(str),
    limit=config_dict.placeholder(int),
    test_limit=config_dict.placeholder(int),
  )
  c.model = dict(name="mlp", hidden=(256, 256, 256))
  c.fit = dict(epochs=70, batch_size=128, learning_rate=0.01, milestones=(40, 50, 60))
  c.memorise = dict(
    question="dose",
    patterns=("S1", "S2", "S3", "R1", "R2", "R3", "Co"),
    doses=(0, 1, 3, 5, 10, 20, 100, 2000, 5000),
    target=0,
    lanes=64,
  )
  if words:
    c.seeds = 10
    c.dataset.limit = 5_000
    c.dataset.test_limit = 2_000
    c.fit.epochs = 16
    c.fit.milestones = (9, 11, 14)
    c.memorise.patterns = ("S3", "R1", "R3")
    c.memorise.doses = (0, 1, 3, 10)
  if "smoke" in words:
    c.seeds = 6
    c.dataset.limit = 600
    c.dataset.test_limit = 100
    c.model.hidden = (32,)
    c.fit.epochs = 10
    c.fit.milestones = (8,)
    c.memorise.patterns = ("S3", "R3")
    c.memorise.doses = (0, 5)
  return c
