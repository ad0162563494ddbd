"""Adds the time of the clock that rows are written by to each answer, so that no client guesses their age."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stigmer_cli.api.now_header import NOW_HEADER
from stigmer_cli.clock import Clock, iso


class TimeHeader:
    """Passes on to the application, and puts the header on what it answers."""

    def __init__(self, app: ASGIApp, *, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""

        async def send_with_time(message: Message) -> None:
            if message["type"] == "http.response.start":
                header = (NOW_HEADER.lower().encode(), iso(self._clock.now()).encode())
                message = {**message, "headers": [*message.get("headers", ()), header]}
            await send(message)

        await self._app(scope, receive, send_with_time)
