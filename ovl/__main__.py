"""`python -m ovl VERB ...`: the console script, where only the interpreter is known."""

from ovl.cli import console

console()
