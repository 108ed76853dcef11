"""What networks remember of single examples, and whether it is more than chance."""
