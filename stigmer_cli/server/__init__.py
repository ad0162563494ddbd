"""The HTTP process: the composition root, the guard and the routes."""
