"""The waker: puts executions whose time has come into the queue again.

The row says when that is, so that it also holds for a server that was down at the time, and for any other one.
"""

import asyncio
from collections.abc import Callable

import structlog

from stigmer_cli.clock import Clock
from stigmer_cli.executions.notifier import OTHER_SERVERS_S
from stigmer_cli.store.store import Store
from stigmer_cli.waits import wait_at_most

BATCH = 200
IDLE_MAX_S = 60.0
"""How long it sleeps at most where only this process writes: a clock that is set forward ends no sleep."""

CORRECT_EVERY_S = 50.0
"""How often it looks for waits that began ahead of now: one that was set and set back within a second tells nobody."""

log = structlog.get_logger()


class Waker:
    """Wakes what waits for a time; `woken` is called when something is in the queue."""

    def __init__(self, store: Store, *, clock: Clock, woken: Callable[[], None]) -> None:
        self._store = store
        self._clock = clock
        self._woken = woken
        self._nudged = asyncio.Event()
        self._clock_set = 1  # how often, and once because it may have been while no server ran
        self._corrected_for = 0
        self._corrected_s = 0.0
        store.waits.on_timer = store.cloud_events.on_due = self.nudge

    def nudge(self) -> None:
        """Something waits for a time since now: look now."""
        self._nudged.set()

    def notice_clock(self) -> None:
        """The clock was set: look now, also for waits that began ahead of it."""
        self._clock_set += 1
        self.nudge()

    async def run(self) -> None:
        """Wake for ever; raises what the store raises."""
        while True:
            self._nudged.clear()
            if await self.run_once() < BATCH:
                await wait_at_most(await self._find_idle_s(), self._nudged.wait())

    async def run_once(self) -> int:
        """Wake what is due, up to `BATCH`; how many were found."""
        if self._clock_set != self._corrected_for or self._clock.monotonic() - self._corrected_s >= CORRECT_EVERY_S:
            await self._correct()
        due = await self._store.waits.find_due(self._clock.now(), limit=BATCH)
        woken = [id_ for id_ in due if await self._store.waits.wake(id_)]
        if woken:
            log.info("executions_woken", number=len(woken), first=woken[0])
            self._woken()
        return len(due)

    async def _correct(self) -> None:
        clock_set, self._corrected_s = self._clock_set, self._clock.monotonic()  # it may be set during the look
        if corrected := await self._store.waits.correct_times():
            log.info("waits_corrected", number=corrected)
            self.nudge()  # there may be more
        else:
            self._corrected_for = clock_set

    async def _find_idle_s(self) -> float:
        next_due_at = await self._store.waits.next_due_at()
        longest_s = OTHER_SERVERS_S if self._store.is_shared else IDLE_MAX_S
        if next_due_at is None:
            return longest_s
        return min(longest_s, max(0.0, (next_due_at - self._clock.now()).total_seconds()))
