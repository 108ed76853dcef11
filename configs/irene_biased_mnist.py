"""Biased-MNIST, IRENE at the bottleneck: the published recipe, and one for two cores.

ovl unlearn --config=irene_biased_mnist --config.dataset.data_dir=DIR
ovl unlearn --config=irene_biased_mnist:cpu --config.dataset.data_dir=DIR

DIR holds `mnist/` ($OVL_DATA may name it instead). The published recipe (28 x 28, widths
16-32-64-128, 80 epochs of 60,000 images; dataset.rho .999, .997, .995 or .99) is 150 TFLOP
an epoch and network: it needs an accelerator. Published unbiased accuracy, 3 seeds (Nahon
et al. 2023, table 1), rho .999 / .997 / .995 / .99: no penalty 11.2 / 40.5 / 72.4 / 88.4;
IRENE's head on misaligned rows 58.7 / 92.7 / 95.5 / 97.7.

`:cpu` (14 x 14, a quarter of the widths, 10,000 images, rho .8, 10 epochs of Adam) stands
beside no published number; about 15 minutes. `:smoke` is a minute.
"""

from ml_collections import ConfigDict, config_dict

WORDS = ("cpu", "smoke")


def get_config(*words: str) -> ConfigDict:
  c = ConfigDict()
  c.seed = 0
  c.seeds = 3
  c.dataset = dict(
    name="biased_mnist",
    data_dir=config_dict.placeholder(str),
    rho=0.99,
    side=28,
    limit=config_dict.placeholder(int),
    draw=0,
  )
  c.model = dict(name="simple_conv", channels=(16, 32, 64, 128), size=7)
  c.fit = dict(
    epochs=80, batch_size=100, learning_rate=0.1, optimiser="sgd", weight_decay=1e-4,
    milestones=(40, 60), save_every=10,
  )  # fmt: skip
  # Published: gamma .2 beside alpha .5, and 2 (Nahon et al.) beside 1.
  sgd = dict(optimiser="sgd", learning_rate=0.1)
  # Published: gamma .2 beside alpha .5, and 2 (Nahon et al.) beside 1.
  c.unlearn = dict(
    attribute="colour",
    taps=("z",),
    penalties=dict(
      irene=dict(weights=(0.2, 1.0, 2.0), task_weight=0.5) | sgd,
      misaligned=dict(method="irene", masked="misaligned", weights=(2.0,)) | sgd,
    ),
    erasers=dict(leace={}),
    monitors=("linear",),
    attackers=("linear", "mlp", "trees"),
    level=0.95,
  )
  if words:
    c.dataset.side = 14
    c.dataset.limit = 10_000
    c.dataset.rho = 0.8
    c.model.channels = (4, 8, 16, 32)
    c.fit = dict(epochs=10, batch_size=100, learning_rate=3e-3, save_every=2)
    c.unlearn.penalties = dict(irene=dict(weights=(10.0, 30.0), inner_steps=3))
  if "smoke" in words:
    c.seeds = 2
    c.dataset.limit = 1_000
    c.fit.epochs = 2
    c.unlearn.attackers = ("linear",)
  return c
