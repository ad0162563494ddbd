"""Events from outside and from workflows, as rows: taken once each, in one order, and kept for a while.

The commit that stores an event also ends the waits of the executions that listen for it (`listeners.py`).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import BindParameter, Integer, bindparam, case, delete, func, or_, select, update

from stigmer_cli.domain.event import CloudEvent, EventQuery, identify_event
from stigmer_cli.domain.identity import ExecutionId, Kind, StoreId
from stigmer_cli.domain.waiting import WaitFor
from stigmer_cli.json_text import dump_json
from stigmer_cli.store.async_engine import AsyncConnection
from stigmer_cli.store.columns import Moment
from stigmer_cli.store.database import Database, Writing, whole
from stigmer_cli.store.errors import missing_execution
from stigmer_cli.store.event_tables import cloud_events, event_counter
from stigmer_cli.store.execution_draft import EVENTS_SEEN
from stigmer_cli.store.listeners import ARRIVED, list_types, lock_counter, wake_listeners
from stigmer_cli.store.page_size import count_fitting
from stigmer_cli.store.schedules import start_by_events
from stigmer_cli.store.statements import by_index
from stigmer_cli.store.tables import OPEN, events, executions, workflow_versions

log = structlog.get_logger()

ROWS_MAX = 100_000
BYTES_MAX = 1024 * 1024 * 1024
"""How much is kept at most, whatever the setting says."""

PAGE_ROWS, PAGE_BYTES = 500, 2 * 1024 * 1024
BATCH = 500
"""Rows of one commit that deletes."""

SERVERS_APART = timedelta(seconds=0.1)
"""How far the clocks of several servers of one store may be apart."""

SEQ_MAX = 2**62

_OF = cloud_events.c
_COUNTER = event_counter.c
_ONLY = _COUNTER.id == 1
_LIMIT = bindparam("limit", type_=Integer)
_TYPES: BindParameter[Any] = bindparam("types", expanding=True)
_LAST = select(_COUNTER.seq).where(_ONLY)
_COUNT = update(event_counter).where(_ONLY)
_CREATED = select(executions.c.created_at).where(executions.c.id == bindparam("id"))
_FIRST_EVENT = select(events.c.data).where(events.c.execution_id == bindparam("id"), events.c.seq == 1)
_FIRST_SINCE = select(func.min(_OF.seq)).where(_OF.received_at >= bindparam("since", type_=Moment))
_SIZES = select(_OF.seq, _OF.bytes).where(_OF.seq > bindparam("after")).order_by(_OF.seq).limit(_LIMIT)
_TEXTS = select(_OF.seq, _OF.event).where(_OF.seq > bindparam("after"), _OF.seq <= bindparam("upto")).order_by(_OF.seq)
_NEWEST = select(cloud_events).where(_OF.seq < bindparam("before")).order_by(_OF.seq.desc()).limit(_LIMIT)
_NEWEST_SIZES = select(_OF.bytes).where(_OF.seq < bindparam("before")).order_by(_OF.seq.desc()).limit(_LIMIT)
_OLDEST = select(_OF.seq, _OF.bytes, _OF.received_at).order_by(_OF.seq).limit(BATCH)
_FORGET = delete(cloud_events).where(_OF.seq <= bindparam("upto"))

_ROW = executions.c
_IS_LOOKING = or_(
    _ROW.waiting_for.is_(None),
    _ROW.waiting_for != WaitFor.EVENT,  # what comes in while it listens is looked at as it comes
    _ROW.waiting_until <= bindparam("now", type_=Moment),
)
_UNREAD = (
    by_index(
        select(
            _ROW.agent_version.label("version"),
            func.min(case((_ROW.queue_detail == ARRIVED, _ROW.queued_since), else_=_ROW.created_at)).label("since"),
        ),
        "ix_executions_open",
    )
    .where(OPEN, _ROW.kind == Kind.WORKFLOW, _IS_LOOKING)
    .group_by(_ROW.agent_version)
    .subquery()
)
_DOCUMENT = workflow_versions.c.document
_MAY_LISTEN = or_(
    _DOCUMENT.contains('"listen"'),
    # A function that is fetched when it is called may listen, too: NAME:VERSION@CATALOG, or one at an address.
    _DOCUMENT.like('%"call":"%:%@%'),
    *(_DOCUMENT.contains(f'"call":"{scheme}://') for scheme in ("http", "https", "file")),
)
_UNREAD_SINCE = (
    select(func.min(_UNREAD.c.since))
    .select_from(_UNREAD.join(workflow_versions, workflow_versions.c.id == _UNREAD.c.version))
    .where(_MAY_LISTEN)
)


@dataclass(frozen=True, kw_only=True)
class StoredEvent:
    """An event with its number and the moment at which it came in."""

    seq: int
    received_at: datetime
    event: CloudEvent


@dataclass(frozen=True, kw_only=True)
class EventsRead:
    """Events in order. All up to number `upto` were looked at; `is_last`: there are no more yet."""

    events: Sequence[tuple[int, CloudEvent]]
    upto: int
    is_last: bool


@dataclass(frozen=True, kw_only=True)
class Published:
    """Which events were new, and how many executions go on, or begin, because of them."""

    is_new: Sequence[bool]
    going_on: int = 0
    started: int = 0


class CloudEventTable:
    """Events. `on_due` is called after executions were left to the waker."""

    def __init__(self, database: Database, store: StoreId) -> None:
        self._database = database
        self._store = store
        self.on_due: Callable[[], None] | None = None

    @whole
    async def publish(self, events: Sequence[CloudEvent]) -> Published:
        """Store those of `events` that are new, start what they start, and have who listens for them go on.

        Raises ServerBusy, with nothing written, where its turn does not come soon, and RequestError where they start
        too many executions.
        """

        async def write(writing: Writing) -> tuple[Published, bool]:
            added, last = await _add_all(writing, events)
            fresh = [event for event, is_new in zip(events, added, strict=True) if is_new]
            started = await start_by_events(writing, self._store, fresh, last=last)
            going_on, is_left = await wake_listeners(writing, self._store, fresh)
            return Published(is_new=added, going_on=going_on, started=started), is_left

        published, is_due = await self._database.write(write, is_deferrable=True)
        if is_due and self.on_due is not None:
            self.on_due()
        return published

    @whole
    async def read_for(
        self, execution_id: ExecutionId, queries: Sequence[EventQuery], *, after: int | None, look_back_s: float = 0.0
    ) -> EventsRead:
        """A page of the events behind `after` that fit one of `queries`.

        `after` None: from the first one that came in since the execution was accepted, or `look_back_s` seconds before.
        Raises NotFound.
        """
        async with self._database.reading() as connection:
            last = int(await connection.scalar(_LAST) or 0)
            if after is None:
                after = await self._find_begin(connection, execution_id, look_back_s, last)
            rows, is_last = await _read_page(connection, after, list_types(queries))
        upto = last if is_last else rows[-1][0]
        fitting = [(seq, event) for seq, event in rows if any(query.fits(event) for query in queries)]
        return EventsRead(events=fitting, upto=upto, is_last=is_last)

    async def _find_begin(
        self, connection: AsyncConnection, execution_id: ExecutionId, look_back_s: float, last: int
    ) -> int:
        """The number before the first event that an execution can see."""
        created_at: datetime | None = await connection.scalar(_CREATED, {"id": execution_id})
        if created_at is None:
            raise missing_execution(execution_id)
        seen = (await connection.scalar(_FIRST_EVENT, {"id": execution_id}) or {}).get(EVENTS_SEEN)
        if seen is not None and not look_back_s:
            return int(seen)
        since = created_at - timedelta(seconds=look_back_s)
        if self._database.is_shared:
            since -= SERVERS_APART
        first = await connection.scalar(_FIRST_SINCE, {"since": since})
        begin = last if first is None else int(first) - 1
        return begin if seen is None else min(begin, int(seen))

    @whole
    async def list_newest(
        self, *, limit: int, before: int | None = None, type_: str | None = None
    ) -> tuple[Sequence[StoredEvent], bool]:
        """Up to `limit` events that came in before number `before`, newest first, and whether there are more.

        They are fewer where they have more than `PAGE_BYTES`.
        """
        of_type = [] if type_ is None else [_OF.type == bindparam("of_type")]
        given: dict[str, object] = {"before": SEQ_MAX if before is None else before, "limit": limit + 1}
        if type_ is not None:
            given["of_type"] = type_
        async with self._database.reading() as connection:
            sizes = (await connection.execute(_NEWEST_SIZES.where(*of_type), given)).all()
            number = count_fitting((row.bytes for row in sizes[:limit]), PAGE_BYTES)
            rows = (await connection.execute(_NEWEST.where(*of_type), {**given, "limit": number})).all()
        found = [StoredEvent(seq=row.seq, received_at=row.received_at, event=load_event(row.event)) for row in rows]
        return found, number < len(sizes)

    @whole
    async def forget_old(self, before: datetime, *, rows_max: int = ROWS_MAX, bytes_max: int = BYTES_MAX) -> int:
        """Delete some of the events that came in before `before`, or that are too many; returns how many were deleted.

        One that an open execution has yet to look at is kept longer, unless there are too many. Fewer than `BATCH`:
        there are no more.
        """
        async with self._database.writing() as writing:
            last = await lock_counter(writing)
            excess = int(await writing.connection.scalar(select(_COUNTER.bytes).where(_ONLY)) or 0) - bytes_max
            upto, gone, size, newest_at = 0, 0, 0, before
            unread = await _find_unread_since(writing)
            before = min(before, unread or before)
            for row in (await writing.connection.execute(_OLDEST)).all():
                if row.received_at >= before and row.seq > last - rows_max and size >= excess:
                    break
                upto, gone, size, newest_at = row.seq, gone + 1, size + row.bytes, row.received_at
            if gone:
                await writing.connection.execute(_FORGET, {"upto": upto})
                if unread is not None and newest_at >= unread:
                    log.warning("events_deleted_unread", cause="too many are kept", upto=upto)
                await writing.connection.execute(_COUNT.values(bytes=_COUNTER.bytes - size))
            return gone


def load_event(text: str) -> CloudEvent:
    """The event in `text`. Half a surrogate pair, which no answer can carry, becomes a question mark."""
    event: CloudEvent = json.loads(text)
    if "\\ud" in text.lower():
        event = json.loads(json.dumps(event, ensure_ascii=False).encode("utf-8", "replace"))
    return event


async def _find_unread_since(writing: Writing) -> datetime | None:
    """Since when the events came in that an open execution has yet to look at; None: there is none.

    That is one which listens at some time and has not begun, was woken, or waits for something else.
    """
    found: datetime | None = await writing.connection.scalar(_UNREAD_SINCE, {"now": writing.now})
    return None if found is None else found - SERVERS_APART


async def _add_all(writing: Writing, events: Sequence[CloudEvent]) -> tuple[Sequence[bool], int]:
    """Write those of `events` that are new, with the next numbers; returns which are, and the last number."""
    last = await lock_counter(writing)
    added, size = [], 0
    for event in events:
        text = dump_json(event)
        length = len(text.encode())
        row = {
            "seq": last + 1,
            "identity": identify_event(event),
            "type": event["type"],
            "source": event["source"],
            "bytes": length,
            "received_at": writing.now,
            "event": text,
        }
        written = await writing.connection.execute(writing.backend.insert_or_skip(cloud_events, "identity"), row)
        is_new = written.one_or_none() is not None
        last, size = last + is_new, size + length * is_new
        added.append(is_new)
    await writing.connection.execute(_COUNT.values(seq=last, bytes=_COUNTER.bytes + size))
    return added, last


async def _read_page(
    connection: AsyncConnection, after: int, types: list[str] | None
) -> tuple[Sequence[tuple[int, CloudEvent]], bool]:
    """The next events of these types, as many as make a page, and whether these are all."""
    of_types = [] if types is None else [_OF.type.in_(_TYPES)]
    given: dict[str, object] = {"after": after} | ({} if types is None else {"types": types})
    sizes = (await connection.execute(_SIZES.where(*of_types), {**given, "limit": PAGE_ROWS})).all()
    number = count_fitting((row.bytes for row in sizes), PAGE_BYTES)
    if not number:
        return [], True
    found = (await connection.execute(_TEXTS.where(*of_types), {**given, "upto": sizes[number - 1].seq})).all()
    return [(row.seq, load_event(row.event)) for row in found], number == len(sizes) < PAGE_ROWS
