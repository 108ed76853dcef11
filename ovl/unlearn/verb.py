"""`ovl unlearn`: penalties, mitigations and erasers, judged by fresh attackers."""

from ovl import grid
from ovl.report import unlearn as page
from ovl.run import Verb
from ovl.unlearn.api import study
from ovl.unlearn.settings import Settings

VERB = Verb(
  said="what is left of an attribute after penalties and erasers, and what that costs: "
  "judged by fresh attackers",
  study=study,
  page=page,
  config="colour",
  settings={"unlearn": Settings, "unlearn.schedule": grid.Schedule},
)
