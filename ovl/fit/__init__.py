"""Trains S networks at once: one jitted step holds all seeds."""

from ovl.fit.early import Early as Early
from ovl.fit.lanes import TASK_ALONE as TASK_ALONE
from ovl.fit.lanes import Lanes as Lanes
from ovl.fit.lanes import Objective as Objective
from ovl.fit.lanes import Own as Own
from ovl.fit.lanes import Start as Start
from ovl.fit.program import make_program as make_program
from ovl.fit.program import programs as programs
from ovl.fit.program import schedule as schedule
from ovl.fit.rehearse import Asked as Asked
from ovl.fit.rehearse import Rehearsed as Rehearsed
from ovl.fit.rehearse import announce as announce
from ovl.fit.rehearse import rehearsing as rehearsing
from ovl.fit.settings import Settings as Settings
from ovl.fit.study import Setup as Setup
from ovl.fit.study import Study as Study
from ovl.fit.study import finite as finite
from ovl.fit.study import prepare as prepare
from ovl.fit.study import study as study
from ovl.fit.train import Nets as Nets
from ovl.fit.train import fit as fit
