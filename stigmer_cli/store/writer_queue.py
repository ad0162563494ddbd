"""The queue in front of the store's writers: who writes next, and who is told to come back later.

What runs report, and what the server's own loops write, goes before what people ask for: an execution that was accepted
is to end before another one begins. A write for a person that would wait longer than `DEFER_MAX_S` is refused, with
nothing written, and leaves its place to those that can still be served.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from stigmer_cli.errors import ServerBusy, StigmerError, StoreBusy
from stigmer_cli.time_format import span

DEFER_MAX_S = 0.5
"""How long a write for a person waits for its turn: with the write itself, its answer comes within a second."""

SMOOTHING = 0.2
"""The weight of the newest write in the mean time of one."""

WRITE_SHOWN_MAX_S = 1.0
"""A write that took longer, as when the process was frozen, says no more than this about the next ones."""

BUSY_FOR_S = 10.0
"""How long after a refusal the queue still counts as busy: load comes in waves."""


@dataclass(frozen=True, kw_only=True)
class WriterLoad:
    """How long a write would wait now, and how many waits were refused; `refused_ago_s` None: none ever was."""

    waiting: int
    wait_s: float
    refused: int
    refused_ago_s: float | None

    @property
    def is_busy(self) -> bool:
        """Whether writes for people are refused, or were a moment ago."""
        was_refused = self.refused_ago_s is not None and self.refused_ago_s < BUSY_FOR_S
        return was_refused or self.wait_s > DEFER_MAX_S

    @property
    def words(self) -> str:
        """What a person reads while it is busy."""
        refused = f"; {self.refused:,} were refused since the server started" if self.refused else ""
        return f"there is more to write than the store takes: {self.waiting} wait, {span(self.wait_s)} each{refused}"


class WriterQueue:
    """Lets `places` writers in at a time, first those of the server, then those of people, each in order of arrival."""

    def __init__(self, *, places: int, wait_max_s: float, monotonic: Callable[[], float]) -> None:
        """`wait_max_s`: how long a writer of the server waits at most."""
        self._places, self._free, self._wait_max_s = places, places, wait_max_s
        self._monotonic = monotonic
        self._own: deque[asyncio.Future[None]] = deque()
        self._deferrable: deque[asyncio.Future[None]] = deque()
        self._write_s = 0.0
        self._refused = 0
        self._refused_at_s: float | None = None

    @property
    def load(self) -> WriterLoad:
        """As it is now."""
        now = self._monotonic()
        return WriterLoad(
            waiting=len(self._own) + len(self._deferrable),
            wait_s=self._expected_s(),
            refused=self._refused,
            refused_ago_s=None if self._refused_at_s is None else now - self._refused_at_s,
        )

    def refuse_if_full(self) -> None:
        """Raise ServerBusy where a write for a person would wait too long for its turn."""
        if not self._free and self._expected_s() > DEFER_MAX_S:
            raise self._refuse()

    @asynccontextmanager
    async def turn(self, *, is_deferrable: bool) -> AsyncIterator[None]:
        """Have one of the places; raises ServerBusy (deferrable) or StoreBusy if none came free in time."""
        await self._wait(is_deferrable=is_deferrable)
        begun = self._monotonic()
        try:
            yield
        finally:
            took_s = min(self._monotonic() - begun, WRITE_SHOWN_MAX_S)
            self._write_s += SMOOTHING * (took_s - self._write_s)
            self._pass_on()

    async def _wait(self, *, is_deferrable: bool) -> None:
        if self._free:
            self._free -= 1
            return
        if is_deferrable:
            self.refuse_if_full()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._deferrable if is_deferrable else self._own
        waiting.append(turn)
        try:
            async with asyncio.timeout(DEFER_MAX_S if is_deferrable else self._wait_max_s):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._pass_on()
            elif turn in waiting:
                waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise (self._refuse() if is_deferrable else self._give_up()) from None
            raise

    def _pass_on(self) -> None:
        """Give a place to the next that waits."""
        for waiting in (self._own, self._deferrable):
            while waiting:
                turn = waiting.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
        self._free += 1

    def _expected_s(self) -> float:
        """How long the next would wait, by how long writes took lately."""
        if self._free:
            return 0.0
        return (len(self._own) + len(self._deferrable) + 1) * self._write_s / self._places

    def _refuse(self) -> StigmerError:
        wait_s = max(self._expected_s(), DEFER_MAX_S)
        self._refused += 1
        self._refused_at_s = self._monotonic()
        return ServerBusy(
            f"the server {ServerBusy.words} for a moment: a write would wait {span(wait_s)} for its turn; "
            "nothing was written",
            retry_after_s=max(1.0, wait_s),
        )

    def _give_up(self) -> StigmerError:
        return StoreBusy(
            f"this server is busy: a write waited for {span(self._wait_max_s)} for its turn",
            hint="try again in a moment, with fewer requests at a time",
        )
