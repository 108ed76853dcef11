"""Removes an attribute in training or after it, and judges what is left, at what cost."""

from ovl.run import runner
from ovl.unlearn.settings import Settings as Settings

run = runner("unlearn")
