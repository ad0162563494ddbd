"""The checks, each beside the function that answers it; the docstring is what `stigmer doctor explain` prints."""
