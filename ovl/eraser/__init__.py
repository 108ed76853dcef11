"""Erasers of one's own rows: the door, what it returns, and both as an estimator."""

from ovl.eraser.api import erase as erase
from ovl.eraser.fitted import FittedEraser as FittedEraser
