"""Critics over taps x seeds x attributes: one XLA program per critic and width bucket."""

from ovl.grid import cache as cache
from ovl.grid.program import Data as Data
from ovl.grid.program import Predictions as Predictions
from ovl.grid.program import Schedule as Schedule
from ovl.grid.program import run as run
from ovl.grid.sweep import Labels as Labels
from ovl.grid.sweep import sweep as sweep
