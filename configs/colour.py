"""Digits on coloured ground: can a net that reads digits be made to forget the colour?

ovl unlearn --config=colour
ovl unlearn --config=colour:smoke
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
  words = {word.strip() for word in arg.split(",")} - {""}
  if unknown := words - {"smoke"}:
    raise ValueError(f"colour:{arg}: unknown {sorted(unknown)}; have smoke")

  c = ConfigDict()
  c.seed = 0
  c.seeds = 5
  c.dataset = dict(name="colour", rho=0.9, draw=0)
  c.model = dict(name="mlp", hidden=(128, 32))
  c.fit = dict(epochs=60, batch_size=119, learning_rate=3e-3)
  c.unlearn = dict(
    attribute="colour",
    taps=("fc2",),
    penalties=dict(
      irene=dict(weights=(0.3, 1.0, 3.0)),
      adversary=dict(weights=(0.1, 0.3, 1.0)),
      hsic=dict(weights=(10.0, 100.0, 1000.0)),
    ),
    weights=(0.1, 1.0, 10.0),
    erasers=dict(leace=dict(), mean_projection=dict()),
    monitors=("linear",),
    attackers=("linear", "mlp", "trees"),
    level=0.95,
    max_width=512,
  )
  if "smoke" in words:
    c.seeds = 3
    c.fit.epochs = 10
    c.unlearn.penalties = dict(
      irene=dict(weights=(0.3, 3.0)), hsic=dict(weights=(10.0, 1000.0))
    )
    c.unlearn.erasers = dict(leace=dict())
    c.unlearn.attackers = ("linear",)
  return c
