"""What networks remember of single examples, and whether it is more than chance."""

from ovl.memorise.api import memorise as memorise
from ovl.memorise.settings import Settings as Settings
from ovl.run import runner

run = runner("memorise")
