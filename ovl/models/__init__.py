"""Models: one file each, found by name; `model(classes, **settings) -> Model`."""
