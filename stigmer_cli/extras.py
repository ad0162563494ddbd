"""The libraries that come with an extra of the package: whether one is installed here."""

import importlib.util


def is_installed(library: str) -> bool:
    """Whether `library` can be found; it is not imported."""
    try:
        return importlib.util.find_spec(library) is not None
    except ImportError:  # a namespace such as `google` that is not there, either
        return False
