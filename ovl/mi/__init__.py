"""How much two arrays know of one another, in numbers one can quote."""

from ovl.mi.api import mutual_information as mutual_information
from ovl.mi.certify import Certificate as Certificate
from ovl.mi.certify import certify as certify
from ovl.mi.estimate import Estimate as Estimate
from ovl.mi.lanes import Settings as Settings
from ovl.mi.methods import reading as reading
