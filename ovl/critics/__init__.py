"""Critics: one file each, found by name; `critic(attribute, **settings) -> Critic`."""
