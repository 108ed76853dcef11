"""The vocabulary of the house: role tuples, data types, rows and the shape letters.

Shape letters (suffix of a local array, one capital a dimension):
  S seeds (models)    L lanes: a tap, alone or with the task label    N examples
  B batch             D width of a representation                      H hidden width
  C task classes      K classes of an attribute (2 outputs, mean and log scale, where
                      the attribute is continuous)
  A attributes        T steps            F folds             P permutations
"""

from ovl.types.base import BadInput as BadInput
from ovl.types.base import Kind as Kind
from ovl.types.base import Params as Params
from ovl.types.data import Attribute as Attribute
from ovl.types.data import Dataset as Dataset
from ovl.types.data import Model as Model
from ovl.types.data import Stage as Stage
from ovl.types.methods import Critic as Critic
from ovl.types.methods import Eraser as Eraser
from ovl.types.methods import Erasure as Erasure
from ovl.types.methods import Mitigation as Mitigation
from ovl.types.methods import Score as Score
from ovl.types.results import Found as Found
from ovl.types.results import Lane as Lane
from ovl.types.results import Row as Row
from ovl.types.results import TrainState as TrainState
from ovl.types.view import View as View
