"""Accuracy and speed of mutual-information methods where the truth is known.

ovl bench mi                        the 40 tasks of Czyz et al. (2023)
ovl bench mi --config=mi:discrete   class mixtures, and real digits through a channel
ovl bench mi --config=mi:smoke      seconds
ovl bench mi --config=mi:more       bent, mixed discrete-continuous tasks, other methods
"""

from ml_collections import ConfigDict

ONE = ["1v1-normal-0.75", "normal_cdf-1v1-normal-0.75", "1v1-bimodal-0.75"]
ONE += ["wiggly-1v1-normal-0.75", "half_cube-1v1-normal-0.75"]
ONE += ["swissroll_x-normal_cdf-1v1-normal-0.75", "1v1-additive-0.1", "1v1-additive-0.75"]
ONE += ["student-identity-1-1-1", "asinh-student-identity-1-1-1"]

WORDS = ("low", "discrete", "more", "smoke")


def get_config(*words: str) -> ConfigDict:
  c = ConfigDict()
  c.seed = 0
  # "module" is every task of a data set, "module:task" one; settings after a "?".
  c.tasks = ("known_mi",)
  c.methods = ("auto",)
  c.sizes = (10_000,)
  c.draws = 5
  c.mi = dict(seeds=1, level=0.95)

  if "low" in words:
    c.tasks = tuple(f"known_mi:{name}" for name in ONE)
  if "discrete" in words:
    c.tasks = ("mixtures", "mixtures?width=64", "same_class:channel")
  if "more" in words:
    c.tasks = ("known_mi_bent", "known_mi_mixed", "known_mi:multinormal-sparse-5-5-2-2.0")
    c.methods = ("auto", "ksg", "cca", "copula", "mine", "infonce", "smile")
  if "smoke" in words:
    c.tasks = ("known_mi:1v1-normal-0.75", "mixtures:shift")
    c.methods = ("auto",)
    c.sizes = (1_000,)
    c.draws = 2
    c.mi.schedule = dict(epochs=10)
  return c
