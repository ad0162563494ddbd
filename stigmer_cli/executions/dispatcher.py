"""The dispatcher: the only one that submits executions to Temporal.

A row that is PENDING and not submitted is the outbox. A pass (`submit_pass.py`) submits what is due under a workflow id
that is a function of the execution, so that crashing between any two steps, or doing it twice, starts one run.
"""

import asyncio
import math
from collections.abc import Sequence
from random import Random

from stigmer_cli.backoff import Backoff
from stigmer_cli.clock import Clock, until_next_s
from stigmer_cli.domain.execution import Execution
from stigmer_cli.executions.congestion_window import CongestionWindow
from stigmer_cli.executions.notifier import OTHER_SERVERS_S
from stigmer_cli.executions.strain import Strain, StrainWatch
from stigmer_cli.executions.submit_pass import PassResult, SubmitPass
from stigmer_cli.executions.submitter import SubmitObserver, Submitter
from stigmer_cli.executions.temporal_api import TemporalGateway, TemporalLink
from stigmer_cli.store.store import Store
from stigmer_cli.waits import wait_at_most

IDLE_MAX_S = OTHER_SERVERS_S
"""How long a row that another server wrote may go unseen; a nudge ends the wait at once."""

MOVING_S = 5.0
"""For how long after a submit the queue counts as moving."""

PAUSE = Backoff(initial_s=0.2, factor=2.0, cap_s=4.0)
"""Between passes that met nothing but strain: a Temporal that answers probes and refuses starts is not hammered."""


class Dispatcher:
    """Submits what is queued, oldest first, while Temporal is connected."""

    def __init__(
        self, store: Store, gateway: TemporalGateway, link: TemporalLink, *, clock: Clock, rng: Random
    ) -> None:
        self._store = store
        self._link = link
        self._clock = clock
        self._rng = rng
        self._submitter = Submitter(store, gateway, link, clock=clock, rng=rng)
        self._strain = StrainWatch(clock=clock)
        self._window = CongestionWindow()
        self._generation = 0
        self._strained_passes = 0
        self._nudged = asyncio.Event()
        self._pass: SubmitPass | None = None

    def observe(self, observer: SubmitObserver) -> None:
        """Tell `observer` what comes of submits."""
        self._submitter.observer = observer

    @property
    def is_submitting(self) -> bool:
        """Whether Temporal took something in the last `MOVING_S` seconds: what is queued has its turn."""
        taken_at_s = self._submitter.taken_at_s
        return taken_at_s is not None and self._clock.monotonic() - taken_at_s < MOVING_S

    @property
    def strain(self) -> Strain | None:
        """Since when and why submits have been failing; None where they have not."""
        return self._strain.now

    def nudge(self) -> None:
        """Something is due: look now."""
        self._nudged.set()
        if self._pass is not None:
            self._pass.nudge()

    async def run(self) -> None:
        """Submit for ever; raises what the store raises."""
        while True:
            await self._link.wait_connected()
            self._nudged.clear()
            generation = self._link.generation
            writes = self._store.writes
            if await self.run_once() == 0:
                await self._idle(generation, writes)
            elif self._strained_passes:
                await self._pause(generation)

    async def run_once(self) -> int:
        """One pass over what is due; how many submits were tried. Raises what the store raises."""
        if self._generation != self._link.generation:
            self._generation = self._link.generation
            # How the last connection ended says nothing about how much this one takes.
            self._window = CongestionWindow()
        self._pass = SubmitPass(self._read_due, self._submitter, self._window, self._strain, clock=self._clock)
        try:
            result = await self._pass.run()
        finally:
            self._pass = None
        await self._assess(result)
        return result.tried

    async def _assess(self, result: PassResult) -> None:
        """Whether the next pass waits for a moment, and whether the strain is over."""
        if not (result.streak or self._strained_passes or self._strain.now):
            return
        if result.streak:
            self._strained_passes = 1 if result.taken else self._strained_passes + 1
        elif result.tried or not await self._store.executions.queued_count():
            self._strained_passes = 0
            if not result.strains:
                self._strain.clear()

    async def _read_due(self, limit: int) -> Sequence[Execution]:
        return await self._store.executions.read_due(now=self._clock.now(), limit=limit)

    async def _pause(self, generation: int) -> None:
        """Leave Temporal alone for a while, longer after each strained pass; a reconnect ends it."""
        if await wait_at_most(PAUSE.delay_s(self._strained_passes, self._rng), self._link.wait_generation(generation)):
            self._strained_passes = 0

    async def _idle(self, generation: int, writes: int | None) -> None:
        """Return when nudged, when the next row is due, or after `IDLE_MAX_S`.

        If no row waits, and only this process writes, that is not before one more than `writes` was made.
        """
        next_due_at = await self._store.executions.next_due_at()
        due_s = math.inf if next_due_at is None else max(0.0, (next_due_at - self._clock.now()).total_seconds())
        while not await wait_at_most(min(due_s, until_next_s(IDLE_MAX_S, self._clock)), self._nudged.wait()):
            is_unchanged = writes is not None and writes == self._store.writes
            if next_due_at is not None or not is_unchanged or generation != self._link.generation:
                return
