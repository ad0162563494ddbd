"""Forwards to Temporal's own web UI, and to nothing else: few headers each way, no cookies, everything with a limit."""

import asyncio
import ipaddress
from collections.abc import Iterable

import httpx
import structlog
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

CONNECT_MAX_S, READ_MAX_S, WHOLE_MAX_S = 2.0, 30.0, 120.0
CONNECTIONS_MAX = 32
BODY_MAX = 4 * 1024 * 1024
ANSWER_MAX = 64 * 1024 * 1024
"""Bytes of one answer; a history of Temporal's has at most 50 MiB."""

REQUEST_HEADERS = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"caller-type",
        b"content-type",
        b"if-modified-since",
        b"if-none-match",
    }
)
"""What goes on. Cookies, tokens and what says where a request came from stay here."""

ANSWER_HEADERS = frozenset(
    {
        b"cache-control",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"etag",
        b"last-modified",
        b"vary",
    }
)
POLICY = (
    b"default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    b"manifest-src 'self' data:; frame-src 'self'; frame-ancestors 'self'; object-src 'none'; base-uri 'self'; "
    b"form-action 'self'"
)
OWN_HEADERS = (
    (b"content-security-policy", POLICY),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)

log = structlog.get_logger()


class UiProxy:
    """ASGI application that asks the web UI at `address`, HOST:PORT, from that very address where it is a drawn one."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(
                local_address=_choose_source(address), limits=httpx.Limits(max_connections=CONNECTIONS_MAX)
            ),
            follow_redirects=False,
            trust_env=False,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward one request and stream the answer."""
        body = await _read_body(receive)
        if body is None:
            await PlainTextResponse("a request may have 4 MiB", 413)(scope, receive, send)
            return
        has_begun = False

        async def sending(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            async with asyncio.timeout(WHOLE_MAX_S):
                await self._forward(self._request(scope, body), sending)
        except (httpx.HTTPError, TimeoutError) as error:
            log.warning("web_ui_unanswered", address=self._address, cause=str(error) or type(error).__name__)
            if has_begun:
                raise  # the browser learns from the broken answer that it is not whole
            await PlainTextResponse("Temporal's web UI does not answer: stigmer doctor", 502)(scope, receive, send)

    def _request(self, scope: Scope, body: bytes) -> httpx.Request:
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        headers = [(name, value) for name, value in scope["headers"] if name in REQUEST_HEADERS]
        # `access.py` has made sure that one of our own pages asks; the UI takes this word for it, and no CSRF token.
        headers += [(b"sec-fetch-site", b"same-origin"), (b"host", self._address.encode())]
        url = httpx.URL(f"http://{self._address}").copy_with(raw_path=target)
        limits = {"timeout": httpx.Timeout(READ_MAX_S, connect=CONNECT_MAX_S).as_dict()}
        # Not build_request: it adds headers of its own, and the UI would answer in an encoding that nobody asked for.
        return httpx.Request(scope["method"], url, headers=headers, content=body or None, extensions=limits)

    async def _forward(self, request: httpx.Request, send: Send) -> None:
        answer = await self._http.send(request, stream=True)
        try:
            headers = [*_filter_headers(answer), *OWN_HEADERS]
            await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
            size = 0
            async for chunk in answer.aiter_raw():
                size += len(chunk)
                if size > ANSWER_MAX:
                    raise httpx.ReadError(f"an answer of more than {ANSWER_MAX} bytes", request=request)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await answer.aclose()


def _filter_headers(answer: httpx.Response) -> Iterable[tuple[bytes, bytes]]:
    for name, value in answer.headers.raw:
        if name.lower() in ANSWER_HEADERS:
            yield name.lower(), value
    where = answer.headers.get("location", "")
    if where.startswith("/ui/"):
        yield b"location", where.encode("latin-1")


async def _read_body(receive: Receive) -> bytes | None:
    """The whole of it; None where it is longer than `BODY_MAX`."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(chunks)
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > BODY_MAX:
            return None
        if not message.get("more_body", False):
            return b"".join(chunks)


def _choose_source(address: str) -> str | None:
    """The address to ask from: the UI's own, where it was drawn for this stack; see the supervisor's source filter."""
    host = address.rpartition(":")[0]
    try:
        is_drawn = ipaddress.ip_address(host).is_loopback and host != "127.0.0.1"
    except ValueError:
        return None
    return host if is_drawn else None
