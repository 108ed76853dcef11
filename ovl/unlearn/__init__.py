"""Removes an attribute in training or after it, and judges what is left, at what cost."""

from ovl.unlearn.api import Unlearning as Unlearning
from ovl.unlearn.api import run as run
from ovl.unlearn.settings import Settings as Settings
