"""Data sets: one file each, found by name; `dataset(**settings) -> Dataset`."""
