"""Executions: accepted once, listed, and moved only by writes that say what they expect."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Integer, Select, bindparam, func, select

from stigmer_cli.domain.execution import Execution, Outcome, QueueReason
from stigmer_cli.domain.execution_reference import IdPart
from stigmer_cli.domain.identity import ExecutionId, Kind, RunId, StoreId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import Conflict
from stigmer_cli.store import listing, transitions
from stigmer_cli.store.async_engine import AsyncConnection
from stigmer_cli.store.beginnings import add_beginnings
from stigmer_cli.store.children import ask_to_end
from stigmer_cli.store.database import Database, Transition, Writing, whole
from stigmer_cli.store.decisions import add_pending_calls
from stigmer_cli.store.due_rows import Aged, due_at, is_aged, is_due
from stigmer_cli.store.errors import missing_execution
from stigmer_cli.store.execution_counts import read_counts
from stigmer_cli.store.execution_draft import ExecutionDraft, append_accepted, first_row
from stigmer_cli.store.labels import index_labels
from stigmer_cli.store.listing import Filter, Page
from stigmer_cli.store.mapping import execution_of
from stigmer_cli.store.messages import read_messages
from stigmer_cli.store.references import find_by_part
from stigmer_cli.store.resuming import forget_in_the_air
from stigmer_cli.store.session_order import HAS_ITS_TURN, count_waiting
from stigmer_cli.store.statements import BRIEF, by_index, select_by_ids
from stigmer_cli.store.tables import CANCEL_REQUESTED, LEGACY, OPEN, QUEUED, executions
from stigmer_cli.store.with_agent import HAS_STEPS, WITH_AGENT, WithAgent, with_agent_of

_ROW = executions.c

Decided = Callable[[datetime], Transition]
"""A transition, once the moment of its transaction is known."""

_LIMIT = bindparam("limit", type_=Integer)
_ONE = select(executions, HAS_STEPS).where(_ROW.id == bindparam("id"))
_BY_KEY = select(_ROW.id, _ROW.request_hash).where(_ROW.idempotency_key == bindparam("key"))
_DUE = (
    by_index(select(*BRIEF), "ix_executions_queue")
    .where(QUEUED, is_due(_ROW.next_try_at), HAS_ITS_TURN)
    .order_by(_ROW.created_at, _ROW.id)
    .limit(_LIMIT)
)
_NEXT_DUE = by_index(select(func.min(_ROW.next_try_at)), "ix_executions_next_try").where(
    QUEUED, _ROW.next_try_at.is_not(None), HAS_ITS_TURN
)
_QUEUED_COUNT = by_index(select(func.count()).select_from(executions), "ix_executions_next_try").where(QUEUED)
_WAITING_COUNT = count_waiting(QUEUED)
_IS_QUEUED = select(_ROW.id).where(_ROW.id == bindparam("id"), QUEUED, _ROW.epoch == bindparam("epoch"))
_EPOCHS = select_by_ids(select(_ROW.id, _ROW.epoch)).where(OPEN)
_UNSUBMITTED = select_by_ids(select(_ROW.id, _ROW.attention_code)).where(OPEN, _ROW.submitted_at.is_(None))
_UNWANTED = (
    by_index(select(*BRIEF), "ix_executions_cancel")
    .where(CANCEL_REQUESTED, _ROW.submitted_at.is_not(None))
    .order_by(_ROW.cancel_requested_at, _ROW.id)
    .limit(_LIMIT)
)
_OPEN_BEHIND = (
    by_index(select(*BRIEF), "ix_executions_open")
    .where(OPEN, is_aged(_ROW.created_at), _ROW.id > bindparam("after"))
    .order_by(_ROW.id)
    .limit(_LIMIT)
)
_NAMED = select_by_ids(select(*BRIEF))
_ANY_LEGACY = by_index(select(_ROW.id), "ix_executions_legacy").where(LEGACY).limit(1)
_OLDEST_PENDING = select(func.min(_ROW.created_at)).where(_ROW.phase == Phase.PENDING)


@dataclass(frozen=True, kw_only=True)
class Taken:
    """Temporal (its `cluster`: cluster and namespace) took this epoch of `id` as `run_id`, or had it `already`."""

    id: ExecutionId
    epoch: int
    run_id: RunId
    cluster: str
    already: bool


@dataclass(frozen=True, kw_only=True)
class AcceptResult:
    """An execution, and whether this request made it (False: an earlier one with the same key did)."""

    execution: Execution
    is_new: bool


class ExecutionTable:
    """Executions. A transition that returns False found the row in another state and wrote nothing."""

    def __init__(self, database: Database, store: StoreId) -> None:
        self._database = database
        self._store = store
        self._is_without_legacy = False

    @whole
    async def accept(self, draft: ExecutionDraft, *, reason: QueueReason, detail: str) -> AcceptResult:
        """Write the execution, PENDING and due at once, in one commit; it is on disk when this returns.

        With the idempotency key of an execution that exists, return that one. Raises, with nothing written, Conflict if
        that one was another request or the id is taken, ServerBusy, and what `append_accepted` and `add_beginnings` do.
        """

        async def write(writing: Writing) -> AcceptResult:
            first = first_row(draft, self._store, reason, detail, writing.now)
            added = await writing.connection.execute(writing.backend.insert_or_skip(executions, None), first)
            if (row := added.mappings().one_or_none()) is None:
                return AcceptResult(execution=await _earlier(writing.connection, draft), is_new=False)
            await index_labels(writing, draft.id, draft.labels)
            await append_accepted(writing, draft)
            if await add_beginnings(writing, draft):  # which its row, as it was first, does not show
                return AcceptResult(execution=await _load(writing.connection, draft.id), is_new=True)
            return AcceptResult(execution=execution_of(row), is_new=True)

        return await self._database.write(write, is_deferrable=True)

    @whole
    async def has_key(self, key: str) -> bool:
        """Whether a request with this idempotency key was accepted before."""
        async with self._database.reading_once() as connection:
            return (await connection.execute(_BY_KEY, {"key": key})).first() is not None

    @whole
    async def get(self, execution_id: ExecutionId) -> Execution:
        """The execution with its messages; raises NotFound."""
        async with self._database.reading_once() as connection:
            row = (await connection.execute(_ONE, {"id": execution_id})).mappings().one_or_none()
        if row is not None and row["answer_seq"] is None and (found := execution_of(row)).waiting is None:
            return found
        async with self._database.reading() as connection:  # what is beside its row is to be of the same moment
            return await _load(connection, execution_id)

    @whole
    async def get_with_agent(self, execution_id: ExecutionId) -> WithAgent:
        """The execution without its messages, and its agent of the same moment; raises NotFound."""
        async with self._database.reading_once() as connection:
            if row := (await connection.execute(WITH_AGENT, {"id": execution_id})).mappings().one_or_none():
                return with_agent_of(row)
        raise missing_execution(execution_id)

    @whole
    async def list(self, wanted: Filter, *, limit: int, cursor: str | None = None) -> Page:
        """Up to `limit` executions, newest first, without their messages.

        Raises RequestError for a wrong cursor, and NotFound for an unknown agent.
        """
        async with self._database.reading() as connection:
            return await listing.page(connection, wanted, limit=limit, cursor=cursor)

    @whole
    async def count(self, wanted: Filter, *, limit: int) -> int | None:
        """How many executions match, counted up to `limit`; None if that takes too long.

        Raises NotFound for an unknown agent.
        """
        async with self._database.reading() as connection:
            return await listing.count(connection, wanted, limit=limit)

    @whole
    async def find_by_part(self, asked: IdPart, *, limit: int) -> Sequence[Execution]:
        """Up to `limit` executions whose id `asked` is a part of, newest first, without the long columns (`BRIEF`).

        Those that end with it are found among the newest `references.ENDS_AMONG` only.
        """
        async with self._database.reading() as connection:
            return await find_by_part(connection, asked, limit=limit)

    async def read_due(self, *, now: datetime, limit: int) -> Sequence[Execution]:
        """Up to `limit` queued executions that are due at `now`, oldest first, without the long columns (`BRIEF`)."""
        return await self._some(_DUE, {**due_at(now), "limit": limit})

    @whole
    async def next_due_at(self) -> datetime | None:
        """The earliest time that is set for a next try; None if none is set."""
        async with self._database.reading_once() as connection:
            return cast("datetime | None", await connection.scalar(_NEXT_DUE))

    @whole
    async def queued_count(self) -> int:
        """How many wait to be submitted, without those for a person's decision, or for their turn in a session."""
        async with self._database.reading() as connection:
            queued = int(await connection.scalar(_QUEUED_COUNT) or 0)
            return queued - int(await connection.scalar(_WAITING_COUNT) or 0) if queued else 0

    @whole
    async def mark_queued(
        self,
        execution_id: ExecutionId,
        *,
        epoch: int,
        reason: QueueReason,
        detail: str,
        next_try_at: datetime | None,
    ) -> bool:
        """Say why it waits; `next_try_at` None: it is due at once.

        `since` and the timeline change only with the reason. Returns whether it is queued in this epoch.
        """
        async with self._database.writing() as writing:
            other = transitions.wait_for(reason, detail, epoch=epoch, next_try_at=next_try_at, now=writing.now)
            same = transitions.wait_on(reason, detail, epoch=epoch, next_try_at=next_try_at)
            if (
                await writing.change(execution_id, other) is not None
                or await writing.change(execution_id, same) is not None
            ):
                return True
            return await writing.connection.scalar(_IS_QUEUED, {"id": execution_id, "epoch": epoch}) is not None

    @whole
    async def mark_all_submitted(self, marks: Sequence[Taken]) -> set[ExecutionId]:
        """Mark many in one commit; `marks` names no execution twice.

        Returns which are submitted in the epoch named; the others have ended or are in another epoch. One that was
        marked before stays as it is.
        """

        async def write(writing: Writing) -> set[ExecutionId]:
            taken = await writing.change_all(
                {
                    mark.id: transitions.submit(
                        mark.run_id, mark.cluster, epoch=mark.epoch, was_there=mark.already, now=writing.now
                    )
                    for mark in marks
                }
            )
            rest = {mark.id: mark for mark in marks if mark.id not in taken}
            if not rest:
                return taken
            await writing.change_all(
                {
                    id_: transitions.note_cluster(mark.run_id, mark.cluster, epoch=mark.epoch)
                    for id_, mark in rest.items()
                }
            )
            found = await writing.connection.execute(_EPOCHS, {"ids": list(rest)})
            return taken | {id_ for id_, epoch in found if rest[id_].epoch == epoch}

        return await self._database.write(write)

    @whole
    async def transition_all(
        self, decided: Mapping[ExecutionId, Decided], *, repeating: Collection[ExecutionId] = ()
    ) -> set[ExecutionId]:
        """Make many transitions in one commit, each only if its row is as it expects; returns which were made.

        The transitions are those of `transitions.py`. Of those `repeating`, steps in the air are forgotten: whoever
        comes next performs them once more.
        """
        async with self._database.writing() as writing:
            made = await writing.change_all({id_: decide(writing.now) for id_, decide in decided.items()})
            await forget_in_the_air(writing, [id_ for id_ in made if id_ in repeating])
            return made

    @whole
    async def mark_submit_failed(
        self,
        execution_id: ExecutionId,
        *,
        epoch: int,
        detail: str,
        next_try_at: datetime,
        attempts_max: int,
    ) -> Execution | None:
        """Count a submit that failed for another reason than a connection; at `attempts_max` a person has to look.

        Returns the execution as it is now; None, with nothing written, if it is no longer queued in this epoch.
        """
        async with self._database.writing() as writing:
            row = await writing.lock_row(execution_id)
            if row is None or row["epoch"] != epoch:
                return None
            attempts = int(row["attempts"]) + 1
            again = transitions.fail_submit(
                detail, row=dict(row), attempts=attempts, next_try_at=next_try_at, now=writing.now
            )
            over = transitions.give_up_submit(detail, attempts=attempts, now=writing.now)
            if await writing.change(execution_id, over if attempts >= attempts_max else again) is None:
                return None
            return await _load(writing.connection, execution_id)

    @whole
    async def find_unsubmitted(self, ids: Sequence[ExecutionId]) -> Mapping[ExecutionId, bool]:
        """Those of `ids` that are open and that Temporal has not taken; the value: whether a person has to decide."""
        async with self._database.reading() as connection:
            found = await connection.execute(_UNSUBMITTED, {"ids": ids})
            return {id_: code is not None for id_, code in found}

    @whole
    async def request_cancel(self, execution_id: ExecutionId) -> Execution:
        """Cancel at once what no run works on; else note, once, that its run has to be told. Raises NotFound."""

        async def write(writing: Writing) -> Execution:
            await ask_to_end(writing, [execution_id])
            return await _load(writing.connection, execution_id)

        return await self._database.write(write, is_deferrable=True)

    @whole
    async def request_cancel_all(self, ids: Sequence[ExecutionId]) -> tuple[Sequence[Execution], set[ExecutionId]]:
        """As `request_cancel`, for many in one commit.

        Returns those of `ids` that exist, in any order and without the long columns, and which of them were cancelled
        at once.
        """

        async def write(writing: Writing) -> tuple[Sequence[Execution], set[ExecutionId]]:
            ended = await ask_to_end(writing, ids)
            rows = await writing.connection.execute(_NAMED, {"ids": ids})
            return [execution_of(row) for row in rows.mappings()], ended

        return await self._database.write(write, is_deferrable=True)

    async def find_cancel_requested(self, *, limit: int) -> Sequence[Execution]:
        """Up to `limit` submitted executions that have not ended and that somebody wants cancelled, longest first."""
        return await self._some(_UNWANTED, {"limit": limit})

    async def open_after(self, *, aged: Aged, after: ExecutionId | None, limit: int) -> Sequence[Execution]:
        """Up to `limit` open executions that are old enough, in order of id, after `after`."""
        return await self._some(_OPEN_BEHIND, {**aged.parameters(), "after": after or "", "limit": limit})

    async def read_by_ids(self, ids: Sequence[ExecutionId]) -> Sequence[Execution]:
        """Those of `ids`, in that order, without the long columns; raises NotFound for one that has no row."""
        found = {row.id: row for row in await self._some(_NAMED, {"ids": ids})}
        if missing := [id_ for id_ in ids if id_ not in found]:
            raise missing_execution(missing[0])
        return [found[id_] for id_ in ids]

    async def conclude(
        self,
        execution_id: ExecutionId,
        *,
        epoch: int,
        version: int,
        outcome: Outcome,
        detail: str,
    ) -> bool:
        """End an open execution with an outcome from another source, which `detail` names in the timeline."""
        return await self._transition(
            execution_id, lambda now: transitions.conclude(outcome, detail, epoch=epoch, version=version, now=now)
        )

    @whole
    async def has_legacy(self) -> bool:
        """Whether an open execution has a name from before stores had ids; only an older server makes more of them."""
        if self._is_without_legacy:
            return False
        async with self._database.reading() as connection:
            found = await connection.scalar(_ANY_LEGACY) is not None
        self._is_without_legacy = not found and not self._database.is_shared
        return found

    @whole
    async def count_by_phase(self) -> Mapping[tuple[Phase, Kind], int]:
        """How many there are of each phase and kind; there are no entries of 0."""
        async with self._database.reading() as connection:
            return await read_counts(connection)

    @whole
    async def oldest_pending_at(self) -> datetime | None:
        """When the oldest PENDING execution was accepted; None if there is none."""
        async with self._database.reading_once() as connection:
            return cast("datetime | None", await connection.scalar(_OLDEST_PENDING))

    @whole
    async def _transition(self, execution_id: ExecutionId, decided: Callable[[datetime], Transition]) -> bool:
        async with self._database.writing() as writing:
            return await writing.change(execution_id, decided(writing.now)) is not None

    @whole
    async def _some(self, query: Select[Any], asked: Mapping[str, object]) -> Sequence[Execution]:
        async with self._database.reading_once() as connection:
            return [execution_of(row) for row in (await connection.execute(query, asked)).mappings()]


async def _earlier(connection: AsyncConnection, draft: ExecutionDraft) -> Execution:
    row = (await connection.execute(_BY_KEY, {"key": draft.idempotency_key})).one_or_none()
    if row is None:
        raise Conflict(f"there is another execution {draft.id}", hint=f"stigmer executions get {draft.id}")
    if row.request_hash != draft.request_hash:
        raise Conflict(
            f"the idempotency key {draft.idempotency_key} was used for another request, which made {row.id}",
            hint="take a new key for a new request",
        )
    return await _load(connection, row.id)


async def _load(connection: AsyncConnection, id_: ExecutionId) -> Execution:
    found = (await connection.execute(_ONE, {"id": id_})).mappings().one_or_none()
    if found is None:
        raise missing_execution(id_)
    [execution] = await add_pending_calls(connection, [execution_of(found, await read_messages(connection, found))])
    return execution
