"""Messages over WebSocket (RFC 6455): the channel of an AsyncAPI operation is the path of a connection."""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

from stigmer_cli.domain.step import RESULT_BYTES_MAX
from stigmer_cli.errors import reason_of
from stigmer_cli.extras import is_installed
from stigmer_cli.proxies import Proxies
from stigmer_cli.redirects import is_withheld
from stigmer_cli.runner.call.payload import parse_payload, write_message
from stigmer_cli.workflow.error import ErrorType, WorkflowError, make_error
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import CallRequest

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection, connect

MISSING = "messages over WebSocket need a library that is not installed: pip install 'stigmer-cli[websockets]'"
OPEN_S_MAX = 10.0
CLOSE_S_MAX = 5.0
KEY_HEADER = "Idempotency-Key"
CLOSED_WELL = frozenset({1000, 1001, 1005})
"""Codes of a server that has nothing to complain about: done, going away, none said (section 7.4 of RFC 6455)."""

UNANSWERED = 1006
"""The code of a connection that was lost without an answer to its end."""


def find_missing() -> str:
    """Why no message can be sent or taken here, as a sentence; empty if one can."""
    return "" if is_installed("websockets") else MISSING


async def publish(request: CallRequest, shown: Mapping[str, str], proxies: Proxies) -> None:
    """Send the message of the arguments; `shown` are the headers that authenticate. Raises WorkflowError.

    A server that answers the end of the connection has received what was sent before it.
    """
    from websockets.exceptions import ConnectionClosed  # noqa: PLC0415 - with the extra

    own, payload = write_message(request)
    async with _connect(request, {KEY_HEADER: request.idempotency_key, **own, **shown}, proxies) as connection:
        try:
            await connection.send(payload)
        except ConnectionClosed as error:
            raise _explain(request, str(error)) from error
        await connection.close()
        if connection.close_code not in CLOSED_WELL:
            raise _explain(request, _describe_end(connection))


@asynccontextmanager
async def subscribe(
    request: CallRequest, shown: Mapping[str, str], proxies: Proxies
) -> AsyncIterator[AsyncIterator[Json]]:
    """The messages that come in until the server ends the connection. Raises WorkflowError, also while they are read.

    They have no headers: WebSocket has none.
    """
    async with _connect(request, shown, proxies) as connection:
        yield _read(request, connection)


async def _read(request: CallRequest, connection: "ClientConnection") -> AsyncIterator[Json]:
    from websockets.exceptions import ConnectionClosed  # noqa: PLC0415

    try:
        async for content in connection:
            yield {"payload": parse_payload(content), "headers": {}}
    except ConnectionClosed as error:
        raise _explain(request, str(error)) from error


@asynccontextmanager
async def _connect(
    request: CallRequest, headers: Mapping[str, str], proxies: Proxies
) -> "AsyncIterator[ClientConnection]":
    """A connection of the call's own. Raises WorkflowError."""
    if missing := find_missing():
        raise make_error(ErrorType.CONFIGURATION, missing)
    from websockets.exceptions import InvalidStatus, WebSocketException  # noqa: PLC0415

    address = str(request.arguments["address"])
    proxy = proxies.way_to(f"http{address.removeprefix('ws')}")
    try:
        connection = await _find_connect()(
            address,
            additional_headers=headers,
            proxy=proxy.url if proxy else None,
            ssl=_make_context() if address.startswith("wss:") else None,
            open_timeout=OPEN_S_MAX,
            close_timeout=CLOSE_S_MAX,
            max_size=RESULT_BYTES_MAX,
        )
    except InvalidStatus as error:
        raise _explain(request, str(error), status=error.response.status_code) from error
    except OSError as error:
        raise _explain(request, reason_of(error)) from error
    except (WebSocketException, ValueError, ImportError) as error:  # ImportError: for a proxy of SOCKS
        raise _explain(request, str(error) or type(error).__name__) from error
    try:
        yield connection
    finally:
        await connection.close()


@cache
def _find_connect() -> "type[connect]":
    """The class of the library, which takes to another origin no more than a redirect over HTTP does."""
    from websockets.asyncio.client import connect  # noqa: PLC0415 - with the extra
    from websockets.datastructures import Headers  # noqa: PLC0415

    class Connect(connect):
        def process_redirect(self, exc: Exception) -> Exception | str:
            found = super().process_redirect(exc)
            if isinstance(found, str) and urlsplit(found)[:2] != urlsplit(self.uri)[:2]:
                shown = Headers(self.additional_headers or {}).raw_items()
                self.additional_headers = [pair for pair in shown if not is_withheld(*pair)]
            return found

    return Connect


@cache
def _make_context() -> ssl.SSLContext:
    """What calls over HTTP trust, too."""
    return httpx.create_ssl_context(trust_env=True)


def _describe_end(connection: "ClientConnection") -> str:
    if connection.close_code == UNANSWERED:
        return "the connection was lost before the server had answered its end"
    return f"the server ended the connection with {connection.close_code} {connection.close_reason or ''}".rstrip()


def _explain(request: CallRequest, words: str, *, status: int | None = None) -> WorkflowError:
    detail = f"{request.arguments['address']}: {words}"
    if status is None:
        return make_error(ErrorType.COMMUNICATION, detail)
    return make_error(ErrorType.COMMUNICATION, detail, status=status)
