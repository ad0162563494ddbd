"""Messages that come over HTTP, as a stream of server-sent events or of lines with JSON."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress

import httpx

from stigmer_cli.runner.call.authenticator import Authenticator
from stigmer_cli.runner.call.event_stream import CONTENT_TYPE, StreamEvent, read_events, read_lines
from stigmer_cli.runner.call.following import send
from stigmer_cli.runner.call.http import read_content, read_headers, refuse_response
from stigmer_cli.runner.call.payload import parse_payload
from stigmer_cli.workflow.error import ErrorType, make_error
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import CallRequest

LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/json-seq")
AGAIN_S = 1.0


class HttpMessages:
    """Subscribes with one client."""

    def __init__(self, client: httpx.AsyncClient, authenticator: Authenticator) -> None:
        self._client = client
        self._authenticator = authenticator

    async def subscribe(self, request: CallRequest) -> AsyncGenerator[Json, None]:
        """The messages. A stream that ends, is cut off, or is silent for too long is asked for again after a second.

        If its events have ids, the server is told which was the last one, and can go on behind it.

        Raises WorkflowError of the type communication where the server is away, refuses, or sends no stream.
        """
        address = str(request.arguments["address"])
        last_id = ""
        while True:
            try:
                async for message, seen in self._read(address, request, last_id):
                    last_id = seen
                    yield message
            except httpx.ReadTimeout:
                pass
            except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
                detail = f"GET {address}: {str(error) or type(error).__name__}"
                raise make_error(ErrorType.COMMUNICATION, detail) from error
            await asyncio.sleep(AGAIN_S)

    async def _read(self, address: str, request: CallRequest, last_id: str) -> AsyncIterator[tuple[Json, str]]:
        """Each message, and the id of the last event."""
        headers = {"Accept": ", ".join((CONTENT_TYPE, *LINES[:1])), "Cache-Control": "no-store"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        asked = self._client.build_request("GET", address, headers=httpx.Headers(headers, encoding="utf-8"))
        auth = self._authenticator.make_auth(request.policy)
        response = await send(self._client, asked, auth)
        try:
            if not response.is_success:
                raise refuse_response(f"GET {address}", response, await read_content(response))
            kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if kind != CONTENT_TYPE and kind not in LINES:
                raise ValueError(f"the answer is {kind or 'of no type'}, and no stream of messages")
            source = read_events(response, last_id) if kind == CONTENT_TYPE else _read_lines(response)
            told: Json = read_headers(response)
            with suppress(httpx.ReadError, httpx.RemoteProtocolError):  # a stream that is cut off has ended
                async for event in source:
                    yield {"payload": parse_payload(event.data), "headers": told}, event.last_id
        finally:
            await response.aclose()


async def _read_lines(response: httpx.Response) -> AsyncIterator[StreamEvent]:
    async for line in read_lines(response):
        if text := line.strip("\x1e \t"):
            yield StreamEvent(data=text, last_id="")
