"""Waits until executions that a reconcile put back into the queue are submitted; yields them in the plan's order.

The window is what keeps the dispatcher busy while the next page is looked at, and what keeps memory flat.
"""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace

from stigmer_cli.api.findings import ReconcileOutcome
from stigmer_cli.clock import Clock
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.executions.reconcile.apply import Applied
from stigmer_cli.store.store import Store

STALL_MAX_S = 30.0
"""How long nothing at all may be submitted before what is left in the window is reported as failed."""

LOOK_S = 0.1
LOOK_MAX = 500
"""How many, oldest first, are looked at in one go; they are submitted in about this order."""


class PendingSubmits:
    """The window. `add` what was applied; `drain` gives back, in order, what has come to its end."""

    def __init__(self, store: Store, *, clock: Clock, renew: Callable[[], Awaitable[None]]) -> None:
        self._store = store
        self._clock = clock
        self._renew = renew
        self._window: deque[Applied] = deque()
        self._waiting: dict[ExecutionId, None] = {}
        self._failed: set[ExecutionId] = set()

    def add(self, applied: Sequence[Applied]) -> None:
        """Take in what was applied; a resubmit has settled when Temporal has it, anything else at once."""
        self._window.extend(applied)
        self._waiting |= {one.move.execution.id: None for one in applied if one.done is ReconcileOutcome.RESUBMITTED}

    async def drain(self, *, leave: int) -> AsyncIterator[Applied]:
        """What has settled, until no more than `leave` wait to be submitted.

        One that needs a person, or is left when nothing moved for `STALL_MAX_S`, is yielded as FAILED. The lease is
        renewed meanwhile; raises what `renew` and the store raise.
        """
        deadline = self._clock.monotonic() + STALL_MAX_S
        while True:
            for applied in self._take_settled():
                yield applied
            if len(self._waiting) <= leave:
                return
            await self._renew()
            if await self._check_oldest():
                deadline = self._clock.monotonic() + STALL_MAX_S
            elif self._clock.monotonic() >= deadline:
                self._failed.update(self._waiting)
                self._waiting.clear()
            else:
                await self._clock.sleep(LOOK_S)

    async def _check_oldest(self) -> bool:
        """Whether one of the oldest has settled since the last look."""
        oldest = list(self._waiting)[:LOOK_MAX]
        unsubmitted = await self._store.executions.find_unsubmitted(oldest)
        self._failed.update(name for name, needs_person in unsubmitted.items() if needs_person)
        settled = [name for name in oldest if not (name in unsubmitted and not unsubmitted[name])]
        for name in settled:
            del self._waiting[name]
        return bool(settled)

    def _take_settled(self) -> Sequence[Applied]:
        """Take out everything before the first that still waits."""
        front = []
        while self._window and self._window[0].move.execution.id not in self._waiting:
            applied = self._window.popleft()
            name = applied.move.execution.id
            front.append(replace(applied, done=ReconcileOutcome.FAILED) if name in self._failed else applied)
            self._failed.discard(name)
        return front
