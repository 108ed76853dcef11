"""Releases: one file each, found by name; `release(**settings)` makes a bounded release."""
