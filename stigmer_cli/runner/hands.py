"""How busy a worker is: what it has in hand, since when it has had a hand free, and when it last took something up."""

from collections.abc import Iterator
from contextlib import contextmanager

from stigmer_cli.clock import Clock

ACTIVITIES_MAX = 50


class Hands:
    """Counts one worker's activities. A worker whose hands are full does not poll, and rightly so.

    Times are monotonic, in seconds; None: it never was so.
    """

    def __init__(self) -> None:
        self.took_at: float | None = None
        self._full_until: float | None = None
        self._busy = 0

    @contextmanager
    def at_work(self, clock: Clock) -> Iterator[None]:
        """One activity, from its beginning to its end."""
        self._busy += 1
        self.took_at = clock.monotonic()
        try:
            yield
        finally:
            if self._busy == ACTIVITIES_MAX:
                self._full_until = clock.monotonic()
            self._busy -= 1

    def free_s(self, *, now: float, began: float) -> float:
        """For how many seconds a worker that began at `began` could have taken up more; 0 while it cannot."""
        return now - max(began, self._full_until or began) if self._busy < ACTIVITIES_MAX else 0.0

    def idle_s(self, *, now: float, began: float) -> float:
        """For how many seconds a worker that began at `began` has taken nothing up."""
        return now - max(began, self.took_at or began)
