"""Executions: create, list, get, cancel, and the timeline of one."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from stigmer_cli.api.execution_body import execution_resource
from stigmer_cli.api.query import COUNT_MAX
from stigmer_cli.api.resources import (
    EVENTS_MAX,
    EventPage,
    ExecutionPage,
    ExecutionRequest,
    ExecutionResource,
    event_body,
)
from stigmer_cli.api.run_report import NUMBER_MAX
from stigmer_cli.api.steps import STEPS_SHOWN_MAX, JournalBody, step_body
from stigmer_cli.api.tasks import TASKS_SHOWN_MAX, TaskList, task_body
from stigmer_cli.domain.execution import Event, Execution
from stigmer_cli.domain.identity import ExecutionId, Kind
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import RESULT_BYTES_MAX
from stigmer_cli.errors import NotFound, RequestError
from stigmer_cli.executions.accept import SubmitRequest
from stigmer_cli.executions.notifier import OTHER_SERVERS_S
from stigmer_cli.executions.reason import explain_wait
from stigmer_cli.executions.retention import explain_missing
from stigmer_cli.json_text import dump_json
from stigmer_cli.judgement.wire import stuck_body
from stigmer_cli.server.connections import waited_s
from stigmer_cli.server.large_page import send_in_pieces
from stigmer_cli.server.line_stream import send_lines
from stigmer_cli.server.routes.called import Called
from stigmer_cli.server.routes.execution_filter import read_filter
from stigmer_cli.server.services import Services
from stigmer_cli.settings import SubmitPolicy
from stigmer_cli.store.forking import Fork
from stigmer_cli.store.listing import Filter

PAGE_MAX = 500
KEY_MAX = 200
PIECE_CHARS = 65_536
HEARTBEAT_EVERY = 4
"""Empty lines a stream sends while nothing happens: one in so many waits of `OTHER_SERVERS_S`."""

router = APIRouter(prefix="/v1")


class Requirement(StrEnum):
    """What a request insists on."""

    TEMPORAL = "temporal"


@router.post("/executions")
async def create_execution(
    body: ExecutionRequest,
    sent: Request,
    response: Response,
    called: Called,
    require: Requirement | None = None,
    idempotency_key: Annotated[str | None, Header(max_length=KEY_MAX)] = None,
) -> ExecutionResource:
    """Accept an execution: 201 with the run id once Temporal has it, 202 with the reason while it waits."""
    response.status_code, resource = await accept(
        body, called, idempotency_key=idempotency_key, waited_s=waited_s(sent.scope), require=require
    )
    return resource


async def accept(
    body: ExecutionRequest,
    called: Services,
    *,
    idempotency_key: str | None,
    waited_s: float,
    require: Requirement | None = None,
) -> tuple[int, ExecutionResource]:
    """Accept an execution whose request came `waited_s` ago; the status to answer with, and the execution."""
    if body.fork is not None and (body.session is not None or body.conversation_of is not None):
        raise RequestError("a fork joins no session: it sees what the execution sees that it is a fork of")
    if body.fork is not None and body.limits is not None:
        raise RequestError("a fork has the limits of the execution that it is a fork of")
    if body.session is not None and body.conversation_of is not None:
        raise RequestError("session and conversationOf exclude each other")
    message = body.message
    if body.workflow:
        await asyncio.sleep(0)  # between reading and writing a long one, others have their turn
        message = _dump_input(body)
    request = SubmitRequest(
        id=ExecutionId(body.id) if body.id else None,
        agent=body.agent,
        workflow=body.workflow or None,
        message=message,
        timeout_s=body.timeout_s,
        labels=body.labels,
        idempotency_key=idempotency_key,
        policy=SubmitPolicy.FAIL_FAST if require is Requirement.TEMPORAL else None,
        fork=Fork(source=ExecutionId(body.fork.execution), before=body.fork.before, asks=body.fork.asks)
        if body.fork
        else None,
        session=body.session,
        limits=body.limits.to_document() if body.limits else {},
        conversation_of=ExecutionId(body.conversation_of) if body.conversation_of else None,
    )
    execution = await called.acceptor.accept(request, policy=called.settings.submit_policy, waited_s=waited_s)
    return 201 if execution.dispatch.is_submitted else 202, execution_resource(execution)


def _dump_input(body: ExecutionRequest) -> str:
    """The input of a workflow as JSON text; raises RequestError for one that is too long, or no JSON."""
    try:
        text = dump_json(body.input)
    except ValueError:
        raise RequestError("the input holds NaN, Infinity or a number that is too large, which JSON has not") from None
    if len(text.encode()) > RESULT_BYTES_MAX:
        raise RequestError(f"the input is longer than {RESULT_BYTES_MAX // 1_000_000} MB as JSON")
    return text


@router.get("/executions", response_model=ExecutionPage)
async def list_executions(
    called: Called,
    wanted: Annotated[Filter, Depends(read_filter)],
    stuck: Annotated[bool | None, Query()] = None,
    judged: Annotated[bool | None, Query()] = None,
    count: Annotated[bool | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
    cursor: str | None = None,
) -> ExecutionPage | StreamingResponse:
    """One page, newest first; with `stuck` what does not get on of the next `limit` that are open, perhaps nothing.

    With `judged` those of the page that are stuck have the cause. Temporal is asked only with one of the two. `count`
    says how many match in all; it is ignored with `stuck`.
    """
    if stuck:
        stuck_ones, next_cursor = await called.stuck.page(wanted, limit=limit, cursor=cursor)
        items = [execution_resource(one.execution, stuck_body(one)) for one in stuck_ones]
        return send_in_pieces(ExecutionPage(items=items, next_cursor=next_cursor))
    page = await called.store.executions.list(wanted, limit=limit, cursor=cursor)
    status = called.link.status()
    found = {one.execution.id: one for one in await called.stuck.judge_old(page.items)} if judged else {}
    items = [
        execution_resource(
            explain_wait(execution, status, called.pollers.polling),
            stuck_body(found[execution.id]) if execution.id in found else None,
        )
        for execution in page.items
    ]
    total = await called.store.executions.count(wanted, limit=COUNT_MAX + 1) if count else None
    return send_in_pieces(ExecutionPage(items=items, next_cursor=page.next_cursor, total=total))


@router.get("/executions/{execution_id}")
async def get_execution(execution_id: str, called: Called) -> ExecutionResource:
    """One execution with its messages and steps, and why it does not get on: that is looked up in Temporal."""
    execution = await _find(called, execution_id)
    found = await called.stuck.stuck_of(execution)
    body = explain_wait(execution, called.link.status(), called.pollers.polling)
    return execution_resource(
        body,
        stuck_body(found) if found else None,
        await _journal_of(execution, called),
        await _tasks_of(execution, called),
    )


async def _tasks_of(execution: Execution, called: Services) -> TaskList | None:
    if execution.kind is Kind.AGENT:
        return None
    shown, count = await called.store.tasks.list_last(execution.id, limit=TASKS_SHOWN_MAX)
    if execution.phase.is_terminal:  # what went on until its end is told by nobody
        shown = [(number, task.end_by(execution.completed_at)) for number, task in shown]
    return TaskList(tasks=[task_body(number, task) for number, task in shown], count=count)


async def _journal_of(execution: Execution, called: Services) -> JournalBody:
    if not execution.has_steps:
        return JournalBody(steps=[], count=0)
    shown = await called.store.steps.list_last(execution.id, limit=STEPS_SHOWN_MAX)
    count = await called.store.steps.count(execution.id) if len(shown) == STEPS_SHOWN_MAX else len(shown)
    return JournalBody(steps=[step_body(step) for step in shown], count=count)


@router.post("/executions/{execution_id}/cancel")
async def cancel_execution(execution_id: str, called: Called) -> ExecutionResource:
    """Ask for its end; one that no run has claimed ends at once, a terminal one stays as it is."""
    with _explaining(called, execution_id):
        execution = await called.store.executions.request_cancel(ExecutionId(execution_id))
    if execution.phase is Phase.CANCELLED and execution.dispatch.is_submitted:
        called.canceller.withdraw(execution.workflow)
    called.canceller.nudge()
    return execution_resource(explain_wait(execution, called.link.status(), called.pollers.polling))


@router.get("/executions/{execution_id}/events")
async def list_events(
    execution_id: str, called: Called, after: Annotated[int, Query(ge=0, le=NUMBER_MAX)] = 0
) -> EventPage:
    """Its timeline behind number `after`, oldest first: up to `EVENTS_MAX` events."""
    execution = await _find(called, execution_id)
    events = await called.store.events.list(execution.id, after=after, limit=EVENTS_MAX)
    return EventPage(items=[event_body(event) for event in events])


@router.get("/executions/{execution_id}/stream")
async def stream_events(
    execution_id: str, called: Called, after: Annotated[int, Query(ge=0, le=NUMBER_MAX)] = 0
) -> StreamingResponse:
    """Its timeline as it comes: one JSON object a line, now and then an empty line, and an end after the last event."""
    lines = _stream_lines(called, ExecutionId(execution_id), after)
    with _explaining(called, execution_id):
        first = await anext(lines)  # what is there already, or 404
    return send_lines(_resume(first, lines))


async def _stream_lines(called: Services, execution_id: ExecutionId, after: int) -> AsyncGenerator[str, None]:
    """The lines of its events, several at a time where there are; the first ones, or none, are given at once."""
    quiet = 0
    with called.notifier.subscribe(execution_id) as subscription:  # before the first read: nothing falls between
        while True:
            phase, events = await called.store.events.follow(execution_id, after=after, limit=EVENTS_MAX)
            for lines in _join_lines(events):
                yield lines
            after = events[-1].seq if events else after
            if len(events) == EVENTS_MAX:
                continue
            if phase.is_terminal:
                return
            quiet = 0 if await subscription.wait(within_s=OTHER_SERVERS_S) else quiet + 1
            if quiet and quiet % HEARTBEAT_EVERY == 0:
                yield "\n"


async def _resume(first: str, lines: AsyncGenerator[str, None]) -> AsyncGenerator[str]:
    yield first
    async with aclosing(lines):
        async for more in lines:
            yield more


def _join_lines(events: Sequence[Event]) -> Iterator[str]:
    """A JSON object a line; as many lines in a piece as have `PIECE_CHARS` together. One empty piece for no event."""
    piece, size = [], 0
    for event in events:
        piece.append(json.dumps(event_body(event).to_wire(), ensure_ascii=False) + "\n")
        size += len(piece[-1])
        if size >= PIECE_CHARS:
            yield "".join(piece)
            piece, size = [], 0
    if piece or not events:
        yield "".join(piece)


async def _find(called: Services, execution_id: str) -> Execution:
    with _explaining(called, execution_id):
        return await called.store.executions.get(ExecutionId(execution_id))


@contextmanager
def _explaining(called: Services, execution_id: str) -> Iterator[None]:
    """Say of an execution that is gone whether the retention has deleted it."""
    try:
        yield
    except NotFound as error:
        raise explain_missing(error, execution_id, called.settings, called.clock.now()) from None
