"""How much two arrays know of one another, in numbers one can quote."""

from ovl.mi.api import mutual_information as mutual_information
from ovl.mi.estimate import Estimate as Estimate
from ovl.mi.lanes import Settings as Settings
