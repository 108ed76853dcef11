"""How often verdicts and intervals are wrong where the truth is known.

ovl bench verdicts                            every world; docs/validity.md
ovl bench verdicts --config=verdicts:smoke    a minute: few worlds, few draws
ovl bench verdicts --config.worlds="('coins, N 100',)"
"""

from ml_collections import ConfigDict

WORDS = ("smoke",)


def get_config(*words: str) -> ConfigDict:
  c = ConfigDict()
  c.seed = 0
  c.worlds = ()  # all of them
  c.draws = 1000  # at most, of each world: the table says how many it is worth
  c.level = 0.95  # that no word is wrong by chance
  c.audit = dict(critics=("linear", "mlp"), level=0.95)
  c.mi = dict(seeds=1, level=0.95)

  if "smoke" in words:
    c.worlds = ("coins, N 300", "known leak", "detectable leak", "mi: coin")
    c.worlds += ("pairs of 3 models, right or wrong",)
    c.worlds += ("3 untrained twins are the trained networks",)
    c.draws = 2
    c.audit.critics = ("linear",)
    c.mi.schedule = dict(epochs=10)
  return c
