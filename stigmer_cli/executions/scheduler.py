"""The scheduler: has workflows run when they are due.

The row says when that is, so that it also holds for a server that was down at the time, and for any other one: times
that nobody saw to are made up for by one execution. Temporal is not asked: what is accepted waits for it as all does.
"""

import asyncio
from collections.abc import Callable

import structlog

from stigmer_cli.clock import Clock
from stigmer_cli.executions.notifier import OTHER_SERVERS_S
from stigmer_cli.store.store import Store
from stigmer_cli.waits import wait_at_most

BATCH = 50
IDLE_MAX_S = 60.0
ENDED_EVERY_S = 2.0
"""How often it looks whether an execution has ended that another one is to follow, while there is such a schedule."""

CORRECT_EVERY_S = 50.0
"""How often it looks for times that a clock which was ahead has set, and tries again what had no time."""

log = structlog.get_logger()


class Scheduler:
    """Accepts what is due; `started` is called when something is in the queue."""

    def __init__(self, store: Store, *, clock: Clock, started: Callable[[], None]) -> None:
        self._store = store
        self._clock = clock
        self._started = started
        self._nudged = asyncio.Event()
        store.schedules.on_change = self.nudge

    def nudge(self) -> None:
        """Times were set, or the clock was: look now."""
        self._nudged.set()

    async def run(self) -> None:
        """Start what is due for ever; raises what the store raises."""
        corrected_s = -CORRECT_EVERY_S
        while True:
            if self._clock.monotonic() - corrected_s >= CORRECT_EVERY_S:
                corrected_s = self._clock.monotonic()
                if number := await self._store.schedules.correct_times():
                    log.info("schedules_corrected", number=number)
            self._nudged.clear()
            if await self.run_once() < BATCH:
                await wait_at_most(await self._find_idle_s(), self._nudged.wait())

    async def run_once(self) -> int:
        """Start what is due, up to `BATCH`; how many were found."""
        for workflow, trigger in await self._store.schedules.find_ended(limit=BATCH):
            await self._store.schedules.set_next(workflow, trigger)
        due = await self._store.schedules.find_due(self._clock.now(), limit=BATCH)
        for workflow, trigger in due:
            started = await self._store.schedules.start(workflow, trigger)
            if started is not None:
                log.info("schedule_started", workflow=workflow, trigger=trigger, execution=started)
                self._started()
        return len(due)

    async def _find_idle_s(self) -> float:
        next_due_at = await self._store.schedules.next_due_at()
        longest_s = OTHER_SERVERS_S if self._store.is_shared else IDLE_MAX_S
        if await self._store.schedules.awaits_end():
            longest_s = min(longest_s, ENDED_EVERY_S)
        if next_due_at is None:
            return longest_s
        return min(longest_s, max(0.0, (next_due_at - self._clock.now()).total_seconds()))
