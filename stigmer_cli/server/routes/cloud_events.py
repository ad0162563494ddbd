"""Events: publish, list, and what there is for an execution that listens."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated, cast

import structlog
from fastapi import APIRouter, Query, Request
from pydantic import JsonValue

from stigmer_cli.api.cloud_events import (
    SEQ_MAX,
    EventItem,
    EventList,
    ListenRequest,
    ListenResponse,
    NumberedEvent,
    PublishedEvent,
    PublishResponse,
    queries_of,
)
from stigmer_cli.domain.event import CloudEvent
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.server.event_request import parse_events
from stigmer_cli.server.routes.called import Called

PAGE_MAX = 500

router = APIRouter(prefix="/v1")

log = structlog.get_logger()


@router.post("/events")
async def publish_events(request: Request, called: Called) -> PublishResponse:
    """Store events (CloudEvents 1.0, in any mode), and have the executions go on that listen for them."""
    headers: dict[str, list[str]] = defaultdict(list)
    for name, value in request.headers.items():
        headers[name.lower()].append(value)
    events = parse_events({name: ", ".join(values) for name, values in headers.items()}, await request.body())
    published = await called.store.cloud_events.publish(events)
    added = published.is_new
    called.dispatcher.nudge()
    log.info("events_taken", number=sum(added), repeated=len(added) - sum(added))
    return PublishResponse(
        items=[
            PublishedEvent(id=str(event["id"]), source=str(event["source"]), is_new=is_new)
            for event, is_new in zip(events, added, strict=True)
        ],
        going_on=published.going_on,
        started=published.started,
    )


@router.get("/events")
async def list_events(
    called: Called,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
    before: Annotated[int | None, Query(ge=0, le=SEQ_MAX)] = None,
    type: str | None = None,  # noqa: A002 - the attribute's name
) -> EventList:
    """One page of the events that are kept, newest first."""
    found, has_more = await called.store.cloud_events.list_newest(limit=limit, before=before, type_=type)
    items = [EventItem(seq=one.seq, received_at=one.received_at, event=_body(one.event)) for one in found]
    return EventList(items=items, next_before=items[-1].seq if has_more else None)


@router.post("/executions/{execution_id}/listen")
async def read_events(execution_id: str, body: ListenRequest, called: Called) -> ListenResponse:
    """A page of the events that a task of the execution may take."""
    found = await called.store.cloud_events.read_for(
        ExecutionId(execution_id), queries_of(body.queries), after=body.after, look_back_s=body.look_back_s
    )
    return ListenResponse(events=_number(found.events), upto=found.upto, is_last=found.is_last)


def _number(events: Sequence[tuple[int, CloudEvent]]) -> list[NumberedEvent]:
    return [NumberedEvent(seq=seq, event=_body(event)) for seq, event in events]


def _body(event: CloudEvent) -> dict[str, JsonValue]:
    return cast("dict[str, JsonValue]", dict(event))
