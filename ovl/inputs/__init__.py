"""The door: what people bring as arrays, columns and files -> plain NumPy arrays."""

from ovl.inputs.files import array as array
from ovl.inputs.files import located as located
from ovl.inputs.files import parts as parts
from ovl.inputs.holders import categorical as categorical
from ovl.inputs.holders import named as named
from ovl.inputs.holders import numbers as numbers
from ovl.inputs.holders import plain as plain
