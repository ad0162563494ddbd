"""Transactions: the only way to the database; errors are translated, and listeners are told after each commit."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import RowMapping, bindparam, insert, select

from stigmer_cli.clock import Clock
from stigmer_cli.domain.execution import EventType
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.phase import TERMINAL
from stigmer_cli.errors import MachineError, StigmerError, Unavailable
from stigmer_cli.store import errors, statements
from stigmer_cli.store.async_engine import AsyncConnection
from stigmer_cli.store.clock import StoreClock
from stigmer_cli.store.engine import Backend, SqliteBackend
from stigmer_cli.store.tables import events, executions, meta
from stigmer_cli.store.writer_queue import WriterQueue
from stigmer_cli.time_format import span

T = TypeVar("T")
P = ParamSpec("P")

TRANSACTION_MAX_S = 30.0
CHECK_MAX_S = 1.0
DEADLOCKS_MAX = 3

STANDING = tuple(
    executions.c[name]
    for name in (
        "id",
        "store_id",
        "kind",
        "phase",
        "epoch",
        "run_id",
        "submitted_at",
        "attempts",
        "next_try_at",
        "attention_code",
        "waiting_for",
        "waiting_step",
        "waiting_since",
        "waiting_until",
        "cancel_requested_at",
        "queue_reason",
        "claimed_run",
        "claimed_by",
        "claimed_attempt",
        "answer_seq",
        "event_seq",
        "usage",
        "session",
    )
)
"""The columns that decisions are made on: none of them is long."""

_LOCKED = select(*STANDING).where(executions.c.id == bindparam("id")).with_for_update()
_LOCKED_ALL = (
    select(executions.c.id)
    .where(executions.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(executions.c.id)
    .with_for_update()
)
_EVENT = insert(events)
_ANY = select(meta.c.key).limit(1)


@dataclass(frozen=True, kw_only=True)
class EventDraft:
    """An event without its place in the timeline, which the row it belongs to gives it."""

    type: EventType
    text: str
    data: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Transition:
    """A guarded write as data: what it expects of the row, what it makes of it, and what the timeline says.

    `guards` must hold, and the columns in `expects` must have exactly those values, none of them None. Transitions with
    the same guard objects share a statement and are made together (`Writing.change_all`). So build guards once, and put
    what differs from row to row into `expects`. `fills` is written only where there is nothing yet. The events of
    `earlier` stand before `event` in the timeline.
    """

    guards: statements.Guards = ()
    expects: Mapping[str, object] = field(default_factory=dict)
    values: Mapping[str, object] = field(default_factory=dict)
    fills: Mapping[str, object] = field(default_factory=dict)
    event: EventDraft | None = None
    earlier: Sequence[EventDraft] = ()

    @property
    def events(self) -> Sequence[EventDraft]:
        """What the timeline says, in order."""
        return self.earlier if self.event is None else (*self.earlier, self.event)


class Writing:
    """One writing transaction: guarded updates of executions, each with its event. `now` is its one moment."""

    def __init__(self, connection: AsyncConnection, backend: Backend, now: datetime) -> None:
        self.connection = connection
        self.backend = backend
        self.now = now
        self.touched: set[ExecutionId] = set()
        self.parents: set[ExecutionId] = set()
        """The executions that wait for what this transaction has ended."""

        self.has_woken = False

    async def change(self, execution_id: ExecutionId, transition: Transition) -> int | None:
        """Make `transition` if what it expects holds.

        Returns the sequence number of the row's last event; None, with nothing written, if it does not hold.
        """
        changed = await self.connection.execute(
            statements.change(
                transition.guards, tuple(transition.expects), tuple(transition.values), tuple(transition.fills)
            ),
            _parameters(execution_id, transition),
        )
        row = changed.one_or_none()
        if row is None:
            return None
        self._note_parent(row.parent, transition)
        await self._append_all({execution_id: (row.event_seq, transition)})
        return int(row.event_seq)

    async def change_all(self, transitions: Mapping[ExecutionId, Transition]) -> set[ExecutionId]:
        """Make each transition whose row is as it expects; returns which were made.

        The rows are locked first, in order of id, so that two servers cannot deadlock. Each kind of transition then
        takes one statement.
        """
        if len(transitions) == 1:
            [(id_, transition)] = transitions.items()
            return set() if await self.change(id_, transition) is None else {id_}
        kinds: dict[object, dict[ExecutionId, Transition]] = defaultdict(dict)
        for id_, transition in transitions.items():
            kinds[transition.guards, tuple(transition.values), tuple(transition.fills), transition.event is None][
                id_
            ] = transition
        if len(kinds) > 1:
            await self.connection.execute(statements.select_and_lock((), ()), {"ids": list(transitions)})
        taken: set[ExecutionId] = set()
        for alike in kinds.values():
            taken |= await self._change_alike(alike)
        return taken

    async def _change_alike(self, transitions: Mapping[ExecutionId, Transition]) -> set[ExecutionId]:
        """Lock the rows of transitions that differ only in values, and make those whose row is as they expect."""
        first = next(iter(transitions.values()))
        rows = await self.connection.execute(
            statements.select_and_lock(first.guards, tuple(first.expects)), {"ids": list(transitions)}
        )
        fitting = [
            row
            for row in rows.mappings()
            if all(row[name] == value for name, value in transitions[row["id"]].expects.items())
        ]
        if not fitting:
            return set()
        seqs: dict[ExecutionId, int] = {row["id"]: row["event_seq"] for row in fitting}
        for row in fitting:
            self._note_parent(row["parent"], transitions[row["id"]])
        await self.connection.execute(
            statements.write(tuple(first.values), tuple(first.fills)),
            [_parameters(id_, transitions[id_]) for id_ in seqs],
        )
        made = {id_: transitions[id_] for id_ in seqs}
        await self._append_all({id_: (seqs[id_] + len(one.events), one) for id_, one in made.items()})
        return set(seqs)

    def _note_parent(self, parent: ExecutionId | None, transition: Transition) -> None:
        if parent is not None and transition.values.get("phase") in TERMINAL:
            self.parents.add(parent)

    async def _append_all(self, made: Mapping[ExecutionId, tuple[int, Transition]]) -> None:
        """Write the events of each transition, the last one of which has the number given."""
        rows = [
            _event_row(id_, last - len(one.events) + 1 + place, event, self.now)
            for id_, (last, one) in made.items()
            for place, event in enumerate(one.events)
        ]
        if rows:
            await self.connection.execute(_EVENT, rows if len(rows) > 1 else rows[0])
            self.touched.update(made)

    async def append(self, execution_id: ExecutionId, seq: int, event: EventDraft) -> None:
        """Write `event` at `seq`, which the row's own counter has just been moved to."""
        await self.connection.execute(_EVENT, _event_row(execution_id, seq, event, self.now))
        self.touched.add(execution_id)

    async def lock_row(self, execution_id: ExecutionId) -> RowMapping | None:
        """Lock the row until this transaction ends and return its `STANDING` columns; None if there is no such row."""
        found = await self.connection.execute(_LOCKED, {"id": execution_id})
        return found.mappings().one_or_none()

    async def lock_rows(self, ids: Sequence[ExecutionId]) -> None:
        """Lock the rows until this transaction ends, always in the same order."""
        await self.connection.execute(_LOCKED_ALL, {"ids": list(ids)})


def _parameters(id_: ExecutionId, transition: Transition) -> dict[str, object]:
    return statements.parameters(
        id_,
        expects=transition.expects,
        values={**transition.values, **transition.fills},
        events=len(transition.events),
    )


def _event_row(id_: ExecutionId, seq: int, event: EventDraft, now: datetime) -> dict[str, object]:
    return {"execution_id": id_, "seq": seq, "at": now, "type": event.type, "text": event.text, "data": event.data}


class Database:
    """Reading and writing transactions on one backend, until the disk can no longer be trusted."""

    def __init__(self, backend: Backend, clock: Clock) -> None:
        self._backend = backend
        self.clock = StoreClock(clock)
        self.queue = WriterQueue(
            places=backend.writers_max, wait_max_s=backend.busy_timeout_s, monotonic=self.clock.monotonic
        )
        self.written_at_s: float | None = None
        """When the last transaction was committed, on the monotonic clock; None: none was."""

        self._broken: MachineError | None = None
        self._unfinished: set[asyncio.Task[object]] = set()
        self.on_change: Callable[[ExecutionId], None] | None = None
        self.wake_parents: Callable[[Writing], Awaitable[None]] | None = None
        """Has those go on that wait for what a transaction has ended, as its last part."""

        self.on_woken: Callable[[], None] | None = None
        """Called after such a commit."""

        self.writes = 0
        """How many writing transactions of this process have ended."""

    @property
    def is_shared(self) -> bool:
        """Whether several servers may have it open; a SQLite file is locked by one."""
        return self.kind != SqliteBackend.kind

    @property
    def kind(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._backend.kind

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """One consistent view of the database; raises what `writing` raises."""
        async with self._translate_faults(), self._backend.reader.connect() as connection:
            yield connection

    @asynccontextmanager
    async def reading_once(self) -> AsyncIterator[AsyncConnection]:
        """As `reading`, for one statement: a second one would see another moment."""
        async with self._translate_faults(), self._backend.reader_of_one.connect() as connection:
            yield connection

    async def write(self, body: Callable[[Writing], Coroutine[object, object, T]], *, is_deferrable: bool = False) -> T:
        """What `body` returns, as the block of a `writing`; it waits for nothing but its statements.

        In SQLite the whole of it is one call of the connection's thread, instead of one for each statement. After a
        deadlock, of which nothing was written, `body` is called again, up to `DEADLOCKS_MAX` times.
        """
        for _ in range(DEADLOCKS_MAX):
            with suppress(errors.Deadlocked):
                return await self._write_once(body, is_deferrable=is_deferrable)
        return await self._write_once(body, is_deferrable=is_deferrable)

    async def _write_once(self, body: Callable[[Writing], Coroutine[object, object, T]], *, is_deferrable: bool) -> T:
        async with self.writing(is_deferrable=is_deferrable) as writing:

            async def work(connection: AsyncConnection) -> T:
                writing.connection = connection
                result = await body(writing)
                await self._wake(writing)
                return result

            return await self._backend.run_whole(writing.connection, work)

    @asynccontextmanager
    async def writing(self, *, is_deferrable: bool = False) -> AsyncIterator[Writing]:
        """One transaction: what was written is on disk when this ends, or nothing of it is.

        `is_deferrable`: a person asked for it; others go first, and if its turn does not come soon, it raises
        ServerBusy. Raises StoreBusy, MachineError or Unavailable. After an input/output error every call raises
        MachineError: a failed commit must not be retried, because the system may have dropped the pages.
        """
        writing: Writing | None = None
        try:
            async with self._translate_faults():
                self._backend.verify()
                async with (
                    self.queue.turn(is_deferrable=is_deferrable),
                    self._backend.writer.begin() as connection,
                ):
                    writing = Writing(connection, self._backend, self.clock.now())
                    yield writing
                    await self._wake(writing)
                    self._backend.verify_commit()
                self.written_at_s = self.clock.monotonic()
        finally:
            self.writes += 1
            # Also after a failure or a cancellation: a commit may have counted all the same, and waking costs nothing.
            if writing is not None and self.on_change is not None:
                for id_ in sorted(writing.touched):
                    self.on_change(id_)
            if writing is not None and writing.parents and self.on_woken is not None:
                self.on_woken()

    async def _wake(self, writing: Writing) -> None:
        """As the last part of a transaction, which ends it once."""
        if writing.parents and not writing.has_woken and self.wake_parents is not None:
            writing.has_woken = True
            await self.wake_parents(writing)

    async def run_to_the_end(self, work: Coroutine[object, object, T]) -> T:
        """What `work` returns; `work` finishes even if the caller is cancelled.

        A transaction of SQLite that is cancelled in the middle of a statement keeps its lock until the garbage is
        collected, and listeners must learn of a commit that nobody waits for any more.
        """
        # Not a TaskGroup's: the work outlives its caller. Its owner is this object, and `close` waits for it.
        task = asyncio.get_running_loop().create_task(work, name="store")
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        return await asyncio.shield(task)

    async def check(self) -> None:
        """Raise a StigmerError if the store cannot be used; takes at most a second."""
        self._backend.verify()
        try:
            async with asyncio.timeout(CHECK_MAX_S), self.reading() as connection:
                await connection.execute(_ANY)
        except TimeoutError:
            raise Unavailable(f"the store did not answer within {span(CHECK_MAX_S)}") from None

    async def close(self) -> None:
        """Finish what is being written, then close every connection and release every lock."""
        if self._unfinished:
            await asyncio.wait(self._unfinished, timeout=TRANSACTION_MAX_S)
        await self._backend.close(keeps_log=self._broken is not None)

    @asynccontextmanager
    async def _translate_faults(self) -> AsyncIterator[None]:
        if self._broken is not None:
            raise self._broken
        try:
            async with asyncio.timeout(TRANSACTION_MAX_S):
                yield
        except StigmerError:
            raise
        except TimeoutError as error:
            raise self._backend.translate(error) or Unavailable(
                f"the store took longer than {span(TRANSACTION_MAX_S)}; a write may or may not have counted"
            ) from error
        except Exception as error:
            known = self._backend.translate(error)
            if known is None:
                raise
            if errors.is_unsure(error) and isinstance(known, MachineError):
                self._broken = known
            raise known from error


class _Table(Protocol):
    @property
    def _database(self) -> Database: ...


_S = TypeVar("_S", bound=_Table)


def whole(
    method: Callable[Concatenate[_S, P], Coroutine[object, object, T]],
) -> Callable[Concatenate[_S, P], Coroutine[object, object, T]]:
    """Decorate a method of a table so that it finishes even if its caller is cancelled."""

    @wraps(method)
    async def run(table: _S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await table._database.run_to_the_end(method(table, *args, **kwargs))  # noqa: SLF001 (its own)

    return run
