"""The dispatcher: the only one that submits executions to Temporal.

A row that is PENDING and not submitted is the outbox. A pass takes what is due and submits it under a workflow id that
is a function of the execution, so that crashing between any two steps, or doing it twice, starts one run.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Protocol

import structlog

from stigmer_cli.backoff import Backoff
from stigmer_cli.clock import Clock
from stigmer_cli.domain.execution import Execution
from stigmer_cli.errors import StigmerError, Unavailable
from stigmer_cli.executions.bell import OTHER_SERVERS_S
from stigmer_cli.executions.ports import TemporalGateway, TemporalLink
from stigmer_cli.executions.ramp import Ramp
from stigmer_cli.executions.verdict import CountFailure, Verdict, WaitAgain, verdict
from stigmer_cli.store.store import Store

BATCH_MAX = 256
IDLE_MAX_S = OTHER_SERVERS_S
"""How long a row that another server wrote may go unseen; a nudge ends the wait at once."""

PAUSE = Backoff(initial_s=0.2, factor=2.0, cap_s=4.0)
"""Between passes that met nothing but strain: a Temporal that answers probes and refuses starts is not hammered."""

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Strain:
    """Submits have been failing since `since`, last with `cause`, through no fault of an execution's own."""

    since: datetime
    cause: str


class SubmitObserver(Protocol):
    """Who counts what comes of submits."""

    def submitted(self, *, already: bool) -> None:
        """Temporal took one; `already`: it had it before."""

    def submit_failed(self, code: str) -> None:
        """A submit failed with an error of kind `code`."""


class Dispatcher:
    """Submits what is queued, oldest first, while Temporal is connected."""

    def __init__(
        self, store: Store, gateway: TemporalGateway, link: TemporalLink, *, clock: Clock, rng: Random
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._link = link
        self._clock = clock
        self._rng = rng
        self._ramp = Ramp()
        self._strained_passes = 0
        self._nudged = asyncio.Event()
        self.observer: SubmitObserver | None = None
        self.strain: Strain | None = None

    def nudge(self) -> None:
        """Something is due: look now."""
        self._nudged.set()

    async def run(self) -> None:
        """Submit for ever; raises what the store raises."""
        while True:
            await self._link.wait_connected()
            self._nudged.clear()
            generation = self._link.generation
            if await self.run_once() == 0:
                await self._idle()
            elif self._strained_passes:
                await self._pause(generation)

    async def run_once(self) -> int:
        """One pass over what is due; how many submits were tried. Raises what the store raises."""
        due = await self._store.executions.due(now=self._clock.now(), limit=BATCH_MAX)
        strains = await self._submit_all(due)
        if strains:
            self._ramp.strained()
            self._strained_passes += 1
        elif due:
            self._ramp.eased()
        if not strains and (due or not await self._store.executions.queued_count()):
            self._strained_passes, self.strain = 0, None
        return len(due)

    async def _submit_all(self, due: Sequence[Execution]) -> int:
        """Submit at most `width` at a time; how many met strain."""
        gate = asyncio.Semaphore(self._ramp.width)
        strains = 0
        interruptions: list[Unavailable] = []

        async def one(execution: Execution) -> None:
            nonlocal strains
            async with gate:
                if strains >= self._ramp.width or interruptions:
                    return  # Temporal has gone: the rest waits for the connection, not each for its own time-out
                try:
                    strains += await self._submit(execution)
                except Unavailable as error:  # raised below: before Python 3.13 a child must not raise in a group
                    interruptions.append(error)

        async with asyncio.TaskGroup() as group:
            for execution in due:
                group.create_task(one(execution), name=f"submit {execution.id}")
        if interruptions:
            raise interruptions[0]
        return strains

    async def _submit(self, execution: Execution) -> bool:
        """Submit one; whether Temporal showed strain."""
        try:
            started = await self._gateway.start(
                execution=execution.id,
                kind=execution.kind,
                epoch=execution.epoch,
                timeout_s=execution.timeout_s,
            )
        except StigmerError as error:
            return await self._failed(execution, error)
        world = self._link.status().cluster_id or ""
        await self._store.executions.mark_submitted(
            execution.id, epoch=execution.epoch, run_id=started.run_id, world=world, already=started.already
        )
        if self.observer:
            self.observer.submitted(already=started.already)
        return False

    async def _failed(self, execution: Execution, error: StigmerError) -> bool:
        decided = verdict(error, execution, now=self._clock.now(), rng=self._rng)
        log.warning("submit_failed", execution=execution.id, epoch=execution.epoch, code=error.code, cause=str(error))
        if self.observer:
            self.observer.submit_failed(error.code)
        await self._carry_out(execution, decided, str(error))
        is_strain = isinstance(decided, WaitAgain)
        if is_strain:
            since = self.strain.since if self.strain else self._clock.now()
            self.strain = Strain(since=since, cause=error.message)
        return is_strain

    async def _carry_out(self, execution: Execution, decided: Verdict, detail: str) -> None:
        match decided:
            case WaitAgain(reason=reason, next_try_at=next_try_at):
                await self._store.executions.mark_queued(
                    execution.id, epoch=execution.epoch, reason=reason, detail=detail, next_try_at=next_try_at
                )
            case CountFailure(next_try_at=next_try_at, failures_max=failures_max):
                await self._store.executions.mark_submit_failed(
                    execution.id,
                    epoch=execution.epoch,
                    detail=detail,
                    next_try_at=next_try_at,
                    attempts_max=failures_max,
                )

    async def _pause(self, generation: int) -> None:
        """Leave Temporal alone for a while, longer after each strained pass; a reconnect ends it."""
        try:
            async with asyncio.timeout(PAUSE.delay_s(self._strained_passes, self._rng)):
                await self._link.wait_generation(generation)
        except TimeoutError:
            return
        self._strained_passes = 0

    async def _idle(self) -> None:
        """Return when nudged, when the next row is due, or after `IDLE_MAX_S`."""
        next_due_at = await self._store.executions.next_due_at()
        wait_s = IDLE_MAX_S
        if next_due_at is not None:
            wait_s = min(wait_s, max(0.0, (next_due_at - self._clock.now()).total_seconds()))
        try:
            async with asyncio.timeout(wait_s):
                await self._nudged.wait()
        except TimeoutError:
            return
