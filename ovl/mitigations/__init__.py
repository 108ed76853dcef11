"""Mitigations: changes of how the task is learnt. One file each, found by its name."""
