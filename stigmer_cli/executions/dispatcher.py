"""The dispatcher: the only one that submits executions to Temporal.

A row that is PENDING and not submitted is the outbox. A pass (`stream.py`) submits what is due under a workflow id that
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
from stigmer_cli.domain.execution import AttentionCode, Execution
from stigmer_cli.errors import StigmerError
from stigmer_cli.executions.bell import OTHER_SERVERS_S
from stigmer_cli.executions.marking import Marking
from stigmer_cli.executions.ports import TemporalGateway, TemporalLink
from stigmer_cli.executions.ramp import WIDTH_MAX, Ramp
from stigmer_cli.executions.stream import End, Stream
from stigmer_cli.executions.verdict import CountFailure, Verdict, WaitAgain, verdict
from stigmer_cli.store.executions import Taken
from stigmer_cli.store.store import Store
from stigmer_cli.temporal.gateway import Started

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

    def given_up(self, code: AttentionCode) -> None:
        """An execution was left to a person."""


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
        self._marking = Marking(store, clock=clock)
        self._ramp = Ramp()
        self._generation = 0
        self._strained_passes = 0
        self._nudged = asyncio.Event()
        self._stream: Stream | None = None
        self.observer: SubmitObserver | None = None
        self.strain: Strain | None = None

    def nudge(self) -> None:
        """Something is due: look now."""
        self._nudged.set()
        if self._stream is not None:
            self._stream.nudge()

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
        if self._generation != self._link.generation:
            self._generation = self._link.generation
            self._ramp = Ramp()  # how the last connection ended says nothing about how much this one takes
        stream = self._stream = Stream(self._due, self._submit, self._ramp, clock=self._clock)
        try:
            await stream.run()
        finally:
            self._stream = None
        if stream.streak:
            self._strained_passes = 1 if stream.taken else self._strained_passes + 1
        elif stream.tried or not await self._store.executions.queued_count():
            self._strained_passes = 0
            self.strain = None if not stream.strains else self.strain
        return stream.tried

    async def _due(self, limit: int) -> Sequence[Execution]:
        return await self._store.executions.due(now=self._clock.now(), limit=limit)

    async def _submit(self, execution: Execution, stream: Stream) -> None:
        """Submit one, and mark what came of it."""
        begun_s = self._clock.monotonic()
        try:
            started = await self._gateway.start(execution.workflow, timeout_s=execution.timeout_s)
        except StigmerError as error:
            decided = verdict(error, execution, now=self._clock.now(), rng=self._rng)
            end = self._judged(decided, error)
            stream.answered(execution.id, end, took_s=self._clock.monotonic() - begun_s)
            await self._failed(execution, error, decided)
            return
        stream.answered(execution.id, End.TAKEN, took_s=self._clock.monotonic() - begun_s)
        await self._taken(execution, started, stream)
        if stream.calm > WIDTH_MAX:
            self.strain = None

    async def _taken(self, execution: Execution, started: Started, stream: Stream) -> None:
        world = self._link.status().world or ""
        taken = Taken(
            id=execution.id, epoch=execution.epoch, run_id=started.run_id, world=world, already=started.already
        )
        await self._marking.mark(taken, coming=stream.asking)
        if self.observer:
            self.observer.submitted(already=started.already)

    def _judged(self, decided: Verdict, error: StigmerError) -> End:
        """Whether a failure is the execution's own, or a sign of strain, which is noted."""
        if not isinstance(decided, WaitAgain):
            return End.REFUSED
        since = self.strain.since if self.strain else self._clock.now()
        self.strain = Strain(since=since, cause=error.message)
        return End.STRAIN

    async def _failed(self, execution: Execution, error: StigmerError, decided: Verdict) -> None:
        log.warning("submit_failed", execution=execution.id, epoch=execution.epoch, code=error.code, cause=str(error))
        if self.observer:
            self.observer.submit_failed(error.code)
        await self._carry_out(execution, decided, str(error))

    async def _carry_out(self, execution: Execution, decided: Verdict, detail: str) -> None:
        match decided:
            case WaitAgain(reason=reason, next_try_at=next_try_at):
                await self._store.executions.mark_queued(
                    execution.id, epoch=execution.epoch, reason=reason, detail=detail, next_try_at=next_try_at
                )
            case CountFailure(next_try_at=next_try_at, failures_max=failures_max):
                marked = await self._store.executions.mark_submit_failed(
                    execution.id,
                    epoch=execution.epoch,
                    detail=detail,
                    next_try_at=next_try_at,
                    attempts_max=failures_max,
                )
                if self.observer and marked and marked.attention:
                    self.observer.given_up(marked.attention.code)

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
