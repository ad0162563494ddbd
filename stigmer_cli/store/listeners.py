"""Executions that listen for events, as rows by which an event finds them.

A row is one query of one wait: it is found by the type of the event, and by a hash of what the event has at the places
that the query compares. It belongs to one epoch, and goes when an event has found it. A row that a wait has left which
ended otherwise goes with the next wait, with an event that finds it, or with the execution.

The row of `event_counter` is locked by who stores events, and by who begins to listen, before any execution is. So no
event comes in between the look at those that are there and the commit of the wait.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, bindparam, delete, insert, select, update

from stigmer_cli.domain.event import CloudEvent, EventQuery, hash_equals, hash_texts
from stigmer_cli.domain.identity import ExecutionId, StoreId
from stigmer_cli.domain.waiting import WaitFor
from stigmer_cli.store import transitions
from stigmer_cli.store.database import Writing
from stigmer_cli.store.event_tables import cloud_events, event_counter, listeners
from stigmer_cli.store.tables import executions
from stigmer_cli.store.timers import forget_timers

ANY = ""
"""The type of a row that an event of any type finds."""

LOOKED_AT_MAX = 1_000
"""How many events that came in since a run looked are looked at here; with more, the run looks again."""

LOOKED_AT_CHARS_MAX = 2 * 1024 * 1024
"""How long they are together at most: nobody else writes meanwhile."""

WOKEN_MAX = 200
"""How many executions go on in the commit of the event; the waker has the others go on, because their time has come."""

CHUNK = 500
ARRIVED = "an event that it listens for has come in"

_OF = listeners.c
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_TYPES: BindParameter[Any] = bindparam("types", expanding=True)
_LAST = select(event_counter.c.seq).where(event_counter.c.id == 1)
_LOCK = _LAST.with_for_update()
_FORGET = delete(listeners).where(_OF.execution_id.in_(_IDS))
_PLACES = select(_OF.places).where(_OF.type.in_(_TYPES)).distinct()
_FOUND = select(_OF.execution_id, _OF.epoch, _OF.source, _OF.subject).where(
    _OF.type.in_(_TYPES), _OF.places == bindparam("of_places"), _OF.texts_hash == bindparam("of_texts")
)
_LATER = (
    select(cloud_events.c.seq, cloud_events.c.event)
    .where(cloud_events.c.seq > bindparam("after"))
    .order_by(cloud_events.c.seq)
    .limit(LOOKED_AT_MAX)
)
_LATER_OF_TYPES = _LATER.where(cloud_events.c.type.in_(_TYPES))
_DUE = update(executions).where(
    executions.c.id.in_(_IDS), executions.c.waiting_for == WaitFor.EVENT, executions.c.phase == "IN_PROGRESS"
)


@dataclass(frozen=True, kw_only=True)
class Listener:
    """A task listens for events behind number `after` that fit one of `queries`."""

    queries: Sequence[EventQuery]
    after: int


async def lock_counter(writing: Writing) -> int:
    """Have no event come in until this transaction ends; returns the number of the last one."""
    found = await writing.connection.scalar(_LOCK)
    if found is None:
        first = {"id": 1, "seq": 0, "bytes": 0}
        await writing.connection.execute(writing.backend.insert_or_skip(event_counter, "id"), first)
        found = await writing.connection.scalar(_LOCK)
    return int(found or 0)


async def has_arrived(writing: Writing, listening: Sequence[Listener]) -> bool:
    """Whether an event is there that one of `listening` may take, or so many that the run has to look."""
    for listener in listening:
        types = list_types(listener.queries)
        given = {"after": listener.after} | ({} if types is None else {"types": types})
        found = (await writing.connection.execute(_LATER if types is None else _LATER_OF_TYPES, given)).all()
        if len(found) == LOOKED_AT_MAX:
            return True
        if sum(len(row.event) for row in found) > LOOKED_AT_CHARS_MAX:
            return True
        events = [json.loads(row.event) for row in found]
        if any(query.fits(event) for event in events for query in listener.queries):
            return True
    return False


async def listen(writing: Writing, id_: ExecutionId, epoch: int, listening: Sequence[Listener]) -> None:
    """Have events find the execution, in place of those that found it before."""
    await writing.connection.execute(_FORGET, {"ids": [id_]})
    queries = dict.fromkeys(query for listener in listening for query in listener.queries)
    rows = [{"execution_id": id_, "place": place, "epoch": epoch, **_columns(q)} for place, q in enumerate(queries)]
    if rows:
        await writing.connection.execute(insert(listeners), rows)


async def wake_listeners(writing: Writing, store: StoreId, events: Sequence[CloudEvent]) -> tuple[int, bool]:
    """Have each execution go on that listens for one of `events`.

    Returns how many there are, and whether some are left to the waker.
    """
    found: dict[ExecutionId, int] = {}
    for event in events:
        found.update(await _find(writing, event))
    ids = sorted(found)
    now, later = ids[:WOKEN_MAX], ids[WOKEN_MAX:]
    for start in range(0, len(ids), CHUNK):
        chunk = ids[start : start + CHUNK]
        await writing.lock_rows(chunk)
        await forget_timers(writing, chunk, epochs=found)
    if now:
        wakes = {id_: transitions.wake(store, ARRIVED, epoch=found[id_], now=writing.now) for id_ in now}
        await writing.change_all(wakes)
    for start in range(0, len(later), CHUNK):
        chunk = later[start : start + CHUNK]
        await writing.connection.execute(_DUE.values(waiting_until=writing.now, waiting_step=None), {"ids": chunk})
    for start in range(0, len(ids), CHUNK):
        await writing.connection.execute(_FORGET, {"ids": ids[start : start + CHUNK]})
    return len(ids), bool(later)


def list_types(queries: Sequence[EventQuery]) -> list[str] | None:
    """The types that `queries` ask for; None: any."""
    types = {query.type for query in queries}
    return None if None in types else sorted(type_ for type_ in types if type_ is not None)


async def _find(writing: Writing, event: CloudEvent) -> Mapping[ExecutionId, int]:
    """The executions that may take `event`, with the epoch of each."""
    types = [str(event["type"]), ANY]
    found: dict[ExecutionId, int] = {}
    for (places,) in (await writing.connection.execute(_PLACES, {"types": types})).all():
        texts = hash_equals(event, json.loads(places))
        if texts is None:
            continue
        given = {"types": types, "of_places": places, "of_texts": texts}
        for row in (await writing.connection.execute(_FOUND, given)).all():
            if row.source in (None, event["source"]) and row.subject in (None, event.get("subject")):
                found[row.execution_id] = row.epoch
    return found


def _columns(query: EventQuery) -> Mapping[str, object]:
    ordered = sorted(query.equals)
    return {
        "type": query.type or ANY,
        "source": query.source,
        "subject": query.subject,
        "places": json.dumps([path for path, _ in ordered], separators=(",", ":")),
        "texts_hash": hash_texts([text for _, text in ordered]),
    }
