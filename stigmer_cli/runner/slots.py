"""The activity slots of a worker: how many are taken, since when one has been free, and when one was last taken."""

from collections.abc import Iterator
from contextlib import contextmanager

from stigmer_cli.clock import Clock

ACTIVITIES_MAX = 50


class Slots:
    """Counts one worker's activities. A worker without a free slot does not poll, as it should.

    Times are monotonic, in seconds; None: it has not happened yet.
    """

    def __init__(self) -> None:
        self.taken_at: float | None = None
        self._full_until: float | None = None
        self._busy = 0

    @property
    def busy(self) -> int:
        """How many are taken, up to `ACTIVITIES_MAX`."""
        return self._busy

    @contextmanager
    def occupy(self, clock: Clock) -> Iterator[None]:
        """Take one slot for the block: one activity, from its beginning to its end."""
        self._busy += 1
        self.taken_at = clock.monotonic()
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
        return now - max(began, self.taken_at or began)
