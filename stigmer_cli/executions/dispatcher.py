"""The dispatcher: the only one that submits executions to Temporal.

A row that is PENDING and not submitted is the outbox. A pass (`submit_pass.py`) submits what is due under a workflow id
that is a function of the execution, so that crashing between any two steps, or doing it twice, starts one run.
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
from stigmer_cli.executions.congestion_window import WIDTH_MAX, CongestionWindow
from stigmer_cli.executions.group_commit import GroupCommit
from stigmer_cli.executions.notifier import OTHER_SERVERS_S
from stigmer_cli.executions.submit_failure import CountFailure, FailureDecision, WaitAgain, decide_on_failure
from stigmer_cli.executions.submit_pass import SubmitPass, SubmitResult
from stigmer_cli.executions.temporal_api import TemporalGateway, TemporalLink
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
        self._group_commit = GroupCommit(store, clock=clock)
        self._window = CongestionWindow()
        self._generation = 0
        self._strained_passes = 0
        self._nudged = asyncio.Event()
        self._submit_pass: SubmitPass | None = None
        self.observer: SubmitObserver | None = None
        self.strain: Strain | None = None

    def nudge(self) -> None:
        """Something is due: look now."""
        self._nudged.set()
        if self._submit_pass is not None:
            self._submit_pass.nudge()

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
            # How the last connection ended says nothing about how much this one takes.
            self._window = CongestionWindow()
        submit_pass = self._submit_pass = SubmitPass(self._due, self._submit, self._window, clock=self._clock)
        try:
            await submit_pass.run()
        finally:
            self._submit_pass = None
        if submit_pass.streak:
            self._strained_passes = 1 if submit_pass.taken else self._strained_passes + 1
        elif submit_pass.tried or not await self._store.executions.queued_count():
            self._strained_passes = 0
            self.strain = None if not submit_pass.strains else self.strain
        return submit_pass.tried

    async def _due(self, limit: int) -> Sequence[Execution]:
        return await self._store.executions.due(now=self._clock.now(), limit=limit)

    async def _submit(self, execution: Execution, submit_pass: SubmitPass) -> None:
        """Submit one, and mark what came of it."""
        begun_s = self._clock.monotonic()
        try:
            started = await self._gateway.start(execution.workflow, timeout_s=execution.timeout_s)
        except StigmerError as error:
            decided = decide_on_failure(error, execution, now=self._clock.now(), rng=self._rng)
            result = self._classify(decided, error)
            submit_pass.record_answer(execution.id, result, took_s=self._clock.monotonic() - begun_s)
            await self._handle_failure(execution, error, decided)
            return
        submit_pass.record_answer(execution.id, SubmitResult.TAKEN, took_s=self._clock.monotonic() - begun_s)
        await self._mark_taken(execution, started, submit_pass)
        if submit_pass.calm > WIDTH_MAX:
            self.strain = None

    async def _mark_taken(self, execution: Execution, started: Started, submit_pass: SubmitPass) -> None:
        cluster = self._link.status().cluster or ""
        taken = Taken(
            id=execution.id, epoch=execution.epoch, run_id=started.run_id, cluster=cluster, already=started.already
        )
        await self._group_commit.mark(taken, coming=submit_pass.asking)
        if self.observer:
            self.observer.submitted(already=started.already)

    def _classify(self, decided: FailureDecision, error: StigmerError) -> SubmitResult:
        """Whether a failure is the execution's own, or a sign of strain, which is noted."""
        if not isinstance(decided, WaitAgain):
            return SubmitResult.REFUSED
        since = self.strain.since if self.strain else self._clock.now()
        self.strain = Strain(since=since, cause=error.message)
        return SubmitResult.STRAIN

    async def _handle_failure(self, execution: Execution, error: StigmerError, decided: FailureDecision) -> None:
        log.warning("submit_failed", execution=execution.id, epoch=execution.epoch, code=error.code, cause=str(error))
        if self.observer:
            self.observer.submit_failed(error.code)
        await self._carry_out(execution, decided, str(error))

    async def _carry_out(self, execution: Execution, decided: FailureDecision, detail: str) -> None:
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
