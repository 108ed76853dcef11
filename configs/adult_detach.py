"""UCI Adult, task income, attribute sex: representation detachment, and simpler means.

ovl unlearn --config=adult_detach --config.dataset.data_dir=DIR
ovl unlearn --config=adult_detach:smoke

DIR holds `adult/` ($OVL_DATA may name it instead); without it made-up persons, and the
report says so. The inputs leave sex out, but marital status and relationship stay.
"""

from ml_collections import ConfigDict, config_dict

WORDS = ("smoke",)


def get_config(*words: str) -> ConfigDict:
  c = ConfigDict()
  c.seed = 0
  c.seeds = 5
  c.dataset = dict(
    name="adult",
    data_dir=config_dict.placeholder(str),
    limit=config_dict.placeholder(int),
  )
  c.model = dict(name="mlp", hidden=(64, 32))
  c.fit = dict(epochs=12, batch_size=256, learning_rate=2e-3)
  c.split = dict(train=0.5, probe=0.2, stop=0.05, test=0.25)
  # The attribute's term is the adversary's, as in the paper; a linear head's plug-in
  # (attribute_term="irene") leaves an MLP all of it.
  detachment = dict(
    method="detachment",
    weights=(0.3, 1.0, 3.0),
    attribute_term="reversal",
    likelihood="gaussian",
    b=0.1,
    g=2.0,
    inner_steps=3,
    order="critic_first",
  )
  c.unlearn = dict(
    attribute="sex",
    taps=("fc2",),
    penalties=dict(
      detachment=detachment,
      local=detachment | dict(cuts=("fc2",)),
      reversal=dict(weights=(0.3, 1.0, 3.0), inner_steps=3, order="critic_first"),
      irene=dict(weights=(10.0, 30.0, 100.0), hidden=(32,), inner_steps=3),
    ),
    erasers=dict(leace={}),
    monitors=("linear",),
    attackers=("linear", "mlp", "trees"),
    level=0.95,
    schedule=dict(epochs=20),
  )
  if "smoke" in words:
    c.seeds = 2
    c.dataset.limit = 2_000
    c.fit.epochs = 3
    c.unlearn.penalties = dict(detachment=detachment | dict(weights=(0.3,)))
    c.unlearn.attackers = ("linear",)
  return c
