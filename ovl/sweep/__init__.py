"""Many command lines of one verb: a grid of overrides, each with a workdir of its own.

  jobs -> share -> work -> table -> page

Every step may be killed and started again: what is complete is not done twice, and the
table and the page are of what is complete at the time.
"""

from ovl.sweep.collect import collect as collect
from ovl.sweep.jobs import Job as Job
from ovl.sweep.jobs import home as home
from ovl.sweep.jobs import jobs as jobs
from ovl.sweep.jobs import share as share
from ovl.sweep.work import command as command
from ovl.sweep.work import work as work
