"""The journals of executions: what a run writes about its steps, and what is read of them.

`begin` finds                                                    and answers
nothing                                                          go: it is BEGUN now
BEGUN by this very call, whose answer was lost                   go: the caller has not acted yet
BEGUN by another call, effect none or repeatable                 go: taken over, one attempt more
BEGUN by another call, effect once                               unknown: marked UNKNOWN, and so is the execution
UNKNOWN                                                          unknown: the execution is marked where it is not
DONE, FAILED or SKIPPED, with the same input                     recorded
DONE, FAILED or SKIPPED, with another input                      mismatch: the execution is marked
the first turn so, which saw exchanges that are deleted          recorded: nobody can make that input again
(the caller's epoch, run or attempt does not count any more)     stale

Of the attempts of an execution one counts. So a step that another call began was begun by an attempt that is gone, or
by one that Temporal has handed out twice.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Integer, RowMapping, Select, bindparam, func, select

from stigmer_cli.clock import iso
from stigmer_cli.domain.execution import AttentionCode, TokenUsage
from stigmer_cli.domain.identity import ExecutionId, RunId
from stigmer_cli.domain.step import FIRST_TURN, RECORDED, BeginAnswer, Effect, Step, StepKind, StepState
from stigmer_cli.errors import Conflict
from stigmer_cli.store import transitions
from stigmer_cli.store.conversations import has_lost_exchanges
from stigmer_cli.store.database import Database, Transition, Writing, whole
from stigmer_cli.store.runs import ReportResult, check_begun, known_better
from stigmer_cli.store.step_contents import RecordedPage, StepContents, read_contents, read_recorded, read_result
from stigmer_cli.store.step_rows import (
    EndedStep,
    StepDraft,
    StepEnd,
    count_step,
    find_by_key,
    mark_unknown,
    no_such_step,
    step_of,
    write_begun,
    write_end,
    write_ended,
)
from stigmer_cli.store.tables import IN_THE_AIR, steps
from stigmer_cli.store.transitions import expect
from stigmer_cli.store.usage import add_step_usage

_OF = steps.c
_ITS = _OF.execution_id == bindparam("id")
_LIMIT = bindparam("limit", type_=Integer)
_AFTER = select(steps).where(_ITS, _OF.seq > bindparam("after", type_=Integer)).order_by(_OF.seq).limit(_LIMIT)
_LAST = select(steps).where(_ITS).order_by(_OF.seq.desc()).limit(_LIMIT)
_COUNT = select(func.count()).select_from(steps).where(_ITS)
_BEGUN_ONCE = select(steps).where(_ITS, IN_THE_AIR, _OF.state == StepState.BEGUN).order_by(_OF.seq)
_BY_NUMBER = select(steps).where(_ITS, _OF.seq == bindparam("seq", type_=Integer))
_BY_KEY = select(steps).where(_ITS, _OF.key == bindparam("key"))


@dataclass(frozen=True, kw_only=True)
class Begun:
    """What became of a `begin`: the answer, and for `recorded` the step with its result (JSON text).

    `reason` is why a person has to decide, for `unknown` and `mismatch`.
    """

    answer: BeginAnswer
    step: Step | None = None
    result: str | None = None
    reason: str = ""


class StepTable:
    """Journals. What runs write is guarded as in `runs.py`; sent twice it counts once.

    `on_usage` is told what a step used, once, when that is on disk.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.on_usage: Callable[[TokenUsage], None] | None = None

    @whole
    async def begin(
        self, execution_id: ExecutionId, *, epoch: int, run: RunId, attempt: int, draft: StepDraft
    ) -> Begun:
        """Have a step begin, or say why it must not; raises Conflict for an attempt that has not begun itself."""

        async def write(writing: Writing) -> Begun:
            execution = await writing.lock_row(execution_id)
            if execution is None or known_better(execution, epoch, run, attempt) is not None:
                return Begun(answer=BeginAnswer.STALE)
            check_begun(execution, attempt)
            row = await find_by_key(writing, execution_id, draft.key)
            if row is not None:
                found = await _judge(writing, execution, row, draft)
                if found.answer is not BeginAnswer.GO or row["nonce"] == draft.nonce:
                    return found
            await write_begun(writing, execution, attempt, draft, before=row)
            return Begun(answer=BeginAnswer.GO)

        return await self._database.write(write)

    @whole
    async def finish(
        self, execution_id: ExecutionId, *, epoch: int, run: RunId, attempt: int, step: EndedStep
    ) -> ReportResult:
        """Record how a step ended: TAKEN, or STALE where another attempt, or another call, has the step now.

        A step of effect `none` or `repeatable` may end without having begun here; raises Conflict for any other.
        """
        report, is_new = await self._finish(execution_id, epoch=epoch, run=run, attempt=attempt, step=step)
        if is_new and self.on_usage is not None:
            self.on_usage(count_step(step.draft.kind, step.draft.name, step.end))
        return report

    async def _finish(
        self, execution_id: ExecutionId, *, epoch: int, run: RunId, attempt: int, step: EndedStep
    ) -> tuple[ReportResult, bool]:
        """What became of the report, and whether it is recorded just now."""

        async def write(writing: Writing) -> tuple[ReportResult, bool]:
            execution = await writing.lock_row(execution_id)
            if execution is None or known_better(execution, epoch, run, attempt) is not None:
                return ReportResult.STALE, False
            check_begun(execution, attempt)
            row = await find_by_key(writing, execution_id, step.draft.key)
            if row is not None and row["nonce"] == step.draft.nonce:
                return await _end(writing, execution, row, step.end)
            if row is not None and not _may_take_over(row, epoch, run, attempt):
                return ReportResult.STALE, False
            if step.draft.effect is Effect.ONCE:
                raise Conflict(f"step {step.draft.key} of {execution_id} has not begun, and its effect is once")
            await write_ended(writing, execution, attempt, step)
            await _count_usage(writing, execution, step.draft.kind, step.draft.name, step.end)
            return ReportResult.TAKEN, True

        return await self._database.write(write)

    @whole
    async def cut_off(
        self, execution_id: ExecutionId, *, epoch: int, run: RunId, attempt: int, below: Sequence[str], end: StepEnd
    ) -> int | None:
        """End the steps of effect `once` that have begun at or `below` these keys, where no attempt comes again.

        How many such steps are left elsewhere; None where this attempt counts no more. What a person has to decide
        about stays so. Nothing tells whose they are: a Temporal that was restored performs an attempt once more.
        """

        async def write(writing: Writing) -> int | None:
            execution = await writing.lock_row(execution_id)
            if execution is None or known_better(execution, epoch, run, attempt) is not None:
                return None
            check_begun(execution, attempt)
            found = (await writing.connection.execute(_BEGUN_ONCE, {"id": execution_id})).mappings().all()
            left = 0
            for row in found:
                if any(row["key"] == key or row["key"].startswith(f"{key}/") for key in below):
                    await write_end(writing, row, end)
                else:
                    left += 1
            return left

        return await self._database.write(write)

    async def read_recorded(self, execution_id: ExecutionId, *, after: int) -> RecordedPage:
        """The recorded steps after number `after` with their results, as many as one page holds."""
        async with self._database.reading() as connection:
            return await read_recorded(connection, execution_id, after=after)

    async def list(self, execution_id: ExecutionId, *, after: int, limit: int) -> Sequence[Step]:
        """Up to `limit` steps after number `after`, in order of beginning."""
        return await self._some(_AFTER, {"id": execution_id, "after": after, "limit": limit})

    async def list_last(self, execution_id: ExecutionId, *, limit: int) -> Sequence[Step]:
        """The last `limit` steps, in order of beginning."""
        return (await self._some(_LAST, {"id": execution_id, "limit": limit}))[::-1]

    @whole
    async def count(self, execution_id: ExecutionId) -> int:
        """How many steps there are."""
        async with self._database.reading() as connection:
            return int(await connection.scalar(_COUNT, {"id": execution_id}) or 0)

    @whole
    async def read_contents(self, execution_id: ExecutionId, reference: int | str) -> StepContents:
        """The step with that number or that key, its input and its result; raises NotFound."""
        query = _BY_NUMBER if isinstance(reference, int) else _BY_KEY
        async with self._database.reading() as connection:
            found = await connection.execute(query, {"id": execution_id, "seq": reference, "key": reference})
            row = found.mappings().one_or_none()
            if row is None:
                raise no_such_step(execution_id, reference)
            return await read_contents(connection, row)

    async def _some(self, query: Select[Any], asked: Mapping[str, object]) -> Sequence[Step]:
        async with self._database.reading() as connection:
            return [step_of(row) for row in (await connection.execute(query, asked)).mappings()]


async def _judge(writing: Writing, execution: RowMapping, row: RowMapping, draft: StepDraft) -> Begun:
    """What to answer about a step that has a row, after marking what only a person can decide about."""
    step = step_of(row)
    if step.state in RECORDED:
        if step.input_hash == draft.input_hash or await _saw_what_is_gone(writing, step, execution["id"]):
            result = await read_result(writing.connection, row)
            return Begun(answer=BeginAnswer.RECORDED, step=step, result=result)
        reason = describe_mismatch(step)
        await _mark(writing, execution, AttentionCode.JOURNAL_MISMATCH, reason)
        return Begun(answer=BeginAnswer.MISMATCH, step=step, reason=reason)
    if row["nonce"] == draft.nonce and step.state is StepState.BEGUN:
        return Begun(answer=BeginAnswer.GO)
    if not step.is_in_the_air:
        return Begun(answer=BeginAnswer.GO)
    if step.state is StepState.BEGUN:
        await mark_unknown(writing, row)
        step = replace(step, state=StepState.UNKNOWN)
    reason = describe_unknown(step)
    await _mark(writing, execution, AttentionCode.EFFECT_UNKNOWN, reason)
    return Begun(answer=BeginAnswer.UNKNOWN, step=step, reason=reason)


async def park_in_the_air(writing: Writing, execution: RowMapping) -> bool:
    """Mark the execution, whose attempt has ended, for a person to decide about its first step in the air.

    Returns whether there is one.
    """
    query = select(steps).where(steps.c.execution_id == execution["id"], IN_THE_AIR).order_by(steps.c.seq).limit(1)
    row = (await writing.connection.execute(query)).mappings().first()
    if row is None:
        return False
    if row["state"] == StepState.BEGUN:
        await mark_unknown(writing, row)
    await _mark(writing, execution, AttentionCode.EFFECT_UNKNOWN, describe_unknown(step_of(row)))
    return True


async def _saw_what_is_gone(writing: Writing, step: Step, id_: ExecutionId) -> bool:
    """Whether the input of the step cannot be the same again: it held exchanges that were deleted since."""
    return step.key == FIRST_TURN and await has_lost_exchanges(writing.connection, id_)


def _may_take_over(row: RowMapping, epoch: int, run: RunId, attempt: int) -> bool:
    """Whether an attempt that performed the step of `row` without beginning it may record it all the same."""
    is_gone = (row["epoch"], row["run"], row["attempt"]) != (epoch, run, attempt)
    return is_gone and row["state"] == StepState.BEGUN and row["effect"] != Effect.ONCE


def describe_unknown(step: Step) -> str:
    """Why a person has to decide about a step in the air, as a sentence that names step, tool, time and runner."""
    return (
        f"step {step.key} ({step.kind} {step.name}) began at {iso(step.started_at)} on runner {step.runner}, which is "
        "gone, and nothing says whether it took effect"
    )


def describe_mismatch(step: Step) -> str:
    """Why a person has to decide about a step that was recorded with another input."""
    return (
        f"step {step.key} ({step.kind} {step.name}) was recorded at {iso(step.completed_at or step.started_at)} with "
        "another input: what this execution does has changed since"
    )


async def _mark(writing: Writing, execution: RowMapping, code: AttentionCode, reason: str) -> None:
    marked = transitions.mark(code, reason, epoch=execution["epoch"], version=None, now=writing.now)
    await writing.change(execution["id"], marked)


async def _end(writing: Writing, execution: RowMapping, row: RowMapping, end: StepEnd) -> tuple[ReportResult, bool]:
    """Record the end of a step that this call began; a second time it is taken, and changes nothing."""
    if row["state"] in {StepState.DONE, StepState.FAILED}:
        return ReportResult.TAKEN, False
    if row["state"] != StepState.BEGUN:
        return ReportResult.STALE, False
    await write_end(writing, row, end)
    await _count_usage(writing, execution, row["kind"], row["name"], end)
    return ReportResult.TAKEN, True


async def _count_usage(writing: Writing, execution: RowMapping, kind: str, name: str, end: StepEnd) -> None:
    used = count_step(StepKind(kind), name, end)
    values = {"usage": add_step_usage(execution["usage"], used)}
    await writing.change(execution["id"], Transition(expects=expect(epoch=execution["epoch"]), values=values))
