"""Trains S networks at once: one jitted step holds all seeds."""

from ovl.fit.study import Ground as Ground
from ovl.fit.study import Study as Study
from ovl.fit.study import prepare as prepare
from ovl.fit.study import study as study
from ovl.fit.train import Aims as Aims
from ovl.fit.train import Nets as Nets
from ovl.fit.train import Settings as Settings
from ovl.fit.train import fit as fit
from ovl.fit.train import make_program as make_program
from ovl.fit.train import quiet as quiet
