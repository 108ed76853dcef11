"""Programs that measure the methods themselves, where the truth is known."""

from ovl.run import runner

run = runner("bench")
