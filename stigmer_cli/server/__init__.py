"""The HTTP process: the composition root, the doors and the routes."""
