"""Erasers: what removes a concept from given rows. One file each, found by its name."""
