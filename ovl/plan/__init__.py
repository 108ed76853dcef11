"""What a verb's real step needs on machines that nobody has to have."""

from ovl.plan.chips import Chip as Chip
from ovl.plan.chips import chips as chips
from ovl.plan.steps import Plan as Plan
from ovl.plan.steps import asked as asked
from ovl.plan.steps import plan as plan
from ovl.plan.table import text as text
