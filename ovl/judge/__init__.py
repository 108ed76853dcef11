"""Predictions -> numbers, tests, verdicts and rows. Knows no method."""

from ovl.judge import cells as cells
from ovl.judge import rows as rows
from ovl.judge import score as score
from ovl.judge import verdict as verdict
