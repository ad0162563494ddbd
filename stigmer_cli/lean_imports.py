"""Imports without what is never used: that was a quarter of the time that a part takes to start."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

USUAL = gc.get_threshold()
FIRST_COLLECTION = 100_000
"""So many objects a command makes before Python first looks for garbage: more than most commands ever make."""

TERMINAL = ("rich", "pygments")
"""Libraries that print on a terminal; who imports them has a way without them."""


def postpone_collections() -> None:
    """Have Python look for garbage less often, as suits a process that soon ends."""
    gc.set_threshold(FIRST_COLLECTION, *USUAL[1:])


@contextmanager
def lean_imports() -> Iterator[None]:
    """Import the modules of a part in here; afterwards garbage is collected as usual.

    - Python collects no garbage meanwhile: there is none, and each look at a hundred thousand live objects takes time.
    - structlog and httpx do not find what they would print on a terminal with, and do without; a part logs JSON.
    """
    gc.disable()
    hidden = [name for name in TERMINAL if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment] # how Python marks a module that cannot be imported
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
        gc.set_threshold(*USUAL)
        gc.enable()
