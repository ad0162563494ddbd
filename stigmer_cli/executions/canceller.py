"""The canceller: passes the request to end an execution on to Temporal, and carries it out where Temporal does not.

    wanted ──cancel──▶ delivered ──the run reports CANCELLED──▶ ended
                           │
                           └──not within PATIENCE_S──▶ terminated at Temporal ──▶ ended as CANCELLED, by force

A run learns of a cancellation only through its code. If the code cannot continue (no runner, or one whose code does not
fit the run), only terminating ends the run. What it still reports is refused, because its row is terminal.
"""

import asyncio
from collections import deque

import structlog

from stigmer_cli.clock import Clock, until_next_s
from stigmer_cli.domain.execution import Execution, Outcome
from stigmer_cli.domain.identity import ExecutionId, WorkflowName
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import ServerBusy, StigmerError, TemporalUnavailable
from stigmer_cli.executions.notifier import OTHER_SERVERS_S
from stigmer_cli.executions.temporal_api import TemporalGateway, TemporalLink
from stigmer_cli.store.store import Store
from stigmer_cli.time_format import span
from stigmer_cli.waits import wait_at_most

BATCH_MAX = 10_000
ABANDONED_MAX = 200

PATIENCE_S = 30.0
"""How long Temporal and a runner may take to carry out a cancellation, counted from when it was asked for."""

PATIENCE_MIN_S = 5.0
"""The least that is left of it once this process has seen the request: Temporal may have been away until now."""

REASON = f"cancelled through Stigmer, and not ended {span(PATIENCE_S)} later"
WITHDRAWN = "Stigmer does not wait for it any more: it was cancelled before its claim, or started over"
FORCED = f"cancelled by force: its run had not ended {span(PATIENCE_S)} after it was asked to"
EFFECTS: dict[Phase, str] = {
    Phase.PENDING: "no run of it had an effect",
    Phase.IN_PROGRESS: "effects may have happened, and what its run still reports is refused",
}

Key = tuple[ExecutionId, int]

log = structlog.get_logger()


class Canceller:
    """Delivers each request once per connection; a run that does not report CANCELLED in time is terminated."""

    def __init__(self, store: Store, gateway: TemporalGateway, link: TemporalLink, *, clock: Clock) -> None:
        self._store = store
        self._gateway = gateway
        self._link = link
        self._clock = clock
        self._nudged = asyncio.Event()
        self._delivered: set[Key] = set()
        self._deadlines: dict[Key, float] = {}
        self._withdrawn: deque[WorkflowName] = deque(maxlen=BATCH_MAX)
        self._generation = 0

    def nudge(self) -> None:
        """Somebody wants an execution to end: look now."""
        self._nudged.set()

    def withdraw(self, workflow: WorkflowName) -> None:
        """Nobody waits for this workflow any more: end it without asking its code, as soon as Temporal can be told.

        A run that begins all the same loses its claim and ends without effect, but a run whose code does not fit ends
        in no other way. If the server ends first, Temporal is not told.
        """
        self._withdrawn.append(workflow)
        self._nudged.set()

    async def run(self) -> None:
        """Deliver for ever; raises what the store raises."""
        while True:
            self._nudged.clear()
            writes = self._store.writes
            await self.run_once()
            await self._idle(writes)

    async def _idle(self, writes: int | None) -> None:
        """Return when nudged, or after `OTHER_SERVERS_S`.

        If nothing is to be ended, and only this process writes, that is not before one more than `writes` was made.
        """
        while not await wait_at_most(until_next_s(OTHER_SERVERS_S, self._clock), self._nudged.wait()):
            is_unchanged = writes is not None and writes == self._store.writes
            if self._deadlines or self._withdrawn or not is_unchanged:
                return

    async def run_once(self) -> int:
        """One pass; how many requests were delivered."""
        if self._generation != self._link.generation:
            self._generation = self._link.generation
            self._delivered.clear()  # a Temporal that came back may have forgotten
        await self._terminate_withdrawn()
        await self._cancel_abandoned()
        found = await self._store.executions.find_cancel_requested(limit=BATCH_MAX)
        wanted = {(execution.id, execution.epoch): execution for execution in found}
        self._delivered &= wanted.keys()
        self._deadlines = {key: deadline for key, deadline in self._deadlines.items() if key in wanted}
        delivered = 0
        for key, execution in wanted.items():
            # Counted from the first look: a link that flaps, or stays away, must not delay the end for ever.
            deadline = self._deadlines.setdefault(key, self._clock.monotonic() + self._patience_s(execution))
            if self._clock.monotonic() >= deadline:
                await self._end_by_force(execution)
            elif key not in self._delivered:
                delivered += await self._deliver(execution)
        return delivered

    async def _cancel_abandoned(self) -> None:
        """Have those end that only an execution waited for which has ended itself."""
        while abandoned := await self._store.children.find_abandoned(limit=ABANDONED_MAX):
            try:
                ended = await self._store.children.end_abandoned(abandoned)
            except ServerBusy:  # they are found in the next pass
                return
            if not ended:
                return
            log.info("children_cancelled", number=len(ended), first=ended[0])

    async def _terminate_withdrawn(self) -> None:
        while self._withdrawn:
            workflow = self._withdrawn.popleft()
            try:
                await self._gateway.terminate(workflow, reason=WITHDRAWN)
            except TemporalUnavailable:
                self._withdrawn.appendleft(workflow)
                return
            except StigmerError as error:
                log.info("withdrawn_without_word", workflow=workflow.id, cause=error.message)

    async def _deliver(self, execution: Execution) -> bool:
        try:
            await self._gateway.cancel(execution.workflow)
        except TemporalUnavailable:
            return False
        except StigmerError as error:
            log.warning("cancel_failed", execution=execution.id, epoch=execution.epoch, cause=str(error))
            return False
        self._delivered.add((execution.id, execution.epoch))
        return True

    def _patience_s(self, execution: Execution) -> float:
        """What is left of `PATIENCE_S`, within limits because the wall clock may have jumped."""
        asked_at = execution.cancel_requested_at
        waited_s = 0.0 if asked_at is None else (self._clock.now() - asked_at).total_seconds()
        return min(max(PATIENCE_S - waited_s, PATIENCE_MIN_S), PATIENCE_S)

    async def _end_by_force(self, execution: Execution) -> None:
        """Terminate the workflow if Temporal can be told, and end the row; tried again where the row moved."""
        names = {"execution": execution.id, "epoch": execution.epoch}
        detail, was_open = await self._terminate(execution)
        outcome = Outcome(phase=Phase.CANCELLED, error=f"{FORCED}; {EFFECTS[execution.phase]}")
        ended = await self._store.executions.conclude(
            execution.id, epoch=execution.epoch, version=execution.version, outcome=outcome, detail=detail
        )
        if was_open is None:
            self._withdrawn.append(execution.workflow)
        if ended:
            log.warning("cancelled_by_force", was_open=was_open, phase=execution.phase, **names)

    async def _terminate(self, execution: Execution) -> tuple[str, bool | None]:
        """What became of the workflow, in words, and whether it was open; None where Temporal could not be told.

        A workflow that is left open changes nothing any more: its row has ended, so that every report is refused. It is
        terminated once Temporal can be told.
        """
        try:
            was_open = await self._gateway.terminate(execution.workflow, reason=REASON)
        except StigmerError as error:
            log.warning("terminate_failed", execution=execution.id, epoch=execution.epoch, cause=str(error))
            return f"Temporal could not be told: {error.message}", None
        return ("terminated in Temporal" if was_open else "Temporal had no open workflow of it"), was_open
