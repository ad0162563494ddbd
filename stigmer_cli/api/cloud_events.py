"""Events (CloudEvents 1.0) on the wire: as they are kept, and as an execution that listens asks for them."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from stigmer_cli.api.wire import Asked, Moment, PlainObject, Sent
from stigmer_cli.domain.event import ATTRIBUTE_CHARS_MAX, EQUALS_MAX, QUERIES_MAX, EventQuery

LOOK_BACK_MAX_S = 30 * 86_400.0
SEQ_MAX = 2**62

EVENTS_PATH = "/v1/events"
BATCH_MAX = 500
"""Events of one request."""

Attribute = Annotated[str, Field(max_length=ATTRIBUTE_CHARS_MAX)]


class PublishedEvent(Sent):
    """What became of an event: `is_new` is False where an event with its source and id was there already."""

    id: str
    source: str
    is_new: bool


class PublishResponse(Sent):
    """What became of each event, in the order in which they were sent.

    `going_on` executions listened for one of them, and `started` begin because of one; None from an older server.
    """

    items: list[PublishedEvent]
    going_on: int | None = None
    started: int | None = None


class EventItem(Sent):
    """An event that is kept; `event` is it in the JSON format of CloudEvents. `seq` counts all that came in."""

    seq: int
    received_at: Moment
    event: PlainObject


class EventList(Sent):
    """Events, newest first; `next_before` is what `before` takes for the page after."""

    items: list[EventItem]
    next_before: int | None = None


class PlaceBody(Asked):
    """What must stand at a place in an event, as text; `path` is the names from the event to it."""

    path: list[Annotated[str, Field(max_length=ATTRIBUTE_CHARS_MAX)]] = Field(min_length=1, max_length=64)
    text: str = Field(max_length=ATTRIBUTE_CHARS_MAX)


class QueryBody(Asked):
    """Events that a task may take: those with all of these; what is left out may be anything."""

    type: Attribute | None = None
    source: Attribute | None = None
    subject: Attribute | None = None
    equals: list[PlaceBody] = Field(default=[], max_length=EQUALS_MAX)


class ListenRequest(Asked):
    """Events behind number `after` that fit one of `queries`.

    Without `after`: from the first that came in since the execution was accepted, or `look_back_s` seconds before.
    """

    queries: list[QueryBody] = Field(max_length=QUERIES_MAX)
    after: int | None = Field(default=None, ge=0, le=SEQ_MAX)
    look_back_s: float = Field(default=0.0, ge=0.0, le=LOOK_BACK_MAX_S)


class NumberedEvent(Sent):
    """An event with its number."""

    seq: int
    event: PlainObject


class ListenResponse(Sent):
    """Events in order. All up to number `upto` were looked at; `is_last`: there are no more yet."""

    events: list[NumberedEvent]
    upto: int
    is_last: bool


class ListenerBody(Asked):
    """A task listens for events behind number `after` that fit one of `queries`."""

    queries: list[QueryBody] = Field(max_length=QUERIES_MAX)
    after: int = Field(ge=0, le=SEQ_MAX)


def query_bodies(queries: Sequence[EventQuery]) -> list[QueryBody]:
    """`queries` as they go over the wire."""
    return [
        QueryBody(
            type=query.type,
            source=query.source,
            subject=query.subject,
            equals=[PlaceBody(path=list(path), text=text) for path, text in query.equals],
        )
        for query in queries
    ]


def queries_of(bodies: Sequence[QueryBody]) -> tuple[EventQuery, ...]:
    """The queries in `bodies`."""
    return tuple(
        EventQuery(
            type=body.type,
            source=body.source,
            subject=body.subject,
            equals=tuple((tuple(place.path), place.text) for place in body.equals),
        )
        for body in bodies
    )
