"""What does each layer of a network know that nobody asked it to learn?"""

__version__ = "0.1.0"

from typing import TYPE_CHECKING, Any

from ovl import releases as releases
from ovl.audit import Audit as Audit
from ovl.audit import audit as audit
from ovl.eraser import FittedEraser as FittedEraser
from ovl.eraser import erase as erase
from ovl.load import load as load
from ovl.memorise import memorise as memorise
from ovl.mi import Estimate as Estimate
from ovl.mi import certify as certify
from ovl.mi import mutual_information as mutual_information
from ovl.mi.effort import effort as effort
from ovl.mi.selfcheck import selfcheck as selfcheck
from ovl.types import Attribute as Attribute
from ovl.types import BadInput as BadInput
from ovl.types import Critic as Critic
from ovl.types import Dataset as Dataset
from ovl.types import Eraser as Eraser
from ovl.types import Mitigation as Mitigation
from ovl.types import Model as Model
from ovl.types import Row as Row
from ovl.types import View as View
from ovl.unlearn import unlearn as unlearn

if TYPE_CHECKING:
  from ovl.eraser.estimator import ConceptEraser as ConceptEraser


def __getattr__(name: str) -> Any:
  """What scikit-learn's base class is needed for is imported when it is asked for."""
  if name == "ConceptEraser":
    from ovl.eraser.estimator import ConceptEraser

    return ConceptEraser
  raise AttributeError(f"module 'ovl' has no attribute {name!r}")


def __dir__() -> list[str]:
  return sorted([*globals(), "ConceptEraser"])
