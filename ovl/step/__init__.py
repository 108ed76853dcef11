"""One pure train step: main loss, monitors, penalties and mitigations of one network."""

from ovl.step.make import Metrics as Metrics
from ovl.step.make import Step as Step
from ovl.step.make import init as init
from ovl.step.make import make_step as make_step
from ovl.step.plan import Batch as Batch
from ovl.step.plan import Plan as Plan
from ovl.step.plan import Site as Site
from ovl.step.plan import Task as Task
from ovl.step.plan import Term as Term
from ovl.step.plan import active as active
