"""Imports the modules of a part without what the part never uses: that was a quarter of the time of its start."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

TERMINAL = ("rich", "pygments")
"""Libraries that print on a terminal; who imports them has a way without them."""


@contextmanager
def lean_imports() -> Iterator[None]:
    """Import the modules of a part in here.

    - Python collects no garbage meanwhile: there is none, and each look at a hundred thousand live objects takes time.
    - structlog and httpx do not find what they would print on a terminal with, and do without; a part logs JSON.
    """
    was_collecting = gc.isenabled()
    gc.disable()
    hidden = [name for name in TERMINAL if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment] # how Python marks a module that cannot be imported
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
        if was_collecting:
            gc.enable()
