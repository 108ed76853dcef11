"""Critics over taps x seeds x attributes: one XLA program per critic and width bucket."""

from ovl.grid.measure import Readings as Readings
from ovl.grid.measure import measure as measure
from ovl.grid.measure import statistic as statistic
from ovl.grid.program import Data as Data
from ovl.grid.program import Predictions as Predictions
from ovl.grid.program import run as run
from ovl.grid.sweep import Labels as Labels
from ovl.grid.sweep import sweep as sweep
from ovl.grid.train import Schedule as Schedule
from ovl.grid.train import train as train
