"""`ovl memorise`: unique features and rare spurious patterns, against untouched twins."""

from ovl.memorise import page
from ovl.memorise.settings import Settings
from ovl.memorise.study import study
from ovl.run import Verb

VERB = Verb(
  said="does the network remember a pattern of a few training images, or of one? Against "
  "twins that never saw it",
  study=study,
  page=page,
  config="memorise",
  settings={"memorise": Settings},
)
