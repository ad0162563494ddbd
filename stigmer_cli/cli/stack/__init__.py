"""The commands about the local stack, and about single parts of it."""
