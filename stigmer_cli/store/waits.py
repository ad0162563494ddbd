"""Executions that wait: a run reports that it has to, and a decision, a time or a person ends the wait.

report ──▶ waiting, and the run counts no more
event  ──▶ one that it listens for has come in: the next epoch is in the queue, in the commit of the event
decide ──▶ the last open call of a wait is decided: the next epoch is in the queue, in the same commit
end    ──▶ an execution that it waits for has ended: the same, in the commit of that end
wake   ──▶ the time has come: the same

A wait that began ahead of now was written before the clock was set back. `correct_times` has it begin now, so that it
lasts as long as it was meant to, and not as long as the clock was wrong in addition.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import BindParameter, Integer, RowMapping, bindparam, func, select, update

from stigmer_cli.api.decisions import DecideOutcome
from stigmer_cli.clock import CLOCKS_APART
from stigmer_cli.domain.execution import EventType, Outcome
from stigmer_cli.domain.identity import ExecutionId, RunId, StoreId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import StepState
from stigmer_cli.domain.task import TaskState
from stigmer_cli.domain.waiting import CallDecision, WaitFor, Waiting, describe_approval
from stigmer_cli.store import decisions, run_transitions, transitions
from stigmer_cli.store.children import CHILD_ENDED, has_ended
from stigmer_cli.store.columns import Moment
from stigmer_cli.store.database import Database, EventDraft, Transition, Writing, whole
from stigmer_cli.store.decisions import AskedCall, Ruling, read_decisions
from stigmer_cli.store.listeners import ARRIVED, Listener, has_arrived, listen, lock_counter
from stigmer_cli.store.mapping import map_outcome, outcome_event
from stigmer_cli.store.runs import ReportResult, check_begun, known_better
from stigmer_cli.store.statements import by_index
from stigmer_cli.store.step_rows import StepDraft, StepEnd, find_by_key, write_begun, write_end
from stigmer_cli.store.steps import park_in_the_air
from stigmer_cli.store.tables import WAKES, executions
from stigmer_cli.store.task_rows import write_tasks
from stigmer_cli.store.timers import wake_early

_ROW = executions.c
_NOW: BindParameter[datetime] = bindparam("now", type_=Moment)
_DUE = (
    by_index(select(_ROW.id), "ix_executions_wakes")
    .where(WAKES, _ROW.waiting_until <= _NOW)
    .order_by(_ROW.waiting_until, _ROW.id)
    .limit(bindparam("limit", type_=Integer))
)
_AHEAD = (
    by_index(select(_ROW.id), "ix_executions_wakes")
    .where(WAKES, _ROW.waiting_since > _NOW)
    .limit(bindparam("limit", type_=Integer))
)
_BEGINS_NOW = update(executions).where(_ROW.id == bindparam("of_id"))
_NEXT_DUE = by_index(select(func.min(_ROW.waiting_until)), "ix_executions_wakes").where(WAKES)

TIME_IS_UP = "the time that it waited for has come"
CORRECTED_MAX = 200
"""Waits that one pass has begin anew."""

DECIDED = "what it waited for is decided"


@dataclass(frozen=True, kw_only=True)
class WaitReport:
    """Why a run ends without an outcome. It goes on by itself in `delay_s` seconds; None: not by itself.

    `calls` wait for a decision. `timer` is a step that is done when the time has come. `tasks` are those of a workflow
    that changed last. Each of `listening` waits for events. It goes on when one of `children` has ended.
    """

    wait_for: WaitFor
    step: str | None
    cause: str
    delay_s: float | None = None
    calls: Sequence[AskedCall] = ()
    timer: StepDraft | None = None
    tasks: Sequence[TaskState] = ()
    listening: Sequence[Listener] = ()
    children: Sequence[ExecutionId] = ()


@dataclass(frozen=True, kw_only=True)
class Ruled:
    """What came of it, about which step, and how many calls of the execution still wait; `reason` is a sentence."""

    outcome: DecideOutcome
    phase: Phase | None
    step: str | None = None
    left: int = 0
    reason: str = ""


class WaitTable:
    """Waits and decisions. `on_timer` is called after a wait was written that a time ends."""

    def __init__(self, database: Database, store: StoreId) -> None:
        self._database = database
        self._store = store
        self.on_timer: Callable[[], None] | None = None

    @whole
    async def report(
        self, execution_id: ExecutionId, *, epoch: int, run: RunId, attempt: int, wait: WaitReport
    ) -> ReportResult:
        """The attempt ends, and nobody works on the execution until what it waits for is there.

        Where its end was asked for meanwhile, it ends; where all is decided already, it is resumed. One that is to
        pause while a step is in the air is marked for that step instead. Raises Conflict for an attempt that has not
        begun.
        """
        async with self._database.writing() as writing:
            if wait.listening:  # before the row: see listeners.py
                await lock_counter(writing)
            row = await writing.lock_row(execution_id)
            if (known := known_better(row, epoch, run, attempt)) is not None or row is None:
                return known or ReportResult.STALE
            check_begun(row, attempt)
            await self._wait(writing, row, attempt, wait)
        if wait.delay_s is not None and self.on_timer is not None:
            self.on_timer()
        return ReportResult.TAKEN

    async def _wait(self, writing: Writing, row: RowMapping, attempt: int, wait: WaitReport) -> None:
        id_, epoch = row["id"], row["epoch"]
        await write_tasks(writing, id_, wait.tasks)
        if row["cancel_requested_at"] is not None:
            outcome = Outcome(phase=Phase.CANCELLED, error=transitions.CANCELLED_WAITING)
            ended = Transition(
                guards=(transitions.may_become(outcome.phase),),
                expects=transitions.expect(epoch=epoch),
                values=map_outcome(outcome, writing.now),
                event=outcome_event(outcome),
            )
            await writing.change(id_, ended)
            return
        if wait.wait_for.is_pause and await park_in_the_air(writing, row):
            return  # a person has to decide about the step first: to repair the cause is not enough
        if wait.timer is not None:
            before = await find_by_key(writing, id_, wait.timer.key)
            await write_begun(writing, row, attempt, wait.timer, before=before)
        left = await decisions.ask(writing, id_, wait.calls)
        waiting = Waiting(
            wait_for=wait.wait_for,
            step=left[0].step if left else wait.step,
            since=writing.now,
            until=None if wait.delay_s is None else writing.now + timedelta(seconds=wait.delay_s),
            cause=wait.cause,
        )
        data = {"tool": left[0].tool, "calls": len(left)} if left else {}
        await writing.change(id_, run_transitions.wait(waiting, data, epoch=epoch))
        if wait.calls and not left:
            await writing.change(id_, transitions.wake(self._store, DECIDED, epoch=epoch, now=writing.now))
        if wait.children and await has_ended(writing, wait.children):
            await wake_early(writing, self._store, id_, CHILD_ENDED, epoch=epoch)
        elif wait.listening and await has_arrived(writing, wait.listening):
            await wake_early(writing, self._store, id_, ARRIVED, epoch=epoch)
        elif wait.listening:
            await listen(writing, id_, epoch, wait.listening)

    @whole
    async def decide(self, execution_id: ExecutionId, step: str | None, ruling: Ruling) -> Ruled:
        """Record what a person decided about the call of `step`, or about the only one that waits.

        With the last decision of a wait the execution is in the queue again. The same decision twice counts once.
        """
        async with self._database.writing(is_deferrable=True) as writing:
            row = await writing.lock_row(execution_id)
            if row is None:
                return Ruled(outcome=DecideOutcome.MISSING, phase=None)
            phase = Phase(row["phase"])
            pending = await decisions.read_pending(writing.connection, execution_id) if _asks(row) else []
            chosen = [call for call in pending if step in (None, call.step)]
            if len(chosen) != 1:
                return await _refuse(writing, row, step, ruling, many=len(chosen))
            call = chosen[0]
            await decisions.write_ruling(writing, execution_id, call.step, ruling)
            rest = [other for other in pending if other.step != call.step]
            values = {"waiting_step": rest[0].step, "waiting_cause": describe_approval(rest[0].tool)} if rest else {}
            text = f"{ruling.verdict}: {call.tool} (step {call.step})" + (f": {ruling.reason}" if ruling.reason else "")
            told = EventDraft(
                type=EventType.DECIDED,
                text=text,
                data={"step": call.step, "tool": call.tool, "verdict": ruling.verdict},
            )
            await writing.change(
                execution_id,
                Transition(expects={"epoch": row["epoch"]}, values=values, event=told),
            )
            if not rest:
                woken = transitions.wake(self._store, DECIDED, epoch=row["epoch"], now=writing.now)
                await writing.change(execution_id, woken)
                phase = Phase.PENDING
            return Ruled(outcome=DecideOutcome.DECIDED, phase=phase, step=call.step, left=len(rest))

    @whole
    async def read_decisions(self, execution_id: ExecutionId) -> Sequence[CallDecision]:
        """All that was asked about an execution, and what was decided, oldest first."""
        async with self._database.reading() as connection:
            return await read_decisions(connection, execution_id)

    @whole
    async def find_due(self, now: datetime, *, limit: int) -> Sequence[ExecutionId]:
        """Up to `limit` executions whose wait is over at `now`, longest first."""
        async with self._database.reading() as connection:
            return list(await connection.scalars(_DUE, {"now": now, "limit": limit}))

    @whole
    async def next_due_at(self) -> datetime | None:
        """When the next wait is over; None if no wait ends by itself."""
        async with self._database.reading() as connection:
            found: datetime | None = await connection.scalar(_NEXT_DUE)
            return found

    @whole
    async def correct_times(self) -> int:
        """Have waits that began ahead of now begin now, up to `CORRECTED_MAX`; returns how many did."""
        ahead_of = self._database.clock.now() + CLOCKS_APART
        async with self._database.reading() as connection:
            ahead = list(await connection.scalars(_AHEAD, {"now": ahead_of, "limit": CORRECTED_MAX}))
        corrected = 0
        for id_ in ahead:
            async with self._database.writing() as writing:
                row = await writing.lock_row(id_)
                if row is None or row["waiting_until"] is None or row["waiting_since"] <= writing.now:
                    continue
                left = row["waiting_until"] - row["waiting_since"]
                values = {"of_id": id_, "waiting_since": writing.now, "waiting_until": writing.now + left}
                await writing.connection.execute(_BEGINS_NOW, values)
                corrected += 1
        return corrected

    @whole
    async def wake(self, execution_id: ExecutionId) -> bool:
        """End a wait whose time has come, and record its timer as done; False if there is none."""
        async with self._database.writing() as writing:
            row = await writing.lock_row(execution_id)
            until: datetime | None = None if row is None else row["waiting_until"]
            if row is None or until is None or until > writing.now:
                return False
            timer = await find_by_key(writing, execution_id, row["waiting_step"]) if row["waiting_step"] else None
            if timer is not None and timer["state"] == StepState.BEGUN:
                await write_end(writing, timer, StepEnd(state=StepState.DONE, result="null"))
            woken = transitions.wake(self._store, TIME_IS_UP, epoch=row["epoch"], now=writing.now)
            return bool(await writing.change(execution_id, woken))


def _asks(row: RowMapping) -> bool:
    """Whether it waits for decisions about calls."""
    return bool(row["waiting_for"] == WaitFor.APPROVAL)


async def _refuse(writing: Writing, row: RowMapping, step: str | None, ruling: Ruling, *, many: int) -> Ruled:
    """Why nothing was decided; a decision that was made before, exactly so, counts as made now."""
    id_, phase = row["id"], Phase(row["phase"])
    known = await decisions.find(writing, id_, step) if step else None
    if known is not None and known["verdict"] is not None:
        is_same = (known["verdict"], known["reason"] or "", known["new_arguments"]) == (
            ruling.verdict,
            ruling.reason,
            ruling.arguments,
        )
        outcome = DecideOutcome.DECIDED if is_same else DecideOutcome.DECIDED_BEFORE
        return Ruled(outcome=outcome, phase=phase, step=step, reason="" if is_same else f"it was {known['verdict']}")
    if phase.is_terminal:
        return Ruled(outcome=DecideOutcome.ENDED, phase=phase, reason=f"it is {phase}")
    if many:
        return Ruled(outcome=DecideOutcome.SEVERAL, phase=phase, left=many, reason=f"{many} calls wait: name one")
    about = f"no decision about {step}" if step and _asks(row) else "no decision"
    return Ruled(outcome=DecideOutcome.NOT_WAITING, phase=phase, reason=f"it waits for {about}")
