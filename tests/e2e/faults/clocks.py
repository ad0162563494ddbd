"""Faults of the clocks of a stack; after each they are right again."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.faults.harness import Harness

HOUR_S = 3600.0


@contextmanager
def server_ahead(harness: Harness) -> Iterator[None]:
    """The wall clock of the server is an hour ahead of all others; what runs meanwhile does not care."""
    harness.set_clock("server", HOUR_S)
    try:
        harness.stigmer.ok("run", "greeter", "hello", "--timeout", "30")
        yield
    finally:
        harness.set_clock("server", 0.0)
