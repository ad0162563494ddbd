"""The commands about the local stack as a whole, and about one process of it."""
