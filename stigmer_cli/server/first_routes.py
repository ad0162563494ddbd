"""What is asked while a stack starts, answered without FastAPI, which is not imported by then (see late_routes.py).

What is answered is what the routes answer. Whatever is not quite as expected (a query that is not valid, another
method) goes the long way, so that it is answered there and nowhere else.
"""

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from stigmer_cli.server import problems
from stigmer_cli.server.challenge import ChallengeQuery, prove
from stigmer_cli.server.guard import IS_KNOWN
from stigmer_cli.server.health import describe_health, describe_readiness
from stigmer_cli.server.identity import IdentityQuery, describe_identity
from stigmer_cli.server.json_answer import json_answer
from stigmer_cli.server.services import Services
from stigmer_cli.server_proof import PATH as CHALLENGE

Handler = Callable[[Scope], Awaitable[Response]]


class FirstRoutes:
    """Answers the requests that it knows, and passes the others on to the application."""

    def __init__(self, app: ASGIApp, called: Services, *, token: Callable[[], str | None]) -> None:
        self._app, self._called, self._token = app, called, token
        self._handlers: Mapping[str, Handler] = {
            CHALLENGE: self._prove,
            "/readyz": self._describe_readiness,
            "/livez": self._describe_life,
            "/v1/health": self._describe_health,
            "/v1/identity": self._describe_identity,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        is_get = scope["type"] == "http" and scope["method"] == "GET"
        handler = self._handlers.get(scope["path"]) if is_get else None
        if handler is None:
            await self._app(scope, receive, send)
            return
        try:
            response = await handler(scope)
        except ValidationError:
            await self._app(scope, receive, send)
            return
        except Exception as error:  # noqa: BLE001 - each is answered, as the application does
            response = await problems.answer(Request(scope), error)
        await response(scope, receive, send)

    async def _prove(self, scope: Scope) -> Response:
        query = ChallengeQuery.model_validate(_query(scope))
        return json_answer(prove(query, name=scope.get("server"), token=self._token()))

    async def _describe_life(self, _scope: Scope) -> Response:
        return PlainTextResponse("ok\n")

    async def _describe_readiness(self, scope: Scope) -> Response:
        found = await describe_readiness(self._called, is_known=scope.get(IS_KNOWN, False))
        return json_answer(found, status=200 if found.ready else 503)

    async def _describe_health(self, _scope: Scope) -> Response:
        return json_answer(await describe_health(self._called))

    async def _describe_identity(self, scope: Scope) -> Response:
        query = IdentityQuery.model_validate(_query(scope))
        return json_answer(await describe_identity(self._called, query))


def _query(scope: Scope) -> Mapping[str, str]:
    """The last value of each name."""
    return dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
