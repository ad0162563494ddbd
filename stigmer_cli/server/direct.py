"""What each execution asks several times, answered without FastAPI, which takes a millisecond to find out what to call.

The handlers and the bodies are those of the routes. Whatever is not quite as expected (a query, a body that is not
valid, a runner of an older version) goes the long way, so that it is answered there and nowhere else.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from stigmer_cli.api.reports import (
    PERFORMS_HEADER,
    WORKFLOWS,
    ClaimingAttemptRequest,
    MessageReport,
    OutcomeReport,
)
from stigmer_cli.api.resources import ExecutionRequest
from stigmer_cli.api.steps import BeginStepRequest, FinishStepRequest
from stigmer_cli.api.tasks import TasksReport
from stigmer_cli.server import problems
from stigmer_cli.server.connections import waited_s
from stigmer_cli.server.guard import replay_body
from stigmer_cli.server.json_answer import json_answer
from stigmer_cli.server.routes import executions, reports, steps, workflow_tasks
from stigmer_cli.server.services import Services

Handler = Callable[[str, Any, Services], Awaitable[BaseModel]]

EXECUTIONS = "/v1/executions"
PARSED_TWICE_MAX = 1024 * 1024
"""In bytes; a longer body that is not valid is refused here, because the long way holds the event loop too long."""

CLAIMS = "claimed-attempts"
KEY_HEADER = "idempotency-key"
REPORTS: Mapping[str, tuple[type[BaseModel], Handler]] = {
    CLAIMS: (ClaimingAttemptRequest, partial(reports.claim_and_begin, performs=WORKFLOWS)),
    "messages": (MessageReport, reports.append_message),
    "outcome": (OutcomeReport, reports.finish),
    "tasks": (TasksReport, workflow_tasks.report_tasks),
    "steps/begin": (BeginStepRequest, steps.begin_step),
    "steps/finish": (FinishStepRequest, steps.finish_step),
}
"""What runs report, by the end of its path."""

REPORT_PATH = re.compile(rf"{EXECUTIONS}/([^/]+)/({'|'.join(REPORTS)})")
STREAM_PATH = re.compile(rf"{EXECUTIONS}/([^/]+)/stream")
AFTER = re.compile(rb"after=(\d{1,9})")


class DirectRoutes:
    """Answers the requests that it knows, and passes the others on to the application; bodies come in one piece."""

    def __init__(self, app: ASGIApp, called: Services) -> None:
        self._app = app
        self._called = called
        kinds: list[type[BaseModel]] = [ExecutionRequest, *(kind for kind, _ in REPORTS.values())]
        for kind in kinds:
            kind.model_rebuild()  # else the first request would build it, on the event loop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["method"] == "POST" and not scope["query_string"]:
            await self._post(scope, receive, send)
        elif scope["method"] == "GET" and (found := STREAM_PATH.fullmatch(scope["path"])):
            await self._stream(found[1], scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _post(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == EXECUTIONS:
            await self._create(scope, receive, send)
        elif (found := REPORT_PATH.fullmatch(path)) and not _is_of_older_runner(found[2], scope):
            kind, handler = REPORTS[found[2]]
            await self._answer(
                scope, receive, send, kind, lambda body: _with_status(200, handler(found[1], body, self._called))
            )
        else:
            await self._app(scope, receive, send)

    async def _create(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = Headers(scope=scope).get(KEY_HEADER)
        if key is not None and len(key) > executions.KEY_MAX:
            await self._app(scope, receive, send)
            return
        await self._answer(
            scope,
            receive,
            send,
            ExecutionRequest,
            lambda body: executions.accept(body, self._called, idempotency_key=key, waited_s=waited_s(scope)),
        )

    async def _answer(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        kind: type[BaseModel],
        handle: Callable[[Any], Awaitable[tuple[int, BaseModel]]],
    ) -> None:
        text: bytes = (await receive()).get("body", b"")
        try:
            body = kind.model_validate_json(text)
        except ValidationError as error:
            if len(text) > PARSED_TWICE_MAX:
                await problems.refuse_body(error)(scope, receive, send)
            else:
                await self._app(scope, replay_body(text, receive), send)
            return
        try:
            status, answer = await handle(body)
        except Exception as error:  # noqa: BLE001 - each is answered, as the application does
            response: Response = await problems.answer(Request(scope), error)
        else:
            response = json_answer(answer, status=status)
        await response(scope, receive, send)

    async def _stream(self, execution: str, scope: Scope, receive: Receive, send: Send) -> None:
        asked = AFTER.fullmatch(scope["query_string"] or b"after=0")
        if asked is None:
            await self._app(scope, receive, send)
            return
        try:
            response: Response = await executions.stream_events(execution, self._called, int(asked[1]))
        except Exception as error:  # noqa: BLE001 - each is answered, as the application does
            response = await problems.answer(Request(scope), error)
        await response(scope, receive, send)


def _is_of_older_runner(what: str, scope: Scope) -> bool:
    return what == CLAIMS and Headers(scope=scope).get(PERFORMS_HEADER) != WORKFLOWS


async def _with_status(status: int, answer: Awaitable[BaseModel]) -> tuple[int, BaseModel]:
    return status, await answer
