"""Releases: one file each, found by name; `release(**settings)` makes a bounded release."""

from ovl.releases.gaussian import release as gaussian

__all__ = ["gaussian"]
