"""Fresh readers of taps: critics of the grid, boosted trees, and numbers of the rows."""

from ovl.readings.critics import reads as reads
from ovl.readings.readers import TREES as TREES
from ovl.readings.readers import Read as Read
from ovl.readings.readers import Readers as Readers
from ovl.readings.readers import readers as readers
from ovl.readings.readers import shuffled as shuffled
from ovl.readings.statistics import statistics as statistics
from ovl.readings.trees import note as note
