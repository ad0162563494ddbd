"""Which branches of an attempt are at work: an attempt ends for a wait only when none is."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count

from stigmer_cli.workflow.duration import MS_MAX


class Activity:
    """Counts the branches that are at work, and lets the others wait meanwhile.

    A branch that has to wait while another is at work waits in the attempt, and goes on in time: what a race or a
    timeout decides does not depend on when the other one ends.
    """

    def __init__(self) -> None:
        self._at_work = 1
        self._waiting: set[tuple[int, int]] = set()
        self._numbers = count()
        self._changed = asyncio.Event()

    @contextmanager
    def work(self) -> Iterator[None]:
        """A branch is at work within it."""
        self._at_work += 1
        try:
            yield
        finally:
            self._end()

    @contextmanager
    def rest(self) -> Iterator[None]:
        """The branch itself does nothing within it: those that it began are at work."""
        self._end()
        try:
            yield
        finally:
            self._at_work += 1

    async def wait_until(self, until_ms: int, now_ms: Callable[[], int]) -> bool:
        """Return True at `until_ms`, or False before it: no branch is at work, and no other one goes on earlier."""
        return await self._wait(until_ms, lambda: until_ms - now_ms())

    async def pause(self, length_ms: int) -> bool:
        """Return True after so long, or False before it: no branch is at work, and none waits for a time."""
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + length_ms / 1_000
        return await self._wait(MS_MAX * 100, lambda: (ends_s - loop.time()) * 1_000)

    async def _wait(self, rank_ms: int, find_left_ms: Callable[[], float]) -> bool:
        turn = (rank_ms, next(self._numbers))
        self._waiting.add(turn)
        try:
            with self.rest():
                while (left_ms := find_left_ms()) > 0:
                    if self._at_work == 0 and min(self._waiting) == turn:
                        return False
                    with suppress(TimeoutError):
                        async with asyncio.timeout(left_ms / 1_000):
                            await self._changed.wait()
        finally:
            self._waiting.discard(turn)
        return True

    def _end(self) -> None:
        self._at_work -= 1
        if self._at_work == 0:
            self._changed.set()
            self._changed = asyncio.Event()
